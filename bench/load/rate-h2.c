/* rate-h2 PORT CONNECTIONS STREAMS SECONDS RATE [WINDOW]: rate.c for HTTP/2 (prior knowledge). Request i is due at i / RATE seconds, whatever
   became of the ones before it, and goes out on the next connection in turn that has fewer than STREAMS open. Its latency counts from
   when it was due. Prints a JSON line, latencies in microseconds; of each WINDOW seconds as well, where it is given. */
#include "h2.h"
#include "latency.h"
#include <fcntl.h>
#include <sys/prctl.h>

#define OUT 16384
#define SLOTS 4096      /* requests that a connection remembers by number: far more than are open at once */
struct connection {
  int fd, open, settled, indexed;
  uint32_t next, received;
  struct frame_reader in;
  long number[SLOTS]; /* of the request, and 1; 0: not open */
  size_t pending;
  unsigned char out[OUT];
};
static struct latencies latencies;
static long errors;
static unsigned char first_request[256], next_request[64];
static size_t first_length, next_length;

/* The fields that h2load sends; they are in the peer's table from the second request on. */
static void make_requests(void) {
  unsigned char *at = first_request + FRAME_HEAD;
  *at++ = 0x82; /* :method GET */
  *at++ = 0x86; /* :scheme http */
  *at++ = 0x84; /* :path / */
  at = put_indexed_literal(at, 1, "bench");
  at = put_indexed_literal(at, 58, "rate-h2");
  first_length = (size_t)(at - first_request);
  unsigned char next[] = {0x82, 0x86, 0x84, 0xbf, 0xbe};
  memcpy(next_request + FRAME_HEAD, next, sizeof next);
  next_length = FRAME_HEAD + sizeof next;
}

