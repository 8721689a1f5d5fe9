/* A client's connection of HTTP/2, and what all such clients do alike. The program says what a request is and what becomes of an answer. */
#ifndef SLUICE_BENCH_H2_CLIENT_H
#define SLUICE_BENCH_H2_CLIENT_H
#include "h2.h"
#include <fcntl.h>

#define OUT (64 * 1024)
#define SLOTS 4096 /* requests that a connection remembers by number: far more than are open at once */
struct client {
  int fd, open, settled;
  uint32_t next, received; /* the next stream; octets of DATA that were not given back yet */
  struct frame_reader in;
  size_t pending;
  unsigned char out[OUT];
};
static long errors;

/* The program's: a stream has ended, rightly or not. */
static void answered(struct client *c, uint32_t stream, int good);

static inline void fail(struct client *c) {
  errors += c->open + 1;
  c->open = 0;
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

/* Sends what was put: once for all requests of a connection that are made at the same time. */
static inline void flush(struct client *c) {
  if (c->fd >= 0 && c->pending > 0 && send(c->fd, c->out, c->pending, 0) != (ssize_t)c->pending) fail(c);
  c->pending = 0;
}

/* Where n octets can be put; adding to `pending` puts them. */
static inline unsigned char *room(struct client *c, size_t n) {
  if (OUT - c->pending < n) flush(c);
  return c->out + c->pending;
}

static inline void put(struct client *c, const unsigned char *data, size_t n) {
  memcpy(room(c, n), data, n);
  c->pending += n;
}

/* Counts received octets, and gives the connection's window back before it is used up. */
static inline void count_data(struct client *c) {
  c->received += c->in.length;
  if (c->received < 1u << 29) return;
  put32(put_frame(room(c, FRAME_HEAD + 4), 4, WINDOW_UPDATE, 0, 0), c->received);
  c->pending += FRAME_HEAD + 4;
  c->received = 0;
}

/* Frames whose meaning is the same for all clients; DATA is counted only. */
static inline void on_common_frame(struct client *c) {
  struct frame_reader *in = &c->in;
  int flags = frame_flags(in);
  switch (frame_type(in)) {
    case HEADERS:
      if (!frame_is_200(in)) answered(c, frame_stream(in), 0);
      else if (flags & END_STREAM) answered(c, frame_stream(in), 1);
      break;
    case DATA:
      count_data(c);
      if (flags & END_STREAM) answered(c, frame_stream(in), !(flags & PADDED));
      break;
    case RST_STREAM:
      answered(c, frame_stream(in), 0);
      break;
    case SETTINGS:
      if (flags & ACK) break;
      c->settled = 1;
      put_frame(room(c, FRAME_HEAD), 0, SETTINGS, ACK, 0);
      c->pending += FRAME_HEAD;
      break;
    case PING:
      if (flags & ACK) break;
      memcpy(put_frame(room(c, FRAME_HEAD + 8), 8, PING, ACK, 0), in->kept, 8);
      c->pending += FRAME_HEAD + 8;
      break;
    case GOAWAY:
      fprintf(stderr, "GOAWAY with code %u\n", get32(in->kept + 4));
      fail(c);
      break;
  }
}

/* Takes what has come, a frame at a time. */
static inline void receive(struct client *c, void (*on_frame)(struct client *)) {
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

/* Connects and says hello; `window` is for each stream, 0: as HTTP/2 has it. */
static inline void open_client(struct client *c, int port, uint32_t window) {
  c->fd = start_connect(port, -1);
  if (c->fd < 0) die("connect");
  c->next = 1;
  fcntl(c->fd, F_SETFL, 0); /* a connect under way is waited for by the first send */
  unsigned char *hello = room(c, PREFACE_LENGTH + 64), *at = hello;
  memcpy(at, PREFACE, PREFACE_LENGTH);
  at = put_setting(put_frame(at + PREFACE_LENGTH, window ? 12 : 6, SETTINGS, 0, 0), SETTING_PUSH, 0);
  if (window) at = put_setting(at, SETTING_WINDOW, window);
  at = put32(put_frame(at, 4, WINDOW_UPDATE, 0, 0), 1u << 30);
  c->pending = (size_t)(at - hello);
  flush(c);
  if (c->fd < 0) die("send");
}
#endif
