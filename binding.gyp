{
  "targets": [
    {
      "target_name": "sluice",
      "sources": [
        "native/addon.c",
        "native/heap.c",
        "native/host.c",
        "native/ring.c",
        "native/uring.c",
        "native/epoll.c",
        "native/epoll_table.c",
        "native/epoll_ops.c",
        "native/files.c",
        "native/registry.c",
        "native/socket.c",
        "native/splice.c",
        "native/threads.c",
        "native/tls.c",
        "native/tls_bio.c",
        "native/tls_call.c",
        "native/tls_connection.c",
        "native/tls_context.c",
        "native/tls_hello.c",
        "native/tls_keys.c",
        "native/tls_openssl.c",
        "native/tls_peer.c",
        "native/tls_records.c",
        "native/tls_tickets.c",
        "native/tls_trust.c",
        "native/tls_verify.c"
      ],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags": ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    }
  ]
}
