// Runs one life of a proxy's ring again and again, each time with another system call failing, and checks after each:
// no crash, nothing leaked, every operation completed exactly once.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../socket.h"
#include "../splice.h"
#include "driver.h"
#include "faults.h"

#define PATIENCE 8  // turns of at most 1 ms
#define SEND_BYTES (256u << 10)

enum { RECEIVES = ACCEPTS + 1, SENDS, SLICES, CONNECTS, MAILS, MAILED, POLLS, CANCELS, LINKS, CLOSES, NOPS, COUNTED };

// The test's own end of a connection: plain calls, never failing on purpose.
static int dial(int port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  CHECK(fd >= 0);
  connect(fd, (struct sockaddr *)&address, sizeof address);
  return fd;
}

static int64_t swallow(int fd) {
  static char sink[1 << 16];
  int64_t sum = 0;
  for (ssize_t got; (got = recv(fd, sink, sizeof sink, MSG_DONTWAIT)) > 0;) sum += got;
  return sum;
}

static bool accepted(struct driver *d, int count) {
  for (int turn = 0; turn < PATIENCE && d->accept_count < count; turn++) {
    if (d->owed[ACCEPTS] == 0) return false;  // ended by a fault
    driver_turn(d, 1000);
  }
  return d->accept_count >= count;
}

static void receive(struct driver *d, int fd) {
  struct io_uring_sqe *sqe = driver_entry(d, IORING_OP_RECV, fd, RECEIVES);
  sqe->ioprio = SLUICE_RECV_MULTISHOT | (d->ring.bundles ? SLUICE_RECVSEND_BUNDLE : 0);
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->buf_group = SLUICE_BUFFER_GROUP;
}

static void exercise_receive(struct driver *d, int fd, int client) {
  static char data[50000];
  receive(d, fd);
  for (int turn = 0; turn < PATIENCE && d->received[RECEIVES] < (int64_t)sizeof data; turn++) {
    if (turn == 0) CHECK(send(client, data, sizeof data, MSG_NOSIGNAL) == sizeof data || errno != 0);
    driver_turn(d, 1000);
    // Out of buffers: before any octet, or behind what filled the last of them.
    if (d->owed[RECEIVES] == 0 && (d->last[RECEIVES] == -ENOBUFS || d->last[RECEIVES] > 0)) receive(d, fd);
  }
}

static void exercise_send(struct driver *d, int fd, int client) {
  int64_t arrived = 0;
  struct io_uring_sqe *sqe = driver_entry(d, IORING_OP_SEND, fd, SENDS);
  sqe->addr = (uint64_t)(uintptr_t)(d->ring.slab + BUFFERS * BUFFER_BYTES);
  sqe->len = SEND_BYTES;
  sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
  for (int turn = 0; turn < PATIENCE && d->owed[SENDS] > 0; turn++) {
    driver_turn(d, 1000);
    arrived += swallow(client);
  }
  if (d->owed[SENDS] > 0) return;
  // One that may not wait is over with the call that takes it, whole or not.
  sqe = driver_entry(d, IORING_OP_SEND, fd, SENDS);
  sqe->addr = (uint64_t)(uintptr_t)(d->ring.slab + BUFFERS * BUFFER_BYTES);
  sqe->len = 4 * SEND_BYTES;
  sqe->msg_flags = MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL;
  for (int turn = 0; turn < PATIENCE && d->owed[SENDS] > 0; turn++) driver_turn(d, 1000);
  CHECK(d->owed[SENDS] == 0);
  uint8_t *base = d->ring.slab + (1 << 20);
  struct iovec slices[3] = {{base, 10}, {base, 0}, {base, SEND_BYTES}}, before[3];
  memcpy(before, slices, sizeof before);
  struct msghdr message = {.msg_iov = slices, .msg_iovlen = 3};
  sqe = driver_entry(d, IORING_OP_SENDMSG, fd, SLICES);
  sqe->addr = (uint64_t)(uintptr_t)&message;
  sqe->len = 1;
  sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
  while (d->owed[SLICES] > 0) {  // the message is on this stack: not left behind
    for (int turn = 0; turn < PATIENCE && d->owed[SLICES] > 0; turn++) {
      driver_turn(d, 1000);
      arrived += swallow(client);
    }
    if (d->owed[SLICES] > 0) driver_entry(d, IORING_OP_ASYNC_CANCEL, -1, CANCELS)->addr = SLICES;
  }
  CHECK(memcmp(before, slices, sizeof before) == 0);
  int64_t sent = d->received[SENDS] + d->received[SLICES];
  for (int turn = 0; turn < PATIENCE && arrived < sent; turn++) {
    driver_turn(d, 1000);
    arrived += swallow(client);
  }
  // A cancelled send may have sent a part that its result does not tell.
  CHECK(d->last[SLICES] < 0 ? arrived >= sent : arrived == sent);
}

