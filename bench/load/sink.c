/* sink tcp|http PORT CONNECTIONS SECONDS BYTES: downloads pieces of BYTES over kept connections until the time is over, then lets
   each piece end. `tcp` asks `source`, `http` sends GET /large. Every byte is counted; one read in 64 is compared with the pattern,
   the others are dropped inside the kernel (MSG_TRUNC), so that the generator stays cheap. Prints a JSON line. */
#include "http.h"

#define READ_MAX (512 * 1024)
struct connection {
  int fd, started;
  unsigned reads;
  int64_t left; /* bytes of the piece to come; -1: in the response head */
  struct response response;
};

static int is_http;
static int64_t piece;
static char buffer[READ_MAX];
static const char get[] = "GET /large HTTP/1.1\r\nHost: bench\r\n\r\n";

static int ask(struct connection *c) {
  char binary[16] = {0, 'S', 'R', 'C'};
  memcpy(binary + 8, &piece, 8);
  response_reset(&c->response);
  c->left = is_http ? -1 : piece;
  ssize_t n = is_http ? (ssize_t)sizeof get - 1 : 16;
  return send(c->fd, is_http ? get : binary, (size_t)n, 0) == n;
}

static int matches(const char *data, size_t n, int64_t offset) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)data[i] != pattern_at((uint64_t)offset + i)) return 0;
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "usage: sink tcp|http PORT CONNECTIONS SECONDS BYTES\n"), 2;
  is_http = strcmp(argv[1], "http") == 0;
  int port = (int)number(argv[2], 1, 65535, "PORT"), count = (int)number(argv[3], 1, 1024, "CONNECTIONS");
  double seconds = atof(argv[4]);
  piece = number(argv[5], 1, 1L << 40, "BYTES");
  signal(SIGPIPE, SIG_IGN);
  int ep = epoll_create1(EPOLL_CLOEXEC), open = 0;
  struct connection *all = calloc((size_t)count, sizeof *all);
  if (!all) die("calloc");
  long pieces = 0, errors = 0;
  int64_t bytes = 0, begin = now_ns(), deadline = begin + (int64_t)(seconds * 1e9), hard = deadline + 20000000000;
  for (int i = 0; i < count; i++) {
    all[i].fd = start_connect(port, -1);
    if (all[i].fd < 0) {
      errors++;
      continue;
    }
    open++;
    watch(ep, all[i].fd, EPOLLIN | EPOLLOUT | EPOLLET, (uint64_t)i);
  }
  struct epoll_event events[64];
  while (open > 0) {
    int n = epoll_wait(ep, events, 64, 100);
    if (now_ns() > hard) {
      errors += open;
      break;
    }
    for (int i = 0; i < n; i++) {
      struct connection *c = &all[events[i].data.u64];
      if (!c->started) {
        c->started = 1;
        if (!ask(c)) goto broken;
      }
      for (;;) {
        ssize_t r;
        if (c->left < 0) {
          r = recv(c->fd, buffer, 4096, 0);
          if (r < 0 && errno == EAGAIN) break;
          if (r <= 0 || response_feed(&c->response, buffer, (size_t)r) != r) goto broken;
          if (c->response.body_left < 0) continue;
          c->left = c->response.body_left;
          int64_t total = strtoll(strcasestr(c->response.head, "\r\ncontent-length:") + 17, NULL, 10);
          if (total != piece) goto broken;
          bytes += piece - c->left;
        } else {
          size_t room = c->left < READ_MAX ? (size_t)c->left : READ_MAX;
          int check = c->reads++ % 64 == 0;
          if (check && room > 4096) room = 4096;
          r = recv(c->fd, buffer, room, check ? 0 : MSG_TRUNC);
          if (r < 0 && errno == EAGAIN) break;
          if (r <= 0) goto broken;
          if (check && !matches(buffer, (size_t)r, piece - c->left)) errors++;
          c->left -= r;
          bytes += r;
        }
        if (c->left > 0) continue;
        pieces++;
        if (now_ns() >= deadline) {
          close(c->fd);
          open--;
          break;
        }
        if (!ask(c)) goto broken;
      }
      continue;
    broken:
      errors++;
      close(c->fd);
      open--;
    }
  }
  printf("{\"units\":%.9f,\"errors\":%ld,\"seconds\":%.6f,\"pieces\":%ld}\n", (double)bytes / 1e9, errors,
         (double)(now_ns() - begin) / 1e9, pieces);
  return 0;
}
