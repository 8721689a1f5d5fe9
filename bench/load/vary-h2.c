/* vary-h2 PORT CONNECTIONS STREAMS SECONDS [KEY=VALUE...]: HTTP/2 (prior knowledge), STREAMS requests open on each connection all the
   time, of which no two are alike (vary.h). The connections encode as known clients do, in turn. Prints a JSON line. */
#include "hpack.h"
#include <fcntl.h>

#define OUT (64 * 1024)
#define SLOTS 4096 /* requests that a connection remembers by number: far more than are open at once */
struct answer {
  uint32_t have, told; /* octets of the body, and what its first eight say */
  int open;
};
struct connection {
  int fd, open, settled;
  uint32_t next, received;
  int64_t window;
  struct frame_reader in;
  struct hpack hpack;
  struct answer answers[SLOTS];
  size_t pending;
  unsigned char out[OUT];
};
static struct vary_shape shape;
static struct vary_message message;
static long done, errors;
static int going = 1, streams;

static void fail(struct connection *c) {
  errors += c->open + 1;
  c->open = 0;
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

static void flush(struct connection *c) {
  if (c->fd >= 0 && c->pending > 0 && send(c->fd, c->out, c->pending, 0) != (ssize_t)c->pending) fail(c);
  c->pending = 0;
}

static unsigned char *room(struct connection *c, size_t n) {
  if (OUT - c->pending < n) flush(c);
  return c->out + c->pending;
}

static void request(struct connection *c) {
  vary_make(&shape, &message, 1);
  if (message.body > c->window) message.post = 0, message.body = 0; /* never waits */
  unsigned char *frame = room(c, VARY_HEAD + 2 * FRAME_HEAD + 4096);
  unsigned char *end = hpack_block(&c->hpack, &shape, &message, frame + FRAME_HEAD, 1);
  put_frame(frame, (uint32_t)(end - frame - FRAME_HEAD), HEADERS, END_HEADERS | (message.body == 0 ? END_STREAM : 0), c->next);
  if (message.body > 0) {
    vary_put_body((char *)put_frame(end, (uint32_t)message.body, DATA, END_STREAM, c->next), message.body);
    end += FRAME_HEAD + message.body;
    c->window -= message.body;
  }
  c->pending += (size_t)(end - frame);
  struct answer *a = &c->answers[c->next / 2 % SLOTS];
  if (a->open) errors++; /* answered by nobody for thousands of requests */
  else c->open++;
  *a = (struct answer){.open = 1};
  c->next += 2;
}

static void answered(struct connection *c, uint32_t stream, int good) {
  struct answer *a = &c->answers[stream / 2 % SLOTS];
  if (!a->open || stream >= c->next) {
    errors++;
    return;
  }
  a->open = 0;
  c->open--;
  if (good && a->have == a->told) done++;
  else errors++;
  if (going && c->next < 1u << 30) request(c);
}

static void data(struct connection *c, const struct frame_reader *in) {
  struct answer *a = &c->answers[frame_stream(in) / 2 % SLOTS];
  for (uint32_t i = 0; i < in->length && a->have + i < 8; i++) a->told = a->told * 10 + (uint32_t)(in->kept[i] - '0');
  a->have += in->length;
  c->received += in->length;
  if (c->received < 1u << 29) return;
  put32(put_frame(room(c, FRAME_HEAD + 4), 4, WINDOW_UPDATE, 0, 0), c->received);
  c->pending += FRAME_HEAD + 4;
  c->received = 0;
}

static void on_frame(struct connection *c) {
  struct frame_reader *in = &c->in;
  int flags = frame_flags(in);
  switch (frame_type(in)) {
    case HEADERS:
      if (!frame_is_200(in)) answered(c, frame_stream(in), 0);
      else if (flags & END_STREAM) answered(c, frame_stream(in), 1);
      break;
    case DATA:
      data(c, in);
      if (flags & END_STREAM) answered(c, frame_stream(in), !(flags & PADDED));
      break;
    case RST_STREAM:
      answered(c, frame_stream(in), 0);
      break;
    case SETTINGS:
      if (flags & ACK) break;
      for (uint32_t at = 0; at + 6 <= in->length && at + 6 <= KEPT; at += 6)
        if (in->kept[at] == 0 && in->kept[at + 1] == SETTING_TABLE_SIZE) hpack_resize(&c->hpack, get32(in->kept + at + 2));
      c->settled = 1;
      put_frame(room(c, FRAME_HEAD), 0, SETTINGS, ACK, 0);
      c->pending += FRAME_HEAD;
      break;
    case PING:
      if (flags & ACK) break;
      memcpy(put_frame(room(c, FRAME_HEAD + 8), 8, PING, ACK, 0), in->kept, 8);
      c->pending += FRAME_HEAD + 8;
      break;
    case WINDOW_UPDATE:
      if (frame_stream(in) == 0) c->window += get32(in->kept) & 0x7fffffff;
      break;
    case GOAWAY:
      fprintf(stderr, "GOAWAY with code %u\n", get32(in->kept + 4));
      fail(c);
      break;
  }
}

static void receive(struct connection *c) {
  static unsigned char buffer[256 * 1024];
  ssize_t got = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    fail(c);
    return;
  }
  for (size_t at = 0; at < (size_t)got && c->fd >= 0;) {
    at += frame_feed(&c->in, buffer + at, (size_t)got - at);
    if (!frame_complete(&c->in)) continue;
    on_frame(c);
    frame_next(&c->in);
  }
  flush(c);
}

