/* connect PORT CONCURRENCY SECONDS: connect, one request with Connection: close, read to EOF, close; prints a JSON line. */
#include "http.h"

#define MAX_FD 65536
static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
static struct response *responses;
static char sent[MAX_FD];
static long source, done, errors;
static int ep, port, open_now;

static void start(void) {
  int fd = start_connect(port, source++);
  if (fd < 0 || fd >= MAX_FD) {
    if (fd >= 0) close(fd);
    errors++;
    return;
  }
  sent[fd] = 0;
  response_reset(&responses[fd]);
  watch(ep, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (uint64_t)fd);
  open_now++;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: connect PORT CONCURRENCY SECONDS\n"), 2;
  port = (int)number(argv[1], 1, 65535, "PORT");
  int concurrency = (int)number(argv[2], 1, 4096, "CONCURRENCY");
  double seconds = atof(argv[3]);
  raise_nofile();
  signal(SIGPIPE, SIG_IGN);
  responses = calloc(MAX_FD, sizeof *responses);
  if (!responses) die("calloc");
  ep = epoll_create1(EPOLL_CLOEXEC);
  int64_t begin = now_ns(), deadline = begin + (int64_t)(seconds * 1e9), hard = deadline + 5000000000;
  source = (long)(begin / 1000 % SOURCES);
  for (int i = 0; i < concurrency; i++) start();
  struct epoll_event events[256];
  static char buffer[16384];
  while (open_now > 0) {
    int n = epoll_wait(ep, events, 256, 100);
    int64_t now = now_ns();
    if (now > hard) {
      errors += open_now;
      break;
    }
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64, over = 0;
      if (!sent[fd] && (events[i].events & EPOLLOUT)) {
        sent[fd] = 1;
        if (send(fd, request, sizeof request - 1, 0) != (ssize_t)sizeof request - 1) over = 1, errors++;
      }
      while (!over && (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        ssize_t r = recv(fd, buffer, sizeof buffer, 0);
        if (r < 0 && errno == EAGAIN) break;
        if (r > 0 && response_feed(&responses[fd], buffer, (size_t)r) == r) continue;
        over = 1;
        if (r == 0 && responses[fd].body_left == 0) done++;
        else errors++;
      }
      if (!over) continue;
      close(fd);
      open_now--;
      if (now < deadline && errors < 1000) start();
    }
  }
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f}\n", done, errors, (double)(now_ns() - begin) / 1e9);
  return 0;
}
