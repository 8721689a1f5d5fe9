/* storm PORT SECONDS RATE: asks for RATE handshakes a second, whatever becomes of those before, and leaves when one is done. At most
   1,000 are under way: what is due meanwhile is not asked for. Prints a JSON line; what fails or is left over is counted apart, as a
   server may refuse what is too much for it. */
#define BENCH_TLS 1
#include "link.h"

#define AT_ONCE 1000
static struct link links[AT_ONCE];
static int spare[AT_ONCE];

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: storm PORT SECONDS RATE\n"), 2;
  int port = (int)number(argv[1], 1, 65535, "PORT"), spares = 0;
  double seconds = atof(argv[2]);
  long rate = number(argv[3], 1, 1000000, "RATE"), asked = 0, done = 0, failed = 0, skipped = 0;
  signal(SIGPIPE, SIG_IGN);
  raise_nofile();
  for (int i = AT_ONCE - 1; i >= 0; i--) spare[spares++] = i;
  int ep = epoll_create1(EPOLL_CLOEXEC);
  int64_t begin = now_ns(), end = begin + (int64_t)(seconds * 1e9);
  struct epoll_event events[256];
  for (int64_t now = begin; now < end; now = now_ns()) {
    for (; begin + asked * 1000000000 / rate <= now; asked++) {
      int fd = spares > 0 ? start_connect(port, asked) : -1;
      if (fd < 0) {
        skipped++;
        continue;
      }
      int i = spare[--spares];
      link_begin(&links[i], fd);
      watch(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET, (uint64_t)i);
    }
    int n = epoll_wait(ep, events, 256, 1);
    for (int k = 0; k < n; k++) {
      struct link *link = &links[events[k].data.u64];
      if (!link->ssl) continue;
      int r = link_handshake(link);
      if (r == 0) continue;
      if (r > 0) done++, SSL_shutdown(link->ssl);
      else failed++;
      link_close(link);
      spare[spares++] = (int)events[k].data.u64;
    }
  }
  printf("{\"units\":%ld,\"errors\":0,\"seconds\":%.6f,\"asked\":%ld,\"failed\":%ld,\"skipped\":%ld,\"left\":%d}\n", done,
         (double)(now_ns() - begin) / 1e9, asked, failed, skipped, AT_ONCE - spares);
  return 0;
}
