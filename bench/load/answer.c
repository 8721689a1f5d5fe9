/* answer PORT: an HTTP/1.1 server that reads requests without a body and answers each with 40 bytes, as cheaply as it can.
   The head has the fields and the size of a usual one, because proxies pay for them. */
#include "serve.h"

static const char response[] =
    "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    "Content-Length: 40\r\nConnection: keep-alive\r\n\r\n0123456789012345678901234567890123456789";
#define AT_ONCE 64
static char many[AT_ONCE * (sizeof response - 1)];
static unsigned char matched[MAX_FD]; /* how much of CR LF CR LF a connection has shown */

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: answer PORT\n"), 2;
  for (int i = 0; i < AT_ONCE; i++) memcpy(many + i * (sizeof response - 1), response, sizeof response - 1);
  int listener, ep = serve_on(argv[1], &listener);
  static char buffer[65536];
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        for (int peer; (peer = accept_next(listener, 0)) >= 0;) {
          matched[peer] = 0;
          watch(ep, peer, EPOLLIN, (uint64_t)peer);
        }
        continue;
      }
      ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      int requests = 0, state = matched[fd];
      for (ssize_t at = 0; at < got; at++) {
        state = buffer[at] == "\r\n\r\n"[state] ? state + 1 : buffer[at] == '\r';
        if (state == 4) state = 0, requests++;
      }
      matched[fd] = (unsigned char)state;
      while (got > 0 && requests > 0) {
        int now = requests < AT_ONCE ? requests : AT_ONCE;
        ssize_t size = now * (ssize_t)(sizeof response - 1), sent = 0;
        while (sent < size && got > 0) {
          ssize_t r = send(fd, many + sent, (size_t)(size - sent), 0);
          if (r <= 0) got = -1;
          else sent += r;
        }
        requests -= now;
      }
      if (got <= 0) close(fd);
    }
  }
}
