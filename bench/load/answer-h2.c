/* answer-h2 PORT [BYTES]: an HTTP/2 server (prior knowledge) that answers every request with BYTES octets (40), as cheaply as it can.
   The response has the fields of a usual one, and refers to the dynamic table from the second on, because that is what proxies meet.
   answer-h2 PORT vary [KEY=VALUE...]: with responses of which no two are alike (vary.h).
   Request bodies must fit in a stream's first window. */
#include "hpack.h"
#include "serve.h"

#define STREAMS 256
#define OUT (256 * 1024)
struct answer {
  uint32_t id;
  int has_head;
  int64_t window, body, left;
};
struct connection {
  struct frame_reader in;
  int preface; /* octets of it seen */
  int indexed; /* the fields are in the peer's table */
  int waits;   /* EPOLLOUT is armed */
  int64_t window, initial_window;
  uint32_t received; /* DATA octets not yet given back to the connection's window */
  struct answer open[STREAMS];
  int count;
  size_t from, to;
  struct hpack hpack;
  unsigned char out[OUT];
};
static struct connection *connections[MAX_FD];
static unsigned char pattern[PERIOD + MAX_FRAME];
static unsigned char first_head[512], next_head[16];
static size_t first_length, next_length;
static long body = 40;
static int varied; /* connections get the habits of known encoders in turn */
static struct vary_shape shape;
static struct vary_message message;

static void make_heads(void) {
  char length[24];
  snprintf(length, sizeof length, "%ld", body);
  unsigned char *at = first_head;
  *at++ = 0x88; /* :status 200 */
  at = put_indexed_literal(at, 54, "bench");
  at = put_indexed_literal(at, 33, "Mon, 01 Jan 2024 00:00:00 GMT");
  at = put_indexed_literal(at, 31, "text/plain");
  at = put_indexed_literal(at, 28, length);
  first_length = (size_t)(at - first_head);
  unsigned char next[] = {0x88, 0xc1, 0xc0, 0xbf, 0xbe};
  memcpy(next_head, next, sizeof next);
  next_length = sizeof next;
}

/* Writes what windows and room allow, a frame of each stream in turn. */
static void pump(struct connection *c) {
  for (int moved = 1; moved && c->count > 0;) {
    moved = 0;
    for (int i = 0; i < c->count;) {
      struct answer *a = &c->open[i];
      size_t room = OUT - c->to;
      if (room < (varied ? VARY_HEAD + 1024 : 1024)) return;
      if (!a->has_head && varied) {
        vary_make(&shape, &message, 0);
        a->body = a->left = message.body;
        unsigned char *frame = c->out + c->to;
        size_t length = (size_t)(hpack_block(&c->hpack, &shape, &message, frame + FRAME_HEAD, 0) - frame - FRAME_HEAD);
        put_frame(frame, (uint32_t)length, HEADERS, END_HEADERS | (a->left == 0), a->id);
        c->to += FRAME_HEAD + length;
        room -= FRAME_HEAD + length;
        a->has_head = moved = 1;
      }
      if (!a->has_head) {
        size_t length = c->indexed ? next_length : first_length;
        unsigned char *at = put_frame(c->out + c->to, (uint32_t)length, HEADERS, END_HEADERS | (a->left == 0), a->id);
        memcpy(at, c->indexed ? next_head : first_head, length);
        c->to += FRAME_HEAD + length;
        room -= FRAME_HEAD + length;
        a->has_head = c->indexed = moved = 1;
      }
      int64_t take = a->left < MAX_FRAME ? a->left : MAX_FRAME;
      if (take > a->window) take = a->window;
      if (take > c->window) take = c->window;
      if (take > (int64_t)room - FRAME_HEAD) take = (int64_t)room - FRAME_HEAD;
      if (take > 0) {
        put_frame(c->out + c->to, (uint32_t)take, DATA, take == a->left ? END_STREAM : 0, a->id);
        memcpy(c->out + c->to + FRAME_HEAD, pattern + (a->body - a->left) % (long)PERIOD, (size_t)take);
        if (varied && a->left == a->body) vary_put_length((char *)c->out + c->to + FRAME_HEAD, a->body, take);
        c->to += FRAME_HEAD + (size_t)take;
        a->left -= take;
        a->window -= take;
        c->window -= take;
        moved = 1;
      }
      if (a->left > 0) i++;
      else c->open[i] = c->open[--c->count];
    }
  }
}

static unsigned char *reply(struct connection *c, uint32_t length, int type, int flags, uint32_t stream) {
  if (OUT - c->to < FRAME_HEAD + length) return NULL;
  unsigned char *at = put_frame(c->out + c->to, length, type, flags, stream);
  c->to += FRAME_HEAD + length;
  return at;
}

