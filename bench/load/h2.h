/* Just enough HTTP/2 for a load generator and its endpoint: frame heads out, frames in. */
#ifndef SLUICE_BENCH_H2_H
#define SLUICE_BENCH_H2_H
#include "net.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 32 };
enum { SETTING_TABLE_SIZE = 1, SETTING_PUSH = 2, SETTING_STREAMS = 3, SETTING_WINDOW = 4, SETTING_FRAME_SIZE = 5 };
#define FRAME_HEAD 9
#define DEFAULT_WINDOW 65535
#define MAX_FRAME 16384
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_LENGTH 24

static inline uint32_t get32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline unsigned char *put32(unsigned char *at, uint32_t value) {
  at[0] = (unsigned char)(value >> 24);
  at[1] = (unsigned char)(value >> 16);
  at[2] = (unsigned char)(value >> 8);
  at[3] = (unsigned char)value;
  return at + 4;
}

static inline unsigned char *put_setting(unsigned char *at, int id, uint32_t value) {
  at[0] = 0;
  at[1] = (unsigned char)id;
  return put32(at + 2, value);
}

/* Writes a frame's head; returns where its payload belongs. */
static inline unsigned char *put_frame(unsigned char *at, uint32_t length, int type, int flags, uint32_t stream) {
  put32(at, length << 8 | (uint32_t)type);
  at[4] = (unsigned char)flags;
  put32(at + 5, stream);
  return at + FRAME_HEAD;
}

/* Collects frames from pieces of any size. Of a payload only the beginning is kept, which is all of it but in DATA and HEADERS. */
#define KEPT 128
struct frame_reader {
  unsigned char head[FRAME_HEAD];
  unsigned char kept[KEPT];
  uint32_t have_head, length, have;
};

/* Feeds n octets; returns how many were used. A frame is complete, and its fields are valid, when frame_complete() says so. */
static inline size_t frame_feed(struct frame_reader *r, const unsigned char *data, size_t n) {
  size_t used = 0;
  while (r->have_head < FRAME_HEAD && used < n) {
    r->head[r->have_head++] = data[used++];
    if (r->have_head == FRAME_HEAD) r->length = get32(r->head) >> 8, r->have = 0;
  }
  if (r->have_head < FRAME_HEAD) return used;
  size_t take = n - used;
  if (take > r->length - r->have) take = r->length - r->have;
  if (r->have < KEPT) memcpy(r->kept + r->have, data + used, take < KEPT - r->have ? take : KEPT - r->have);
  r->have += (uint32_t)take;
  return used + take;
}
static inline int frame_complete(const struct frame_reader *r) {
  return r->have_head == FRAME_HEAD && r->have == r->length;
}
static inline void frame_next(struct frame_reader *r) { r->have_head = 0; }
static inline int frame_type(const struct frame_reader *r) { return r->head[3]; }
static inline int frame_flags(const struct frame_reader *r) { return r->head[4]; }
static inline uint32_t frame_stream(const struct frame_reader *r) { return get32(r->head + 5) & 0x7fffffff; }

/* Whether a header block begins with status 200, which every encoder writes as static entry 8; changes of table size may precede it. */
static inline int frame_is_200(const struct frame_reader *in) {
  int flags = frame_flags(in);
  uint32_t at = (flags & PADDED ? 1 : 0) + (flags & WITH_PRIORITY ? 5 : 0);
  while (at < in->length && at < KEPT && (in->kept[at] & 0xe0) == 0x20) {
    if ((in->kept[at++] & 0x1f) == 0x1f)
      while (at < KEPT && in->kept[at++] & 0x80) continue;
  }
  return at < in->length && at < KEPT && in->kept[at] == 0x88;
}

/* A literal field without Huffman coding that enters the dynamic table (RFC 7541 section 6.2.1); name_index refers to the static table. */
static inline unsigned char *put_indexed_literal(unsigned char *at, int name_index, const char *value) {
  size_t length = strlen(value);
  if (name_index >= 63 || length >= 127) abort();
  *at++ = (unsigned char)(0x40 | name_index);
  *at++ = (unsigned char)length;
  memcpy(at, value, length);
  return at + length;
}
#endif
