/* Messages of which no two are alike, as sidecars meet them: paths, identifiers, times and cookies that never come again beside
   fields that do. What differs, how much of it and under which names is told by arguments of the form KEY=NUMBER or KEY=TEXT. */
#ifndef SLUICE_BENCH_VARY_H
#define SLUICE_BENCH_VARY_H
#include "net.h"

#define VARY_FIELDS 48
#define VARY_NAME 64
#define VARY_VALUE 1024
#define VARY_CHOICES 32 /* values of a field that come again: one of `agents`, or of those that `again` chooses from */
#define VARY_HEAD 16384 /* what a head takes at most, in either version */
#define VARY_ARGUMENTS "[prefix=TEXT] [stretch=N] [again=PERCENT] [extra=N] [agents=N] [posts=PERCENT] [body=MOST]"

static struct {
  char prefix[24]; /* in front of the names that no table knows */
  long stretch;    /* digits that each value which never comes again is longer by */
  long again;      /* of these values, how many of a hundred do come again after all */
  long extra;      /* further fields of such values */
  long agents;     /* different user agents */
  long posts;      /* of a hundred requests, those with a body */
  long body;       /* the longest body */
} vary = {.agents = 20, .posts = 20, .body = 4096};

enum vary_kind { VARY_FIXED, VARY_CHOSEN, VARY_FRESH };
struct vary_field {
  char name[VARY_NAME];
  size_t name_length;
  int index; /* of its name in HPACK's static table, or 0 */
  enum vary_kind kind;
  const char *pattern; /* % is a hexadecimal digit, # a decimal one, @ a letter; anything else is itself */
  char values[VARY_CHOICES][VARY_VALUE];
  size_t lengths[VARY_CHOICES];
};
struct vary_shape {
  int count;
  struct vary_field field[VARY_FIELDS];
};

/* A value in a message. `choice` is which of those that come again, -1 where it does not. */
struct vary_value {
  const char *text;
  size_t length;
  int choice;
};
struct vary_message {
  int post;
  long body;
  char length[24];
  struct vary_value value[VARY_FIELDS];
  char text[VARY_FIELDS * 128 + VARY_FIELDS * VARY_VALUE];
};

static uint64_t vary_state;
static inline uint64_t vary_random(void) {
  vary_state ^= vary_state >> 12, vary_state ^= vary_state << 25, vary_state ^= vary_state >> 27;
  return vary_state * 2685821657736338717ull;
}

static inline long vary_body(void) {
  if (vary.body < 16) return 0;
  uint64_t r = vary_random();
  if ((r & 7) == 0) return 0;
  long most = 32l << ((r >> 3) % 8), size = 16 + (long)((r >> 16) % (uint64_t)most);
  return size < vary.body ? size : vary.body;
}

static inline size_t vary_fill(const char *pattern, char *to, size_t stretch) {
  static const char hex[] = "0123456789abcdef", letters[] = "abcdefghijklmnopqrstuvwxyzabcdef";
  uint64_t r = 0;
  int left = 0;
  char *at = to, *end = to + VARY_VALUE - 1 - stretch;
  for (; *pattern && at < end; pattern++) {
    if (left == 0 && (*pattern == '%' || *pattern == '#' || *pattern == '@')) r = vary_random(), left = 12;
    switch (*pattern) {
      case '%': *at++ = hex[r & 15]; break;
      case '#': *at++ = hex[(r & 31) % 10]; break;
      case '@': *at++ = letters[r & 31]; break;
      default: *at++ = *pattern; continue;
    }
    r >>= 5, left--;
  }
  for (size_t i = 0; i < stretch; i++) {
    if (i % 12 == 0) r = vary_random();
    *at++ = hex[r & 15];
    r >>= 5;
  }
  return (size_t)(at - to);
}

static inline struct vary_field *vary_add(struct vary_shape *s, const char *name, int index, enum vary_kind kind, const char *pattern) {
  if (s->count == VARY_FIELDS) fprintf(stderr, "too many fields\n"), exit(2);
  struct vary_field *f = &s->field[s->count++];
  int own = index == 0 && name[0] != ':';
  f->name_length = (size_t)snprintf(f->name, sizeof f->name, "%s%s", own ? vary.prefix : "", name);
  f->index = index;
  f->kind = kind;
  f->pattern = pattern;
  size_t stretch = kind == VARY_FRESH && pattern[0] ? (size_t)vary.stretch : 0;
  for (int i = 0; i < VARY_CHOICES; i++) f->lengths[i] = vary_fill(pattern, f->values[i], stretch);
  return f;
}

