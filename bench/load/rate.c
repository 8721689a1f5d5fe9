/* rate PORT CONNECTIONS SECONDS RATE [WINDOW]: an open-loop generator. Request i is due at i / RATE seconds, whatever became of the ones
   before it; its latency counts from when it was due (no coordinated omission). Prints a JSON line, latencies in microseconds; of each
   WINDOW seconds as well, where it is given. */
#include "http.h"
#include "latency.h"
#include "link.h"
#include <sys/prctl.h>

struct connection {
  struct link link;
  long number;
  struct response response;
};
static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
static struct latencies latencies;

int main(int argc, char **argv) {
  if (argc != 5 && argc != 6) return fprintf(stderr, "usage: rate PORT CONNECTIONS SECONDS RATE [WINDOW]\n"), 2;
  int port = (int)number(argv[1], 1, 65535, "PORT"), count = (int)number(argv[2], 1, 4096, "CONNECTIONS");
  double seconds = atof(argv[3]), window = argc > 5 ? atof(argv[5]) : 0;
  long rate = number(argv[4], 1, 10000000, "RATE");
  signal(SIGPIPE, SIG_IGN);
  raise_nofile();
  prctl(PR_SET_TIMERSLACK, 1000); /* the default of 50 us would be most of what is measured */
  struct connection *all = calloc((size_t)count, sizeof *all);
  /* Idle connections in the order in which they became idle, so that all of them take part: a ring of `count`. */
  int *idle = calloc((size_t)count, sizeof *idle);
  long idle_head = 0, idle_tail = 0;
  if (!all || !idle) die("calloc");
  int ep = epoll_create1(EPOLL_CLOEXEC);
  long errors = 0, issued = 0;
  for (int i = 0; i < count; i++) {
    int fd = start_connect(port, -1);
    if (fd < 0) die("connect");
    all[i].link.fd = fd;
    idle[idle_tail++ % count] = i;
    watch(ep, fd, EPOLLIN, (uint64_t)i);
  }
  usleep(20000); /* loopback connects are over by now; a failed one shows as an error of its first request */
  for (int i = 0; i < count; i++)
    if (!link_open(&all[i].link, all[i].link.fd)) return fprintf(stderr, "a handshake failed\n"), 1;
  long total = (long)(seconds * (double)rate);
  latencies_begin(&latencies, total, rate);
  int64_t begin = latencies.begin, hard = begin + (int64_t)(seconds * 1e9) + 5000000000;
  struct epoll_event events[256];
  static char buffer[16384];
  while (latencies.done + errors < total) {
    int64_t now = now_ns();
    if (now > hard || errors > 1000) break;
    while (issued < total && idle_head < idle_tail) {
      if (latencies_due(&latencies, issued) > now) break;
      struct connection *c = &all[idle[idle_head++ % count]];
      c->number = issued++;
      response_reset(&c->response);
      if (link_send(&c->link, request, sizeof request - 1) != (ssize_t)sizeof request - 1) errors++, link_close(&c->link);
    }
    int64_t wait = 100000000;
    if (issued < total && idle_head < idle_tail) {
      wait = latencies_due(&latencies, issued) - now_ns();
      if (wait < 0) wait = 0;
    }
    struct timespec timeout = {.tv_nsec = wait < 999999999 ? wait : 999999999};
    int n = epoll_pwait2(ep, events, 256, &timeout, NULL);
    for (int i = 0; i < n; i++) {
      struct connection *c = &all[events[i].data.u64];
      ssize_t r = link_recv(&c->link, buffer, sizeof buffer);
      if (r < 0 && errno == EAGAIN) continue;
      if (r <= 0 || response_feed(&c->response, buffer, (size_t)r) != r) {
        errors++;
        link_close(&c->link);
        continue;
      }
      if (c->response.body_left != 0) continue;
      latencies_note(&latencies, c->number);
      idle[idle_tail++ % count] = (int)events[i].data.u64;
    }
  }
  long done = latencies.done;
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f,", done, total - done, (double)(now_ns() - begin) / 1e9);
  latencies_print(&latencies, window);
  printf("}\n");
  return 0;
}
