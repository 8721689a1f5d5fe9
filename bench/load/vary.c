/* vary PORT CONNECTIONS SECONDS [KEY=VALUE...]: HTTP/1.1 over kept connections, one request after the other on each, of which no two
   are alike (vary.h). Prints a JSON line. */
#include "http.h"
#include "vary.h"

struct connection {
  int fd, open;
  uint32_t have, told; /* octets of the body, and what its first eight say */
  struct response response;
};
static struct vary_shape shape;
static struct vary_message message;
static char out[VARY_HEAD + 4096];
static long done, errors;

static void fail(struct connection *c) {
  errors++;
  c->open = 0;
  close(c->fd);
  c->fd = -1;
}

static void request(struct connection *c) {
  vary_make(&shape, &message, 1);
  size_t length = (size_t)(vary_http1(&shape, &message, out, 1) - out);
  response_reset(&c->response);
  c->have = c->told = 0;
  c->open = 1;
  if (send(c->fd, out, length, 0) != (ssize_t)length) fail(c);
}

/* True once an answer is whole. */
static int receive(struct connection *c) {
  static char buffer[65536];
  ssize_t got = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  int64_t before = c->response.body_left;
  if (got <= 0 || !c->open || response_feed(&c->response, buffer, (size_t)got) != got) {
    fail(c);
    return 0;
  }
  if (c->response.body_left < 0) return 0;
  int64_t length = before < 0 ? (int64_t)atol(strcasestr(c->response.head, "\r\ncontent-length:") + 17) : before;
  int64_t body = length - c->response.body_left;
  for (int64_t i = 0; i < body && c->have + i < 8; i++) c->told = c->told * 10 + (uint32_t)(buffer[got - body + i] - '0');
  c->have += (uint32_t)body;
  if (c->response.body_left > 0) return 0;
  c->open = 0;
  if (c->have == c->told) done++;
  else errors++;
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: vary PORT CONNECTIONS SECONDS " VARY_ARGUMENTS "\n"), 2;
  int port = (int)number(argv[1], 1, 65535, "PORT"), count = (int)number(argv[2], 1, 4096, "CONNECTIONS");
  double seconds = atof(argv[3]);
  vary_arguments(argc - 4, argv + 4);
  vary_requests(&shape);
  signal(SIGPIPE, SIG_IGN);
  raise_nofile();
  struct connection *all = calloc((size_t)count, sizeof *all);
  if (!all) die("calloc");
  int ep = epoll_create1(EPOLL_CLOEXEC), open = 1;
  for (int i = 0; i < count; i++) {
    all[i].fd = start_connect(port, -1);
    if (all[i].fd < 0) die("connect");
    watch(ep, all[i].fd, EPOLLIN, (uint64_t)i);
  }
  usleep(20000); /* loopback connects are over by now; a failed one shows as an error of its first request */
  int64_t begin = now_ns(), end = begin + (int64_t)(seconds * 1e9), hard = end + 5000000000, now;
  for (int i = 0; i < count; i++) request(&all[i]);
  struct epoll_event events[256];
  while (((now = now_ns()) < end || open > 0) && now < hard && errors < 1000) {
    int n = epoll_wait(ep, events, 256, 100);
    for (int i = 0; i < n; i++) {
      struct connection *c = &all[events[i].data.u64];
      if (c->fd >= 0 && receive(c) && now < end) request(c);
    }
    open = now < end; /* which ends with a look at what is open */
    for (int i = 0; i < count && now >= end; i++) open += all[i].open;
  }
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f}\n", done, errors + (now < end ? 0 : open), (double)(now_ns() - begin) / 1e9);
  return 0;
}