static void exercise_links(struct driver *d, int fd) {
  driver_entry(d, IORING_OP_NOP, -1, NOPS)->flags = IOSQE_IO_LINK;
  driver_entry(d, IORING_OP_NOP, -1, NOPS);
  struct io_uring_sqe *sqe = driver_entry(d, SLUICE_OP_MSG_RING, d->ring.id, MAILS);
  sqe->off = MAILED;
  sqe->len = 42;
  d->owed[MAILED]++;
  driver_entry(d, IORING_OP_POLL_ADD, fd, POLLS)->poll32_events = POLLPRI;
  for (int turn = 0; turn < PATIENCE && d->owed[MAILED] > 0; turn++) {
    driver_turn(d, 1000);
    if (d->owed[MAILS] == 0 && d->last[MAILS] < 0 && d->seen[MAILED] == 0) d->owed[MAILED] = 0;  // never sent
  }
  driver_entry(d, IORING_OP_ASYNC_CANCEL, -1, CANCELS)->addr = POLLS;
  driver_turn(d, 0);
  // More entries than one growth of the operation table needs.
  for (int batch = 0; batch < 5; batch++) {
    uint32_t room = d->ring.sq_entries - (d->tail - sluice_load(sluice_word(&d->ring, d->ring.sq_head)));
    while (room-- > 0) driver_entry(d, IORING_OP_POLL_ADD, fd, COUNTED)->poll32_events = POLLPRI;
    driver_turn(d, 0);
  }
}

static int64_t exercise_pump(struct driver *d, int from, int to, int client) {
  int ends[2];
  if (sluice_pipe(1 << 20, ends) < 0) return 0;
  sluice_nonblock(from, true);
  sluice_nonblock(to, true);
  static char data[40000];
  send(client, data, sizeof data, MSG_NOSIGNAL);
  struct sluice_pump pump = {from, ends[0], ends[1], to, 0, 30000, 0, 0};
  int64_t in = 0, out = 0;
  for (int turn = 0; turn < PATIENCE; turn++) {
    int flags = sluice_pump(&pump);
    in += pump.in;
    out += pump.out;
    CHECK(pump.in_pipe == in - out && pump.limit == 30000 - in);
    if (flags != 0 && flags != PUMP_SOURCE_BLOCKS && flags != PUMP_DESTINATION_BLOCKS) break;
    driver_turn(d, 100);
  }
  close(ends[0]);
  close(ends[1]);
  return out;
}

// Everything that is still armed is cancelled and closed, and must then have completed.
static void finish(struct driver *d, const int *fds, int count) {
  for (int i = 0; i < count; i++) {
    driver_entry(d, IORING_OP_ASYNC_CANCEL, fds[i], CANCELS)->cancel_flags = 3;
    driver_turn(d, 0);
    driver_entry(d, IORING_OP_CLOSE, fds[i], CLOSES);
    driver_turn(d, 0);
  }
  for (int turn = 0; turn < 50 && driver_owed(d) > 0; turn++) driver_turn(d, 1000);
  if (d->owed[MAILED] > 0 && d->last[MAILS] < 0) d->owed[MAILED] = 0;
  CHECK(driver_owed(d) == 0);
}

