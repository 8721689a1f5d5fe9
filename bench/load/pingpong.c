/* pingpong PORT CONNECTIONS SECONDS BYTES: one message in flight per connection, echoed and compared; prints a JSON line. */
#include "net.h"

#define MESSAGE_MAX 16384
struct connection {
  int fd, got;
  uint64_t sequence;
};

static int size;
static char message[MESSAGE_MAX], back[MESSAGE_MAX];

/* The first byte is 0: no known protocol begins with it. Then the sequence number, so that a mixed-up echo shows. */
static void compose(struct connection *c) {
  memcpy(message + 1, &c->sequence, sizeof c->sequence);
  memcpy(message + 9, &c->fd, sizeof c->fd);
}

int main(int argc, char **argv) {
  if (argc != 5) return fprintf(stderr, "usage: pingpong PORT CONNECTIONS SECONDS BYTES\n"), 2;
  int port = (int)number(argv[1], 1, 65535, "PORT"), count = (int)number(argv[2], 1, 65536, "CONNECTIONS");
  double seconds = atof(argv[3]);
  size = (int)number(argv[4], 16, MESSAGE_MAX, "BYTES");
  signal(SIGPIPE, SIG_IGN);
  raise_nofile();
  for (int i = 13; i < size; i++) message[i] = (char)pattern_at((uint64_t)i);
  int ep = epoll_create1(EPOLL_CLOEXEC), open = 0;
  struct connection *all = calloc((size_t)count, sizeof *all);
  if (!all) die("calloc");
  long done = 0, errors = 0;
  for (int i = 0; i < count; i++) {
    struct connection *c = &all[i];
    c->fd = start_connect(port, -1);
    if (c->fd < 0) {
      errors++;
      continue;
    }
    open++;
    watch(ep, c->fd, EPOLLIN | EPOLLOUT | EPOLLET, (uint64_t)i);
  }
  char *started = calloc((size_t)count, 1);
  if (!started) die("calloc");
  struct epoll_event events[256];
  int64_t begin = now_ns(), deadline = begin + (int64_t)(seconds * 1e9), hard = deadline + 5000000000;
  while (open > 0) {
    int n = epoll_wait(ep, events, 256, 100);
    int64_t now = now_ns();
    if (now > hard) {
      errors += open;
      break;
    }
    for (int i = 0; i < n; i++) {
      int at = (int)events[i].data.u64, again = 0;
      struct connection *c = &all[at];
      if (!started[at]) {
        if (!(events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) continue;
        started[at] = again = 1;
      } else if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        ssize_t r = recv(c->fd, back + c->got, (size_t)(size - c->got), 0);
        if (r < 0 && errno == EAGAIN) continue;
        if (r <= 0) goto broken;
        c->got += (int)r;
        if (c->got < size) {
          /* Edge-triggered, and messages of several connections share `back`: read the rest now or count it as broken. */
          while (c->got < size) {
            r = recv(c->fd, back + c->got, (size_t)(size - c->got), 0);
            if (r < 0 && errno == EAGAIN) {
              usleep(50);
              if (now_ns() > hard) goto broken;
              continue;
            }
            if (r <= 0) goto broken;
            c->got += (int)r;
          }
        }
        compose(c);
        if (memcmp(back, message, (size_t)size) != 0) errors++;
        done++;
        c->got = 0;
        c->sequence++;
        if (now >= deadline) {
          close(c->fd);
          open--;
          continue;
        }
        again = 1;
      }
      if (!again) continue;
      compose(c);
      if (send(c->fd, message, (size_t)size, 0) == size) continue;
    broken:
      errors++;
      close(c->fd);
      open--;
    }
  }
  printf("{\"units\":%ld,\"errors\":%ld,\"seconds\":%.6f}\n", done, errors, (double)(now_ns() - begin) / 1e9);
  return 0;
}