static inline void vary_extra(struct vary_shape *s) {
  for (long i = 0; i < vary.extra; i++) {
    char name[32];
    snprintf(name, sizeof name, "extra-%ld", i);
    vary_add(s, name, 0, VARY_FRESH, "%%%%%%%%%%%%%%%%");
  }
}

/* Where the fields are that both versions treat by themselves. */
enum { VARY_METHOD, VARY_SCHEME, VARY_AUTHORITY, VARY_PATH };
static inline void vary_requests(struct vary_shape *s) {
  vary_add(s, ":method", 2, VARY_FIXED, "GET");
  vary_add(s, ":scheme", 6, VARY_FIXED, "http");
  vary_add(s, ":authority", 1, VARY_FIXED, "orders.shop.svc.cluster.local:8080");
  vary_add(s, ":path", 4, VARY_FRESH, "/api/v1/orders/########/items/@@@@@@@@?session=%%%%%%%%%%%%%%%%&page=##");
  struct vary_field *agent = vary_add(s, "user-agent", 58, VARY_CHOSEN, "");
  for (int i = 0; i < VARY_CHOICES; i++) {
    char pattern[160];
    snprintf(pattern, sizeof pattern, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.%d (KHTML, like Gecko) Chrome/%d.0.####.## Safari/537.36", i, 100 + i);
    agent->lengths[i] = vary_fill(pattern, agent->values[i], 0);
  }
  vary_add(s, "accept", 19, VARY_FIXED, "application/json, text/plain, */*");
  vary_add(s, "accept-encoding", 16, VARY_FIXED, "gzip, br");
  vary_add(s, "traceparent", 0, VARY_FRESH, "00-%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%-%%%%%%%%%%%%%%%%-01");
  vary_add(s, "x-request-id", 0, VARY_FRESH, "%%%%%%%%-%%%%-%%%%-%%%%-%%%%%%%%%%%%");
  vary_add(s, "x-sent-at", 0, VARY_FRESH, "Mon, 30 Nov 2026 ##:##:##.###### GMT");
  vary_add(s, "cookie", 32, VARY_FRESH, "session=@@%%@@%%@@%%@@%%@@%%@@%%; seen=##########");
  vary_extra(s);
}

static inline void vary_responses(struct vary_shape *s) {
  vary_add(s, ":status", 8, VARY_FIXED, "200");
  vary_add(s, "server", 54, VARY_FIXED, "orders/2.14.3");
  struct vary_field *date = vary_add(s, "date", 33, VARY_CHOSEN, "");
  date->lengths[0] = (size_t)snprintf(date->values[0], VARY_VALUE, "Mon, 30 Nov 2026 10:00:00 GMT");
  vary_add(s, "content-type", 31, VARY_FIXED, "application/json; charset=utf-8");
  vary_add(s, "etag", 34, VARY_FRESH, "\"%%%%%%%%%%%%%%%%%%%%\"");
  vary_add(s, "last-modified", 44, VARY_FRESH, "Mon, ## Nov 2026 ##:##:## GMT");
  vary_add(s, "x-request-id", 0, VARY_FRESH, "%%%%%%%%-%%%%-%%%%-%%%%-%%%%%%%%%%%%");
  vary_extra(s);
}

/* The date of responses moves once a second, and so is another one of the values in turn. */
static inline int vary_date(struct vary_field *f) {
  static time_t shown;
  static int choice;
  time_t now = time(NULL);
  if (now != shown) {
    struct tm tm;
    shown = now;
    choice = (choice + 1) % VARY_CHOICES;
    f->lengths[choice] = strftime(f->values[choice], VARY_VALUE, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
  }
  return choice;
}

static inline void vary_make(struct vary_shape *s, struct vary_message *m, int request) {
  char *at = m->text;
  m->post = request && (long)(vary_random() >> 20) % 100 < vary.posts;
  m->body = !request || m->post ? vary_body() : 0;
  snprintf(m->length, sizeof m->length, "%ld", m->body);
  for (int i = 0; i < s->count; i++) {
    struct vary_field *f = &s->field[i];
    struct vary_value *v = &m->value[i];
    v->choice = 0;
    if (f->kind == VARY_CHOSEN) v->choice = request ? (int)(vary_random() % (uint64_t)vary.agents) : vary_date(f);
    if (f->kind == VARY_FRESH) {
      uint64_t r = vary.again > 0 ? vary_random() >> 20 : 0;
      if (vary.again > 0 && (long)(r % 100) < vary.again) v->choice = (int)(r / 128 % VARY_CHOICES);
      else {
        v->choice = -1;
        v->text = at;
        v->length = vary_fill(f->pattern, at, (size_t)vary.stretch);
        at += v->length;
        continue;
      }
    }
    v->text = f->values[v->choice];
    v->length = f->lengths[v->choice];
  }
}

/* Bodies begin with their length, in eight digits, so that whoever reads them knows whether all of it came. `n` octets of it are written. */
static inline void vary_put_length(char *to, long length, long n) {
  char digits[24];
  snprintf(digits, sizeof digits, "%08ld", length);
  memcpy(to, digits, n < 8 ? (size_t)n : 8);
}
static inline void vary_put_body(char *to, long length) {
  memset(to, 'b', (size_t)length);
  vary_put_length(to, length, length);
}

static inline char *vary_put(char *at, const char *text, size_t n) {
  memcpy(at, text, n);
  return at + n;
}
#define VARY_PUT(at, text) vary_put(at, text, sizeof(text) - 1)

/* Writes head and body as HTTP/1.1; returns where they end. `to` has room for VARY_HEAD and the body. */
static inline char *vary_http1(const struct vary_shape *s, const struct vary_message *m, char *to, int request) {
  char *at = to;
  int i = 1;
  if (request) {
    at = m->post ? VARY_PUT(at, "POST ") : VARY_PUT(at, "GET ");
    at = vary_put(at, m->value[VARY_PATH].text, m->value[VARY_PATH].length);
    at = VARY_PUT(at, " HTTP/1.1\r\nhost: ");
    at = vary_put(at, m->value[VARY_AUTHORITY].text, m->value[VARY_AUTHORITY].length);
    at = VARY_PUT(at, "\r\n");
    i = VARY_PATH + 1;
  } else at = VARY_PUT(at, "HTTP/1.1 200 OK\r\n");
  for (; i < s->count; i++) {
    at = vary_put(at, s->field[i].name, s->field[i].name_length);
    at = VARY_PUT(at, ": ");
    at = vary_put(at, m->value[i].text, m->value[i].length);
    at = VARY_PUT(at, "\r\n");
  }
  if (!request || m->post) {
    at = VARY_PUT(at, "content-length: ");
    at = vary_put(at, m->length, strlen(m->length));
    at = VARY_PUT(at, "\r\n");
  }
  at = VARY_PUT(at, "\r\n");
  vary_put_body(at, m->body);
  return at + m->body;
}

/* Reads the arguments KEY=VALUE. Exits where one is wrong. */
static inline void vary_arguments(int count, char **arguments) {
  static const struct {
    const char *key;
    long *value, low, high;
  } known[] = {
      {"stretch", &vary.stretch, 0, 256}, {"again", &vary.again, 0, 100}, {"extra", &vary.extra, 0, 24},
      {"agents", &vary.agents, 1, VARY_CHOICES}, {"posts", &vary.posts, 0, 100}, {"body", &vary.body, 0, 4096},
  };
  vary_state = (uint64_t)now_ns() ^ (uint64_t)getpid() << 40;
  for (int i = 0; i < count; i++) {
    char *value = strchr(arguments[i], '=');
    size_t length = value ? (size_t)(value - arguments[i]) : 0, k = 0;
    if (value && length == 6 && strncmp(arguments[i], "prefix", 6) == 0 && strlen(value + 1) < sizeof vary.prefix) {
      strcpy(vary.prefix, value + 1);
      continue;
    }
    while (k < sizeof known / sizeof *known && (strlen(known[k].key) != length || strncmp(known[k].key, arguments[i], length) != 0)) k++;
    if (!value || k == sizeof known / sizeof *known) fprintf(stderr, "'%s' is none of " VARY_ARGUMENTS "\n", arguments[i]), exit(2);
    *known[k].value = number(value + 1, known[k].low, known[k].high, known[k].key);
  }
}
#endif
