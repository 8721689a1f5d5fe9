/* rate-h2 PORT CONNECTIONS STREAMS SECONDS RATE [WINDOW]: rate.c for HTTP/2 (prior knowledge). Request i is due at i / RATE seconds, whatever
   became of the ones before it, and goes out on the next connection in turn that has fewer than STREAMS open. Its latency counts from
   when it was due. Prints a JSON line, latencies in microseconds; of each WINDOW seconds as well, where it is given. */
#include "h2-client.h"
#include "latency.h"
#include <sys/prctl.h>

struct connection {
  struct client client;
  long number[SLOTS]; /* of the request, and 1; 0: not open */
};
static struct latencies latencies;
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

static void request(struct connection *of, long number) {
  struct client *c = &of->client;
  int first = c->next == 1;
  unsigned char *frame = first ? first_request : next_request;
  size_t length = first ? first_length : next_length;
  long *slot = &of->number[c->next / 2 % SLOTS];
  put_frame(frame, (uint32_t)(length - FRAME_HEAD), HEADERS, END_STREAM | END_HEADERS, c->next);
  if (*slot != 0) errors++; /* answered by nobody for thousands of requests */
  else c->open++;
  *slot = number + 1;
  c->next += 2;
  put(c, frame, length);
}

static void answered(struct client *c, uint32_t stream, int good) {
  struct connection *of = (struct connection *)c; /* its first member */
  long *slot = &of->number[stream / 2 % SLOTS], number = *slot - 1;
  if (number < 0 || stream >= c->next) {
    errors++;
    return;
  }
  *slot = 0;
  c->open--;
  if (good) latencies_note(&latencies, number);
  else errors++;
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
    open_client(&all[i].client, port, 0);
    watch(ep, all[i].client.fd, EPOLLIN, (uint64_t)i);
  }
  struct epoll_event events[256];
  int64_t patience = now_ns() + 5000000000;
  for (int settled = 0; settled < count;) {
    if (now_ns() > patience) return fprintf(stderr, "no SETTINGS on %d connections\n", count - settled), 1;
    int n = epoll_wait(ep, events, 256, 100);
    for (int i = 0; i < n; i++) {
      struct client *c = &all[events[i].data.u64].client;
      if (c->fd >= 0) receive(c, on_common_frame);
    }
    settled = 0;
    for (int i = 0; i < count; i++) settled += all[i].client.settled;
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
        free_one = all[turn].client.fd >= 0 && all[turn].client.open < streams;
      }
      if (!free_one) break;
      request(&all[turn], issued++);
    }
    for (int i = 0; i < count; i++) flush(&all[i].client);
    int64_t wait = 100000000;
    if (issued < total && free_one) {
      wait = latencies_due(&latencies, issued) - now_ns();
      if (wait < 0) wait = 0;
    }
    struct timespec timeout = {.tv_nsec = wait < 999999999 ? wait : 999999999};
    int n = epoll_pwait2(ep, events, 256, &timeout, NULL);
    for (int i = 0; i < n; i++) {
      struct client *c = &all[events[i].data.u64].client;
      if (c->fd >= 0) receive(c, on_common_frame);
    }
  }
  long done = latencies.done;
  if (done + errors < total) errors = total - done;
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f,", done, errors, (double)(now_ns() - begin) / 1e9);
  latencies_print(&latencies, window);
  printf("}\n");
  return 0;
}