static void fail(struct connection *c) {
  errors += c->open + 1;
  c->open = 0;
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

/* Sends what was put: once for all requests of a connection that are due at the same time. */
static void flush(struct connection *c) {
  if (c->fd >= 0 && c->pending > 0 && send(c->fd, c->out, c->pending, 0) != (ssize_t)c->pending) fail(c);
  c->pending = 0;
}

static void put(struct connection *c, const unsigned char *data, size_t n) {
  if (OUT - c->pending < n) flush(c);
  memcpy(c->out + c->pending, data, n);
  c->pending += n;
}

static void request(struct connection *c, long number) {
  unsigned char *frame = c->indexed ? next_request : first_request;
  size_t length = c->indexed ? next_length : first_length;
  long *slot = &c->number[c->next / 2 % SLOTS];
  put_frame(frame, (uint32_t)(length - FRAME_HEAD), HEADERS, END_STREAM | END_HEADERS, c->next);
  if (*slot != 0) errors++; /* answered by nobody for thousands of requests */
  else c->open++;
  *slot = number + 1;
  c->next += 2;
  c->indexed = 1;
  put(c, frame, length);
}

static void answered(struct connection *c, uint32_t stream, int good) {
  long *slot = &c->number[stream / 2 % SLOTS], number = *slot - 1;
  if (number < 0 || stream >= c->next) {
    errors++;
    return;
  }
  *slot = 0;
  c->open--;
  if (good) latencies_note(&latencies, number);
  else errors++;
}

static void on_frame(struct connection *c) {
  static unsigned char out[FRAME_HEAD + 8];
  struct frame_reader *in = &c->in;
  int flags = frame_flags(in);
  switch (frame_type(in)) {
    case HEADERS:
      if (!frame_is_200(in)) answered(c, frame_stream(in), 0);
      else if (flags & END_STREAM) answered(c, frame_stream(in), 1);
      break;
    case DATA:
      c->received += in->length;
      if (c->received >= 1u << 29) {
        put32(put_frame(out, 4, WINDOW_UPDATE, 0, 0), c->received);
        put(c, out, FRAME_HEAD + 4);
        c->received = 0;
      }
      if (flags & END_STREAM) answered(c, frame_stream(in), 1);
      break;
    case RST_STREAM:
      answered(c, frame_stream(in), 0);
      break;
    case SETTINGS:
      if (flags & ACK) break;
      c->settled = 1;
      put_frame(out, 0, SETTINGS, ACK, 0);
      put(c, out, FRAME_HEAD);
      break;
    case PING:
      if (flags & ACK) break;
      memcpy(put_frame(out, 8, PING, ACK, 0), in->kept, 8);
      put(c, out, FRAME_HEAD + 8);
      break;
    case GOAWAY:
      fprintf(stderr, "GOAWAY with code %u\n", get32(in->kept + 4));
      fail(c);
      break;
  }
}

static void receive(struct connection *c) {
  static unsigned char buffer[65536];
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

static void open_connection(struct connection *c, int port) {
  unsigned char hello[PREFACE_LENGTH + 64], *at = hello;
  c->fd = start_connect(port, -1);
  if (c->fd < 0) die("connect");
  c->next = 1;
  fcntl(c->fd, F_SETFL, 0); /* a connect under way is waited for by the first send */
  memcpy(at, PREFACE, PREFACE_LENGTH);
  at = put_setting(put_frame(at + PREFACE_LENGTH, 6, SETTINGS, 0, 0), SETTING_PUSH, 0);
  at = put32(put_frame(at, 4, WINDOW_UPDATE, 0, 0), 1u << 30);
  put(c, hello, (size_t)(at - hello));
  flush(c);
  if (c->fd < 0) die("send");
}

int main(int argc, char **argv) {
  if (argc != 6 && argc != 7) return fprintf(stderr, "usage: rate-h2 PORT CONNECTIONS STREAMS SECONDS RATE [WINDOW]\n"), 2;
  int port = (int)number(argv[1], 1, 65535, "PORT"), count = (int)number(argv[2], 1, 1024, "CONNECTIONS");
  int streams = (int)number(argv[3], 1, 1000, "STREAMS");
  double seconds = atof(argv[4]), window = argc > 6 ? atof(argv[6]) : 0;
  long rate = number(argv[5], 1, 10000000, "RATE");
  signal(SIGPIPE, SIG_IGN);
  raise_nofile();
  prctl(PR_SET_TIMERSLACK, 1000); /* the default of 50 us would be most of what is measured */
  make_requests();
  struct connection *all = calloc((size_t)count, sizeof *all);
  if (!all) die("calloc");
  int ep = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < count; i++) {
    open_connection(&all[i], port);
    watch(ep, all[i].fd, EPOLLIN, (uint64_t)i);
  }
  struct epoll_event events[256];
  int64_t patience = now_ns() + 5000000000;
  for (int settled = 0; settled < count;) {
    if (now_ns() > patience) return fprintf(stderr, "no SETTINGS on %d connections\n", count - settled), 1;
    int n = epoll_wait(ep, events, 256, 100);
    for (int i = 0; i < n; i++) {
      struct connection *c = &all[events[i].data.u64];
      if (c->fd >= 0) receive(c);
    }
    settled = 0;
    for (int i = 0; i < count; i++) settled += all[i].settled;
    if (errors > 0) return fprintf(stderr, "a connection ended at once\n"), 1;
  }
  long total = (long)(seconds * (double)rate), issued = 0;
  latencies_begin(&latencies, total, rate);
  int64_t begin = latencies.begin, hard = begin + (int64_t)(seconds * 1e9) + 5000000000;
  int turn = 0;
  while (latencies.done + errors < total) {
    int64_t now = now_ns();
    if (now > hard || errors > 1000) break;
    int free_one = 1;
    while (issued < total && latencies_due(&latencies, issued) <= now) {
      free_one = 0;
      for (int tried = 0; tried < count && !free_one; tried++) {
        turn = turn + 1 < count ? turn + 1 : 0;
        free_one = all[turn].fd >= 0 && all[turn].open < streams;
      }
      if (!free_one) break;
      request(&all[turn], issued++);
    }
    for (int i = 0; i < count; i++) flush(&all[i]);
    int64_t wait = 100000000;
    if (issued < total && free_one) {
      wait = latencies_due(&latencies, issued) - now_ns();
      if (wait < 0) wait = 0;
    }
    struct timespec timeout = {.tv_nsec = wait < 999999999 ? wait : 999999999};
    int n = epoll_pwait2(ep, events, 256, &timeout, NULL);
    for (int i = 0; i < n; i++) {
      struct connection *c = &all[events[i].data.u64];
      if (c->fd >= 0) receive(c);
    }
  }
  long done = latencies.done;
  if (done + errors < total) errors = total - done;
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f,", done, errors, (double)(now_ns() - begin) / 1e9);
  latencies_print(&latencies, window);
  printf("}\n");
  return 0;
}
