/* answer-vary PORT [KEY=VALUE...]: an HTTP/1.1 server that reads requests, with a body where they have a Content-Length, and whose
   answers are all different (vary.h). */
#include "serve.h"
#include "vary.h"

#define HEAD_MAX 16384
struct connection {
  size_t have; /* octets of a head that came in pieces */
  int64_t body_left;
  char head[HEAD_MAX];
};
static struct connection *connections[MAX_FD];
static struct vary_shape shape;
static struct vary_message message;
static char out[256 * 1024], *out_end = out;

static int flush(int fd) {
  size_t length = (size_t)(out_end - out);
  out_end = out;
  return length == 0 || send(fd, out, length, 0) == (ssize_t)length ? 0 : -1;
}

static int answer(int fd) {
  if (out + sizeof out - out_end < VARY_HEAD + 4096 && flush(fd) < 0) return -1;
  vary_make(&shape, &message, 0);
  out_end = vary_http1(&shape, &message, out_end, 0);
  return 0;
}

/* Adds to the head what there is of it; returns the octets used, -1 where it is too large. */
static ssize_t head(struct connection *c, const char *data, size_t n) {
  size_t room = HEAD_MAX - 1 - c->have, take = n < room ? n : room, from = c->have > 3 ? c->have - 3 : 0;
  memcpy(c->head + c->have, data, take);
  c->head[c->have + take] = 0;
  char *end = memmem(c->head + from, c->have + take - from, "\r\n\r\n", 4);
  if (!end) {
    c->have += take;
    return take < n ? -1 : (ssize_t)take;
  }
  size_t used = (size_t)(end + 4 - c->head) - c->have;
  end[2] = 0;
  char *length = c->head[0] == 'P' ? strcasestr(c->head, "\r\ncontent-length:") : NULL;
  c->body_left = length ? strtoll(length + 17, NULL, 10) : 0;
  c->have = 0;
  if (c->head[0] == 'P' && !length) return fprintf(stderr, "a POST without Content-Length\n"), -1;
  return (ssize_t)used;
}

static int feed(int fd, struct connection *c, const char *data, size_t n) {
  for (size_t at = 0; at < n;) {
    if (c->body_left > 0) {
      size_t take = n - at < (size_t)c->body_left ? n - at : (size_t)c->body_left;
      c->body_left -= (int64_t)take;
      at += take;
      if (c->body_left > 0) break;
      if (answer(fd) < 0) return -1;
      continue;
    }
    ssize_t used = head(c, data + at, n - at);
    if (used < 0) return -1;
    at += (size_t)used;
    if (c->have == 0 && c->body_left == 0 && answer(fd) < 0) return -1;
  }
  return flush(fd);
}

static void accept_all(int ep, int listener) {
  for (int peer; (peer = accept_next(listener, 0)) >= 0;) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
      close(peer);
      continue;
    }
    connections[peer] = c;
    watch(ep, peer, EPOLLIN, (uint64_t)peer);
  }
}

int main(int argc, char **argv) {
  if (argc < 2) return fprintf(stderr, "usage: answer-vary PORT " VARY_ARGUMENTS "\n"), 2;
  vary_arguments(argc - 2, argv + 2);
  vary_responses(&shape);
  int listener, ep = serve_on(argv[1], &listener);
  static char buffer[65536];
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        accept_all(ep, listener);
        continue;
      }
      ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got > 0 && feed(fd, connections[fd], buffer, (size_t)got) == 0) continue;
      free(connections[fd]);
      connections[fd] = NULL;
      close(fd);
    }
  }
}
