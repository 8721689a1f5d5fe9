{
  "targets": [
    {
      "target_name": "sluice",
      "sources": [
        "native/addon.c",
        "native/host.c",
        "native/ring.c",
        "native/uring.c",
        "native/epoll.c",
        "native/epoll_table.c",
        "native/epoll_ops.c",
        "native/registry.c",
        "native/socket.c",
        "native/splice.c"
      ],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags": ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    }
  ]
}