static int settings(struct connection *c) {
  const unsigned char *at = c->in.kept;
  if (c->in.length > KEPT) return fprintf(stderr, "more settings than expected\n"), -1;
  for (uint32_t i = 0; i + 6 <= c->in.length; i += 6) {
    uint32_t value = get32(at + i + 2);
    switch (at[i] << 8 | at[i + 1]) {
      case SETTING_TABLE_SIZE:
        if (varied) hpack_resize(&c->hpack, value);
        else if (value < 4096) return fprintf(stderr, "a peer with a small table is not provided for\n"), -1;
        break;
      case SETTING_WINDOW:
        for (int k = 0; k < c->count; k++) c->open[k].window += (int64_t)value - c->initial_window;
        c->initial_window = value;
        break;
    }
  }
  return reply(c, 0, SETTINGS, ACK, 0) ? 0 : -1;
}

/* Returns -1 where the connection must end. */
static int on_frame(struct connection *c) {
  struct frame_reader *in = &c->in;
  uint32_t stream = frame_stream(in);
  int flags = frame_flags(in);
  unsigned char *at;
  switch (frame_type(in)) {
    case DATA:
      c->received += in->length;
      if (c->received >= DEFAULT_WINDOW / 2) {
        if (!(at = reply(c, 4, WINDOW_UPDATE, 0, 0))) return -1;
        put32(at, c->received);
        c->received = 0;
      }
      /* fall through */
    case HEADERS:
      if (!(flags & END_STREAM)) return 0;
      if (c->count == STREAMS) return fprintf(stderr, "more streams than allowed\n"), -1;
      c->open[c->count++] = (struct answer){.id = stream, .window = c->initial_window, .body = body, .left = body};
      pump(c);
      return 0;
    case RST_STREAM:
      for (int i = 0; i < c->count; i++)
        if (c->open[i].id == stream) c->open[i] = c->open[--c->count];
      return 0;
    case SETTINGS:
      return flags & ACK ? 0 : settings(c);
    case PING:
      if (flags & ACK) return 0;
      if (!(at = reply(c, 8, PING, ACK, 0))) return -1;
      memcpy(at, in->kept, 8);
      return 0;
    case WINDOW_UPDATE:
      if (stream == 0) c->window += get32(in->kept) & 0x7fffffff;
      for (int i = 0; i < c->count; i++)
        if (c->open[i].id == stream) c->open[i].window += get32(in->kept) & 0x7fffffff;
      return 0;
    default:
      return 0;
  }
}

static int feed(struct connection *c, const unsigned char *data, size_t n) {
  size_t at = 0;
  while (c->preface < PREFACE_LENGTH && at < n)
    if (data[at++] != (unsigned char)PREFACE[c->preface++]) return -1;
  while (at < n) {
    at += frame_feed(&c->in, data + at, n - at);
    if (!frame_complete(&c->in)) continue;
    if (c->in.length > MAX_FRAME || on_frame(c) < 0) return -1;
    frame_next(&c->in);
  }
  return 0;
}

/* Sends what is there, makes more where windows allow, until neither goes on. */
static int flush(int ep, int fd, struct connection *c) {
  int blocked = 0;
  for (;;) {
    pump(c);
    if (c->from == c->to) break;
    ssize_t r = send(fd, c->out + c->from, c->to - c->from, MSG_DONTWAIT);
    if (r < 0 && errno != EAGAIN) return -1;
    if (r < 0) {
      blocked = 1;
      break;
    }
    c->from += (size_t)r;
    if (c->from == c->to) c->from = c->to = 0;
  }
  if (blocked != c->waits) {
    struct epoll_event e = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.u64 = (uint64_t)fd};
    if (epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) < 0) die("epoll_ctl");
    c->waits = blocked;
  }
  return 0;
}

static void accepted(int ep, int fd) {
  struct connection *c = calloc(1, sizeof *c);
  if (!c) {
    close(fd);
    return;
  }
  connections[fd] = c;
  static int habits;
  hpack_start(&c->hpack, habits++ % HABITS);
  c->window = c->initial_window = DEFAULT_WINDOW;
  put_setting(reply(c, 6, SETTINGS, 0, 0), SETTING_STREAMS, STREAMS);
  watch(ep, fd, EPOLLIN, (uint64_t)fd);
}

int main(int argc, char **argv) {
  varied = argc > 2 && strcmp(argv[2], "vary") == 0;
  if (argc < 2 || (argc > 3 && !varied)) return fprintf(stderr, "usage: answer-h2 PORT [BYTES | vary " VARY_ARGUMENTS "]\n"), 2;
  if (varied) {
    vary_arguments(argc - 3, argv + 3);
    vary_responses(&shape);
    huffman_prepare();
  } else if (argc == 3) body = number(argv[2], 0, 1L << 40, "BYTES");
  make_heads();
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = pattern_at(i);
  int listener, ep = serve_on(argv[1], &listener);
  static unsigned char buffer[65536];
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64, ends = 0;
      if (fd == listener) {
        for (int peer; (peer = accept_next(listener, 0)) >= 0;) accepted(ep, peer);
        continue;
      }
      struct connection *c = connections[fd];
      if (events[i].events & ~(uint32_t)EPOLLOUT) {
        ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        ends = got <= 0 || feed(c, buffer, (size_t)got) < 0;
      }
      if (ends || flush(ep, fd, c) < 0) {
        connections[fd] = NULL;
        free(c);
        close(fd);
      }
    }
  }
}
