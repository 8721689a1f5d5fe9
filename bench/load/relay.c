/* relay PORT UPSTREAM: passes on what comes, unread, each connection to one of its own: the least that a proxy has to ask of the kernel. */
#include "net.h"

#define BUFFER 65536
#define MAX_FDS 65536

static int peer[MAX_FDS];

static void pair(int ep, int client, int port) {
  int one = 1, endpoint = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = target_address()};
  if (endpoint < 0 || endpoint >= MAX_FDS || client >= MAX_FDS) die("too many connections");
  if (connect(endpoint, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(endpoint, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  peer[client] = endpoint;
  peer[endpoint] = client;
  watch(ep, client, EPOLLIN | EPOLLET, (uint64_t)client);
  watch(ep, endpoint, EPOLLIN | EPOLLET, (uint64_t)endpoint);
}

static void part(int fd) {
  int other = peer[fd];
  peer[fd] = peer[other] = 0;
  close(other);
  close(fd);
}

static void pass(int fd) {
  static char buffer[BUFFER];
  for (ssize_t got = BUFFER; got == BUFFER;) {
    got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    /* It blocks where the reader is slow, which nobody is here. */
    if (got <= 0 || send(peer[fd], buffer, (size_t)got, MSG_NOSIGNAL) != got) return part(fd);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: relay PORT UPSTREAM\n"), 2;
  raise_nofile();
  signal(SIGPIPE, SIG_IGN);
  int upstream = (int)number(argv[2], 1, 65535, "UPSTREAM");
  int ep = epoll_create1(EPOLL_CLOEXEC), listener = listen_on((int)number(argv[1], 1, 65535, "PORT"));
  watch(ep, listener, EPOLLIN, (uint64_t)listener);
  struct epoll_event events[64];
  for (;;) {
    int n = epoll_wait(ep, events, 64, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        for (int client; (client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) pair(ep, client, upstream);
      } else if (peer[fd] != 0) { /* else it ended with the other one of its pair */
        pass(fd);
      }
    }
  }
}