// `undisturbed` runs must get everything done.
static void scenario(enum sluice_executor executor, bool undisturbed) {
  static struct driver driver;
  struct driver *d = &driver;
  const char *call;
  int fds[64], count = 0, clients[2];
  int64_t pumped = 0;
  if (driver_open(d, executor) < 0) return;
  int listener = sluice_listen("127.0.0.1", 0, 16, SLUICE_PORT_FIRST, 1000, 1000, &call);
  int port = listener < 0 ? -1 : sluice_local_port(listener);
  if (port > 0) {
    for (int i = 0; i < 2; i++) clients[i] = dial(port);
    driver_entry(d, IORING_OP_ACCEPT, listener, ACCEPTS)->ioprio = 1;
    if (accepted(d, 2)) {
      int fd = d->accepted[0];
      exercise_receive(d, fd, clients[0]);
      exercise_send(d, fd, clients[0]);
      exercise_links(d, fd);
      pumped = exercise_pump(d, d->accepted[1], fd, clients[1]);
    }
    int out = sluice_socket(4, 1000, 1000);
    struct sockaddr_storage address;
    if (out >= 0) {
      struct io_uring_sqe *sqe = driver_entry(d, IORING_OP_CONNECT, out, CONNECTS);
      sqe->off = sluice_parse_address("127.0.0.1", (uint16_t)port, &address);
      sqe->addr = (uint64_t)(uintptr_t)&address;
      fds[count++] = out;
      accepted(d, 3);
      sqe = driver_entry(d, IORING_OP_SEND, out, SENDS);
      sqe->addr = (uint64_t)(uintptr_t)d->ring.slab;
      sqe->len = 5;
      sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
      sqe->flags = IOSQE_IO_LINK;
      driver_entry(d, SLUICE_OP_SHUTDOWN, out, LINKS)->len = 1;
      for (int turn = 0; turn < PATIENCE && d->owed[LINKS] > 0; turn++) driver_turn(d, 1000);
    }
    for (int i = 0; i < 2; i++) close(clients[i]);
    driver_turn(d, 1000);
  }
  if (listener >= 0) fds[count++] = listener;
  for (int i = 0; i < d->accept_count; i++) fds[count++] = d->accepted[i];
  int before = d->accept_count;
  finish(d, fds, count);
  if (undisturbed) {
    CHECK(d->accept_count == 3 && d->received[RECEIVES] == 50000 && d->last[SLICES] == (int)SEND_BYTES + 10);
    CHECK(d->last[CONNECTS] == 0 && d->last[MAILED] == 42 && d->last[POLLS] == -ECANCELED && d->last[LINKS] == 0);
    CHECK(pumped == 30000);
  }
  for (int i = before; i < d->accept_count; i++) close(d->accepted[i]);
  sluice_ring_destroy(&d->ring);
}

static int open_descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static int torture(enum sluice_executor executor) {
  int runs = 0;
  fault_plan(0, 0);
  scenario(executor, true);  // maps what stays for the life of the process
  int descriptors = open_descriptors();
  long mapped = mapped_bytes();
  for (int variant = 0; variant < FAULT_VARIANTS; variant++) {
    fault_plan(0, variant);
    scenario(executor, true);
    int calls = fault_count();
    CHECK(calls > 0 || executor == SLUICE_URING);
    for (int at = 1; at <= calls; at++, runs++) {
      fault_plan(at, variant);
      scenario(executor, false);
      int now = open_descriptors();
      if (now != descriptors || mapped_bytes() != mapped) {
        fprintf(stderr, "variant %d, call %d: %d descriptors, %ld bytes too many\n", variant, at, now - descriptors,
                mapped_bytes() - mapped);
      }
      CHECK(now == descriptors && mapped_bytes() == mapped);
    }
  }
  return runs;
}

// Silence would leave the caller waiting for ever.
static void registration_failure_is_reported(void) {
  static const int opcodes[] = {IORING_OP_RECV, IORING_OP_ACCEPT, IORING_OP_POLL_ADD, IORING_OP_SEND};
  for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
    struct driver d;
    int ends[2];
    CHECK(driver_open(&d, SLUICE_EPOLL) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    struct io_uring_sqe *sqe = driver_entry(&d, opcodes[i], ends[0], RECEIVES);
    if (opcodes[i] == IORING_OP_SEND) {
      sqe->addr = (uint64_t)(uintptr_t)d.ring.slab;
      sqe->len = 2u << 20;
      sqe->msg_flags = MSG_WAITALL;
    } else if (opcodes[i] == IORING_OP_POLL_ADD) {
      sqe->poll32_events = POLLIN;
    } else {
      sqe->ioprio = opcodes[i] == IORING_OP_RECV ? 2 : 1;
    }
    fault_next("epoll_ctl", ENOSPC);
    driver_turn(&d, 1000);
    CHECK(d.owed[RECEIVES] == 0 && d.last[RECEIVES] == -ENOSPC);
    sluice_ring_destroy(&d.ring);
    close(ends[0]);
    close(ends[1]);
  }
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  struct driver probe;
  setbuf(stdout, NULL);
  registration_failure_is_reported();
  printf("epoll: %d faults survived\n", torture(SLUICE_EPOLL));
  int error = driver_open(&probe, SLUICE_URING);
  if (error < 0) {
    printf("uring: SKIPPED, %s: %s\n", probe.ring.call, strerror(-error));
    return 0;
  }
  sluice_ring_destroy(&probe.ring);
  printf("uring: %d faults survived\n", torture(SLUICE_URING));
  return 0;
}
