/* echo PORT: a TCP server that sends back what it receives. */
#include "serve.h"

#define BUFFER 65536

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: echo PORT\n"), 2;
  int listener, ep = serve_on(argv[1], &listener);
  static char buffer[BUFFER];
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        for (int peer; (peer = accept_next(listener, 0)) >= 0;) watch(ep, peer, EPOLLIN, (uint64_t)peer);
        continue;
      }
      /* The socket blocks on send: a reader that does not read stalls only this benchmark's own small messages. */
      ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT), sent = 0;
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      while (got > 0 && sent < got) {
        ssize_t r = send(fd, buffer + sent, (size_t)(got - sent), 0);
        if (r <= 0) got = -1;
        else sent += r;
      }
      if (got <= 0) close(fd);
    }
  }
}
