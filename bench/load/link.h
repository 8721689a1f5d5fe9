/* A connection of a load generator: plain TCP, or TLS 1.3 where it is compiled with -DBENCH_TLS. */
#ifndef SLUICE_BENCH_LINK_H
#define SLUICE_BENCH_LINK_H
#include "net.h"
#include <poll.h>

#ifdef BENCH_TLS
#include <openssl/ssl.h>

struct link {
  int fd;
  SSL *ssl;
};

/* Nobody is verified: what is measured is the other side. */
static inline SSL_CTX *link_context(void) {
  static SSL_CTX *context;
  if (context) return context;
  context = SSL_CTX_new(TLS_client_method());
  if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 || SSL_CTX_set1_groups_list(context, "X25519") != 1) {
    fprintf(stderr, "OpenSSL is of no use\n");
    exit(1);
  }
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  return context;
}

static inline void link_begin(struct link *link, int fd) {
  link->fd = fd;
  link->ssl = SSL_new(link_context());
  if (!link->ssl || SSL_set_fd(link->ssl, fd) != 1) die("SSL_new");
  SSL_set_connect_state(link->ssl);
}

/* 1: the handshake is done, 0: it waits for the peer, -1: it has failed. */
static inline int link_handshake(struct link *link) {
  int r = SSL_do_handshake(link->ssl);
  if (r == 1) return 1;
  int why = SSL_get_error(link->ssl, r);
  return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static inline void link_close(struct link *link) {
  if (link->ssl) SSL_free(link->ssl);
  link->ssl = NULL;
  close(link->fd);
}

static inline ssize_t link_result(struct link *link, int r) {
  if (r > 0) return r;
  int why = SSL_get_error(link->ssl, r);
  if (why == SSL_ERROR_ZERO_RETURN) return 0;
  errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
  return -1;
}
static inline ssize_t link_send(struct link *link, const void *data, size_t n) {
  return link_result(link, SSL_write(link->ssl, data, (int)n));
}
static inline ssize_t link_recv(struct link *link, void *data, size_t n) {
  return link_result(link, SSL_read(link->ssl, data, (int)n));
}
#else
struct link {
  int fd;
};
static inline void link_begin(struct link *link, int fd) { link->fd = fd; }
static inline int link_handshake(struct link *link) { return (void)link, 1; }
static inline void link_close(struct link *link) { close(link->fd); }
static inline ssize_t link_send(struct link *link, const void *data, size_t n) { return send(link->fd, data, n, 0); }
static inline ssize_t link_recv(struct link *link, void *data, size_t n) { return recv(link->fd, data, n, 0); }
#endif

/* Makes a connected socket a link, and waits until it is. False where the handshake fails. */
static inline int link_open(struct link *link, int fd) {
  link_begin(link, fd);
  for (int turn = 0; turn < 100; turn++) {
    int done = link_handshake(link);
    if (done != 0) return done > 0;
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    poll(&readable, 1, 100);
  }
  return 0;
}
#endif