static void open_connection(struct connection *c, int port, int habits) {
  c->fd = start_connect(port, -1);
  if (c->fd < 0) die("connect");
  c->next = 1;
  c->window = DEFAULT_WINDOW;
  hpack_start(&c->hpack, habits);
  fcntl(c->fd, F_SETFL, 0); /* a connect under way is waited for by the first send */
  unsigned char *hello = room(c, PREFACE_LENGTH + 64), *at = hello;
  memcpy(at, PREFACE, PREFACE_LENGTH);
  at = put_setting(put_frame(at + PREFACE_LENGTH, 12, SETTINGS, 0, 0), SETTING_PUSH, 0);
  at = put_setting(at, SETTING_WINDOW, 1u << 20);
  at = put32(put_frame(at, 4, WINDOW_UPDATE, 0, 0), 1u << 30);
  c->pending = (size_t)(at - hello);
  flush(c);
  if (c->fd < 0) die("send");
}

/* Waits for what comes on any connection. */
static void turn(int ep, struct connection *all) {
  struct epoll_event events[256];
  int n = epoll_wait(ep, events, 256, 100);
  for (int i = 0; i < n; i++) {
    struct connection *c = &all[events[i].data.u64];
    if (c->fd >= 0) receive(c);
  }
}

int main(int argc, char **argv) {
  if (argc < 5) return fprintf(stderr, "usage: vary-h2 PORT CONNECTIONS STREAMS SECONDS " VARY_ARGUMENTS "\n"), 2;
  int port = (int)number(argv[1], 1, 65535, "PORT"), count = (int)number(argv[2], 1, 1024, "CONNECTIONS");
  streams = (int)number(argv[3], 1, 1000, "STREAMS");
  double seconds = atof(argv[4]);
  vary_arguments(argc - 5, argv + 5);
  vary_requests(&shape);
  huffman_prepare();
  signal(SIGPIPE, SIG_IGN);
  raise_nofile();
  struct connection *all = calloc((size_t)count, sizeof *all);
  if (!all) die("calloc");
  int ep = epoll_create1(EPOLL_CLOEXEC), settled = 0;
  for (int i = 0; i < count; i++) {
    open_connection(&all[i], port, i % HABITS);
    watch(ep, all[i].fd, EPOLLIN, (uint64_t)i);
  }
  for (int64_t patience = now_ns() + 5000000000; settled < count;) {
    if (now_ns() > patience) return fprintf(stderr, "no SETTINGS on %d connections\n", count - settled), 1;
    turn(ep, all);
    if (errors > 0) return fprintf(stderr, "a connection ended at once\n"), 1;
    settled = 0;
    for (int i = 0; i < count; i++) settled += all[i].settled;
  }
  int64_t begin = now_ns(), end = begin + (int64_t)(seconds * 1e9), hard = end + 5000000000, now;
  for (int i = 0; i < count; i++) {
    for (int k = 0; k < streams && all[i].fd >= 0; k++) request(&all[i]);
    flush(&all[i]);
  }
  int open = 1;
  while (((now = now_ns()) < end || open > 0) && now < hard && errors < 1000) {
    going = now < end;
    turn(ep, all);
    open = going; /* which ends with a look at what is open */
    for (int i = 0; i < count && !going; i++) open += all[i].open;
  }
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f}\n", done, errors + (going ? 0 : open), (double)(now_ns() - begin) / 1e9);
  return 0;
}
