/* What every load generator shares: time, sockets, the byte pattern that payloads are checked against. */
#ifndef SLUICE_BENCH_NET_H
#define SLUICE_BENCH_NET_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* Source addresses 127.0.0.2 and up. TIME_WAIT holds a (source, port) pair for a minute; 40 addresses are over a million pairs. */
#define SOURCES 40

/* A prime period: a piece that is lost, repeated or moved shows, whatever the buffer sizes on the way are. */
#define PERIOD 65521u
static inline unsigned char pattern_at(uint64_t offset) {
  uint32_t i = (uint32_t)(offset % PERIOD);
  return (unsigned char)(i * 31 + (i >> 8));
}

static inline int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline long number(const char *text, long low, long high, const char *name) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno || *end || end == text || value < low || value > high) {
    fprintf(stderr, "%s: expected %ld..%ld, got '%s'\n", name, low, high, text);
    exit(2);
  }
  return value;
}

/* Raises RLIMIT_NOFILE to its hard limit; returns it. */
static inline long raise_nofile(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) < 0) die("getrlimit");
  r.rlim_cur = r.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &r) < 0) die("setrlimit");
  return (long)r.rlim_cur;
}

static inline void watch(int ep, int fd, uint32_t events, uint64_t data) {
  struct epoll_event e = {.events = events, .data.u64 = data};
  if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll_ctl");
}

/* Where generators connect to and servers listen: LOAD_ADDRESS, an IPv4 address, or 127.0.0.1. */
static inline struct in_addr target_address(void) {
  struct in_addr address = {.s_addr = htonl(INADDR_LOOPBACK)};
  const char *text = getenv("LOAD_ADDRESS");
  if (text && inet_pton(AF_INET, text, &address) != 1) {
    fprintf(stderr, "LOAD_ADDRESS: expected an IPv4 address, got '%s'\n", text);
    exit(2);
  }
  return address;
}

/* A non-blocking connect to port `port` of the target, from source address `n` where n >= 0. Returns the socket or -1 (errno). */
static inline int start_connect(int port, long n) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (n >= 0) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(n % SOURCES))};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) goto fail;
  }
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = target_address()};
  if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS) return fd;
fail:;
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

static inline int listen_on(int port) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = target_address()};
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
  if (listen(fd, 4096) < 0) die("listen");
  return fd;
}
#endif
