/* An encoder of header compression (RFC 7541) for vary.h's messages, with the habits of known ones: what is put in the dynamic table,
   what is left out of it, Huffman code wherever it is shorter. */
#ifndef SLUICE_BENCH_HPACK_H
#define SLUICE_BENCH_HPACK_H
#include "h2.h"
#include "vary.h"

/* nghttp2 (curl, Envoy, h2load) does not index what seldom comes again by its name; Go indexes all; Chromium all but the path and other
   pseudo-header fields, and splits cookies. */
enum { LIKE_NGHTTP2, LIKE_GO, LIKE_CHROMIUM, HABITS };
#define TABLE_BYTES 4096
#define TABLE_ENTRIES 128 /* of 32 octets each at least (section 4.1) */
#define LAST_STATIC 61

struct hpack {
  int habits, renewed;
  uint32_t max, size, count, inserted;
  uint32_t sizes[TABLE_ENTRIES];
  uint32_t by_value[VARY_FIELDS][VARY_CHOICES], by_name[VARY_FIELDS]; /* entry of a value, of a name: as of `inserted` */
};

static uint32_t huffman_code[257];
static const unsigned char huffman_bits[257] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10,
    13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30};

/* The code is canonical: its lengths determine it (appendix B). */
static inline void huffman_prepare(void) {
  uint32_t code = 0;
  for (int bits = 1; bits <= 30; bits++) {
    code *= 2;
    for (int symbol = 0; symbol <= 256; symbol++)
      if (huffman_bits[symbol] == bits) huffman_code[symbol] = code++;
  }
}

static inline unsigned char *hpack_integer(unsigned char *at, int first, int bits, uint32_t value) {
  uint32_t mask = (1u << bits) - 1;
  if (value < mask) {
    *at = (unsigned char)(first | (int)value);
    return at + 1;
  }
  *at++ = (unsigned char)(first | (int)mask);
  for (value -= mask; value >= 0x80; value >>= 7) *at++ = (unsigned char)(value | 0x80);
  *at++ = (unsigned char)value;
  return at;
}

static inline unsigned char *hpack_string(unsigned char *at, const char *text, size_t n) {
  size_t bits = 0;
  for (size_t i = 0; i < n; i++) bits += huffman_bits[(unsigned char)text[i]];
  if ((bits + 7) / 8 >= n) {
    at = hpack_integer(at, 0, 7, (uint32_t)n);
    memcpy(at, text, n);
    return at + n;
  }
  at = hpack_integer(at, 0x80, 7, (uint32_t)((bits + 7) / 8));
  uint64_t waiting = 0;
  int have = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned char symbol = (unsigned char)text[i];
    waiting = waiting << huffman_bits[symbol] | huffman_code[symbol];
    have += huffman_bits[symbol];
    if (have >= 32) at = put32(at, (uint32_t)(waiting >> (have -= 32)));
  }
  for (; have >= 8; have -= 8) *at++ = (unsigned char)(waiting >> (have - 8));
  if (have > 0) *at++ = (unsigned char)(waiting << (8 - have) | 0xffu >> have);
  return at;
}

/* The peer's SETTINGS_HEADER_TABLE_SIZE (section 4.2). The table is begun anew. */
static inline void hpack_resize(struct hpack *h, uint32_t peer) {
  h->max = peer < TABLE_BYTES ? peer : TABLE_BYTES;
  h->size = h->count = 0;
  h->renewed = 1;
}

static inline void hpack_start(struct hpack *h, int habits) {
  memset(h, 0, sizeof *h);
  h->habits = habits;
  h->max = TABLE_BYTES;
}

/* The index of an entry, 0 where it has left the table, or never was in it. */
static inline uint32_t hpack_index(const struct hpack *h, uint32_t entry) {
  return entry == 0 || h->inserted - entry >= h->count ? 0 : LAST_STATIC + 1 + h->inserted - entry;
}

static inline uint32_t hpack_insert(struct hpack *h, uint32_t size) {
  while (h->count > 0 && h->size + size > h->max) h->size -= h->sizes[(h->inserted - --h->count) % TABLE_ENTRIES];
  if (size > h->max) return 0;
  h->sizes[++h->inserted % TABLE_ENTRIES] = size;
  h->size += size;
  h->count++;
  return h->inserted;
}

static inline int hpack_indexes(const struct hpack *h, const char *name, size_t size) {
  static const char *const seldom[] = {":path", "age", "content-length", "etag", "if-modified-since", "if-none-match", "location", "set-cookie"};
  switch (h->habits) {
    case LIKE_GO: return size <= h->max;
    case LIKE_CHROMIUM: return name[0] != ':' || strcmp(name, ":authority") == 0;
    default:
      if (size > h->max * 3 / 4) return 0;
      for (size_t i = 0; i < sizeof seldom / sizeof *seldom; i++)
        if (strcmp(name, seldom[i]) == 0) return 0;
      return 1;
  }
}

/* Field `f` with a value; `choice` is -1 for one that is not looked for in the table. */
static inline unsigned char *hpack_field(struct hpack *h, const struct vary_shape *s, int f, const char *text, size_t n, int choice, unsigned char *at) {
  const struct vary_field *field = &s->field[f];
  uint32_t index = choice >= 0 ? hpack_index(h, h->by_value[f][choice]) : 0;
  if (index > 0) return hpack_integer(at, 0x80, 7, index);
  uint32_t size = (uint32_t)(32 + field->name_length + n), name = (uint32_t)field->index;
  if (name == 0) name = hpack_index(h, h->by_name[f]);
  int indexed = hpack_indexes(h, field->name, size);
  at = indexed ? hpack_integer(at, 0x40, 6, name) : hpack_integer(at, 0, 4, name);
  if (name == 0) at = hpack_string(at, field->name, field->name_length);
  at = hpack_string(at, text, n);
  if (!indexed) return at;
  uint32_t entry = hpack_insert(h, size);
  h->by_name[f] = entry;
  if (choice >= 0) h->by_value[f][choice] = entry;
  return at;
}

/* Writes the block of a message; returns where it ends. `to` has room for VARY_HEAD. */
static inline unsigned char *hpack_block(struct hpack *h, const struct vary_shape *s, const struct vary_message *m, unsigned char *to, int request) {
  unsigned char *at = to;
  if (h->renewed) {
    h->renewed = 0;
    *at++ = 0x20;
    if (h->max > 0) at = hpack_integer(at, 0x20, 5, h->max);
  }
  int i = 1;
  if (request) {
    *at++ = m->post ? 0x83 : 0x82;
    *at++ = 0x86;
    i = VARY_AUTHORITY;
  } else *at++ = 0x88;
  for (; i < s->count; i++) {
    const struct vary_value *v = &m->value[i];
    const char *from = v->text, *end = v->text + v->length;
    if (s->field[i].index == 32 && h->habits == LIKE_CHROMIUM && v->choice < 0)
      for (const char *crumb; (crumb = memchr(from, ';', (size_t)(end - from))) && crumb + 2 < end; from = crumb + 2)
        at = hpack_field(h, s, i, from, (size_t)(crumb - from), -1, at);
    at = hpack_field(h, s, i, from, (size_t)(end - from), v->choice, at);
  }
  if (request && !m->post) return at;
  uint32_t size = (uint32_t)(32 + sizeof "content-length" - 1 + strlen(m->length));
  int indexed = hpack_indexes(h, "content-length", size);
  at = indexed ? hpack_integer(at, 0x40, 6, 28) : hpack_integer(at, 0, 4, 28);
  at = hpack_string(at, m->length, strlen(m->length));
  if (indexed) hpack_insert(h, size);
  return at;
}
#endif
