/* vary-h2 PORT CONNECTIONS STREAMS SECONDS [KEY=VALUE...]: HTTP/2 (prior knowledge), STREAMS requests open on each connection all the
   time, of which no two are alike (vary.h). The connections encode as known clients do, in turn. Prints a JSON line. */
#include "h2-client.h"
#include "hpack.h"

struct answer {
  uint32_t have, told; /* octets of the body, and what its first eight say */
  int open;
};
struct connection {
  struct client client;
  int64_t window;
  struct hpack hpack;
  struct answer answers[SLOTS];
};
static struct vary_shape shape;
static struct vary_message message;
static long done;
static int going = 1, streams;

static void request(struct connection *of) {
  struct client *c = &of->client;
  vary_make(&shape, &message, 1);
  if (message.body > of->window) message.post = 0, message.body = 0; /* never waits */
  unsigned char *frame = room(c, VARY_HEAD + 2 * FRAME_HEAD + 4096);
  unsigned char *end = hpack_block(&of->hpack, &shape, &message, frame + FRAME_HEAD, 1);
  put_frame(frame, (uint32_t)(end - frame - FRAME_HEAD), HEADERS, END_HEADERS | (message.body == 0 ? END_STREAM : 0), c->next);
  if (message.body > 0) {
    vary_put_body((char *)put_frame(end, (uint32_t)message.body, DATA, END_STREAM, c->next), message.body);
    end += FRAME_HEAD + message.body;
    of->window -= message.body;
  }
  c->pending += (size_t)(end - frame);
  struct answer *a = &of->answers[c->next / 2 % SLOTS];
  if (a->open) errors++; /* answered by nobody for thousands of requests */
  else c->open++;
  *a = (struct answer){.open = 1};
  c->next += 2;
}

static void answered(struct client *c, uint32_t stream, int good) {
  struct connection *of = (struct connection *)c; /* its first member */
  struct answer *a = &of->answers[stream / 2 % SLOTS];
  if (!a->open || stream >= c->next) {
    errors++;
    return;
  }
  a->open = 0;
  c->open--;
  if (good && a->have == a->told) done++;
  else errors++;
  if (going && c->next < 1u << 30) request(of);
}

static void on_frame(struct client *c) {
  struct connection *of = (struct connection *)c;
  struct frame_reader *in = &c->in;
  switch (frame_type(in)) {
    case DATA: {
      struct answer *a = &of->answers[frame_stream(in) / 2 % SLOTS];
      for (uint32_t i = 0; i < in->length && a->have + i < 8; i++) a->told = a->told * 10 + (uint32_t)(in->kept[i] - '0');
      a->have += in->length;
      break;
    }
    case SETTINGS:
      if (frame_flags(in) & ACK) break;
      for (uint32_t at = 0; at + 6 <= in->length && at + 6 <= KEPT; at += 6)
        if (in->kept[at] == 0 && in->kept[at + 1] == SETTING_TABLE_SIZE) hpack_resize(&of->hpack, get32(in->kept + at + 2));
      break;
    case WINDOW_UPDATE:
      if (frame_stream(in) == 0) of->window += get32(in->kept) & 0x7fffffff;
      break;
  }
  on_common_frame(c);
}

static void open_connection(struct connection *of, int port, int habits) {
  of->window = DEFAULT_WINDOW;
  hpack_start(&of->hpack, habits);
  open_client(&of->client, port, 1u << 20);
}

/* Waits for what comes on any connection. */
static void turn(int ep, struct connection *all) {
  struct epoll_event events[256];
  int n = epoll_wait(ep, events, 256, 100);
  for (int i = 0; i < n; i++) {
    struct client *c = &all[events[i].data.u64].client;
    if (c->fd >= 0) receive(c, on_frame);
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
    watch(ep, all[i].client.fd, EPOLLIN, (uint64_t)i);
  }
  for (int64_t patience = now_ns() + 5000000000; settled < count;) {
    if (now_ns() > patience) return fprintf(stderr, "no SETTINGS on %d connections\n", count - settled), 1;
    turn(ep, all);
    if (errors > 0) return fprintf(stderr, "a connection ended at once\n"), 1;
    settled = 0;
    for (int i = 0; i < count; i++) settled += all[i].client.settled;
  }
  int64_t begin = now_ns(), end = begin + (int64_t)(seconds * 1e9), hard = end + 5000000000, now;
  for (int i = 0; i < count; i++) {
    for (int k = 0; k < streams && all[i].client.fd >= 0; k++) request(&all[i]);
    flush(&all[i].client);
  }
  int open = 1;
  while (((now = now_ns()) < end || open > 0) && now < hard && errors < 1000) {
    going = now < end;
    turn(ep, all);
    open = going; /* which ends with a look at what is open */
    for (int i = 0; i < count && !going; i++) open += all[i].client.open;
  }
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f}\n", done, errors + (going ? 0 : open), (double)(now_ns() - begin) / 1e9);
  return 0;
}
