/* source PORT: streams as many bytes of the pattern as a connection asks for (16 bytes: 0 'S' 'R' 'C', 4 unused, u64 little-endian count). */
#include "serve.h"

#define PERIODS 8
static char pattern[PERIOD * (PERIODS + 1)];
static struct {
  uint64_t left, sent;
  unsigned char ask[16];
  int have;
} state[MAX_FD];

static void end(int fd) {
  memset(&state[fd], 0, sizeof state[fd]);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: source PORT\n"), 2;
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (char)pattern_at(i);
  int listener, ep = serve_on(argv[1], &listener);
  struct epoll_event events[64];
  for (;;) {
    int n = epoll_wait(ep, events, 64, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        for (int peer; (peer = accept_next(listener, SOCK_NONBLOCK)) >= 0;)
          watch(ep, peer, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (uint64_t)peer);
        continue;
      }
      for (;;) {
        if (state[fd].left > 0) {
          size_t at = (size_t)(state[fd].sent % PERIOD), room = (size_t)PERIOD * PERIODS;
          if (room > state[fd].left) room = (size_t)state[fd].left;
          ssize_t r = send(fd, pattern + at, room, 0);
          if (r < 0 && errno == EAGAIN) break;
          if (r <= 0) {
            end(fd);
            break;
          }
          state[fd].left -= (uint64_t)r;
          state[fd].sent += (uint64_t)r;
          continue;
        }
        ssize_t r = recv(fd, state[fd].ask + state[fd].have, (size_t)(16 - state[fd].have), 0);
        if (r < 0 && errno == EAGAIN) break;
        if (r <= 0) {
          end(fd);
          break;
        }
        state[fd].have += (int)r;
        if (state[fd].have < 16) continue;
        memcpy(&state[fd].left, state[fd].ask + 8, 8);
        state[fd].have = 0;
        state[fd].sent = 0;
      }
    }
  }
}
