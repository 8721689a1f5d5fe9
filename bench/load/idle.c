/* idle PORT COUNT: opens COUNT keep-alive connections, one request on each (64 at a time), prints a JSON line, holds them until
   standard input ends, and then counts those that were closed meanwhile as errors in a second line. */
#include "http.h"
#include "link.h"

#define AT_ONCE 64
static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: idle PORT COUNT\n"), 2;
  int port = (int)number(argv[1], 1, 65535, "PORT"), count = (int)number(argv[2], 1, 1000000, "COUNT");
  signal(SIGPIPE, SIG_IGN);
  if (raise_nofile() < count + 64) return fprintf(stderr, "the hard limit of open files is too low for %d\n", count), 1;
  int ep = epoll_create1(EPOLL_CLOEXEC), started = 0, busy = 0, size = count + 1024;
  struct response *responses = calloc((size_t)size, sizeof *responses);
  char *sent = calloc((size_t)size, 1);
  int *fds = calloc((size_t)count, sizeof *fds);
  struct link *links = calloc((size_t)size, sizeof *links);
  if (!responses || !sent || !fds || !links) die("calloc");
  long done = 0, errors = 0;
  struct epoll_event events[256];
  static char buffer[16384];
  int64_t begin = now_ns(), hard = begin + 60000000000;
  while (started < count || busy > 0) {
    while (started < count && busy < AT_ONCE) {
      int fd = start_connect(port, started);
      if (fd < 0) die("connect");
      if (fd >= size) return fprintf(stderr, "descriptor %d is out of range\n", fd), 1;
      fds[started++] = fd;
      busy++;
      response_reset(&responses[fd]);
      watch(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET, (uint64_t)fd);
    }
    int n = epoll_wait(ep, events, 256, 100);
    if (now_ns() > hard) {
      errors += busy;
      break;
    }
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (sent[fd] == 2) continue;
      if (!sent[fd] && (events[i].events & EPOLLOUT)) {
        sent[fd] = 1;
        if (!link_open(&links[fd], fd) || link_send(&links[fd], request, sizeof request - 1) != (ssize_t)sizeof request - 1) {
          errors++, busy--, sent[fd] = 2;
          continue;
        }
      }
      if (!sent[fd]) continue;
      ssize_t r = link_recv(&links[fd], buffer, sizeof buffer);
      if (r < 0 && errno == EAGAIN) continue;
      if (r <= 0 || response_feed(&responses[fd], buffer, (size_t)r) != r) errors++, busy--, sent[fd] = 2;
      else if (responses[fd].body_left == 0) done++, busy--, sent[fd] = 2;
    }
  }
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f}\n", done, errors, (double)(now_ns() - begin) / 1e9);
  fflush(stdout);
  while (read(0, buffer, sizeof buffer) > 0) continue;
  for (int i = 0; i < started; i++) {
    ssize_t r = recv(fds[i], buffer, 1, MSG_PEEK | MSG_DONTWAIT);
    if (r == 0 || (r < 0 && errno != EAGAIN)) errors++;
  }
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f}\n", done, errors, (double)(now_ns() - begin) / 1e9);
  return 0;
}
