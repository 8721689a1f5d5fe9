/* What the servers share: where they listen, and how they accept. */
#ifndef SLUICE_BENCH_SERVE_H
#define SLUICE_BENCH_SERVE_H
#include "net.h"

/* Connections are told apart by descriptor, in tables of this length. */
#define MAX_FD 65536

/* Listens on the port and watches for clients. Returns the epoll descriptor. */
static inline int serve_on(const char *port, int *listener) {
  raise_nofile();
  signal(SIGPIPE, SIG_IGN);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  if (ep < 0) die("epoll_create1");
  *listener = listen_on((int)number(port, 1, 65535, "PORT"));
  watch(ep, *listener, EPOLLIN, (uint64_t)*listener);
  return ep;
}

/* The next client that waits, or -1. Small sends are not delayed. */
static inline int accept_next(int listener, int flags) {
  for (int peer; (peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | flags)) >= 0; close(peer)) {
    int one = 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (peer < MAX_FD) return peer;
  }
  return -1;
}
#endif
