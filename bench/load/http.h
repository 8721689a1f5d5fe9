/* An HTTP/1.1 response reader for load generators: status, Content-Length, and how much of the body is still to come.
   It knows what the benchmark's upstream sends, no more: a response without Content-Length is an error. */
#ifndef SLUICE_BENCH_HTTP_H
#define SLUICE_BENCH_HTTP_H
#include "net.h"
#include <strings.h>

#define HEAD_MAX 16384
struct response {
  int have;          /* bytes of the head collected */
  int64_t body_left; /* -1 until the head is complete */
  char head[HEAD_MAX];
};

static inline void response_reset(struct response *r) {
  r->have = 0;
  r->body_left = -1;
}

/* Feeds n bytes. Returns how many belonged to this response, or -1: not a 200, no length, head too large. Complete when body_left is 0. */
static inline ssize_t response_feed(struct response *r, const char *data, size_t n) {
  size_t used = 0;
  if (r->body_left < 0) {
    size_t before = (size_t)r->have, take = n < HEAD_MAX - 1 - before ? n : HEAD_MAX - 1 - before;
    memcpy(r->head + before, data, take);
    r->head[before + take] = 0;
    size_t from = before > 3 ? before - 3 : 0;
    char *end = memmem(r->head + from, before + take - from, "\r\n\r\n", 4);
    if (!end) {
      if (take < n) return -1;
      r->have = (int)(before + take);
      return (ssize_t)take;
    }
    end[2] = 0;
    if (strncmp(r->head, "HTTP/1.1 200", 12) != 0) return -1;
    char *length = strcasestr(r->head, "\r\ncontent-length:");
    if (!length) return -1;
    r->body_left = strtoll(length + 17, NULL, 10);
    used = (size_t)(end + 4 - r->head) - before;
  }
  size_t body = n - used;
  if ((int64_t)body > r->body_left) body = (size_t)r->body_left;
  r->body_left -= (int64_t)body;
  return (ssize_t)(used + body);
}
#endif
