// What happens when memory is short for a while, and when the kernel does not let go of an operation: nothing is lost,
// nobody spins, and no memory goes away under a transfer that may still happen.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "faults.h"

enum { EVER = 1 << 30, PATIENCE = 1000, RECEIVES = 10, POLLS, NOPS };
#define SLAB_BYTES (4l << 20)

static const char *name_of(enum sluice_executor executor) { return executor == SLUICE_URING ? "uring" : "epoll"; }

static uint32_t queued(const struct driver *d) { return d->tail - sluice_load(sluice_word(&d->ring, d->ring.sq_head)); }

static int enter(struct driver *d, int64_t timeout_us) {
  return sluice_ring_enter(&d->ring, queued(d), 1, timeout_us, 0);
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static void pair(int ends[2]) { CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0); }

static void receive(struct driver *d, int fd) {
  struct io_uring_sqe *sqe = driver_entry(d, IORING_OP_RECV, fd, RECEIVES);
  sqe->ioprio = 2;
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->buf_group = SLUICE_BUFFER_GROUP;
}

// The kernel says EAGAIN, ENOMEM or EBUSY: the entry stays queued and is carried out by the next call that succeeds.
static void kernel_without_memory(int error, bool held_up) {
  struct driver d;
  CHECK(driver_open(&d, SLUICE_URING) == 0);
  driver_entry(&d, IORING_OP_NOP, -1, NOPS);
  for (int round = 0; round < 3; round++) {
    // Two failures: the wait in the ring that is to let time pass fails as well.
    int failures = round == 0 ? 1 : 2;
    fault_repeat("syscall", error, failures);
    int64_t start = sluice_clock_us();
    CHECK(enter(&d, -1) == -error);
    CHECK(!held_up || sluice_clock_us() - start >= SLUICE_PAUSE_US);
    CHECK(!held_up || fault_left() == 0);
    fault_plan(0, 0);
    CHECK(d.owed[NOPS] == 1 && queued(&d) == 1);
  }
  fault_next("syscall", EINTR);
  CHECK(enter(&d, -1) == 0);
  driver_turn(&d, -1);
  CHECK(d.owed[NOPS] == 0 && d.last[NOPS] == 0);
  sluice_ring_destroy(&d.ring);
}

// Completions come in while entries can't be submitted: else the memory that they hold would never be free again.
static void kernel_completes_meanwhile(void) {
  struct driver d;
  int ends[2];
  pair(ends);
  CHECK(driver_open(&d, SLUICE_URING) == 0);
  receive(&d, ends[0]);
  driver_turn(&d, 0);
  CHECK(send(ends[1], "x", 1, MSG_NOSIGNAL) == 1);
  driver_entry(&d, IORING_OP_NOP, -1, NOPS);
  fault_next("syscall", ENOMEM);
  driver_turn(&d, -1);
  CHECK(d.received[RECEIVES] == 1 && d.owed[NOPS] == 1);
  driver_turn(&d, -1);
  CHECK(d.owed[NOPS] == 0);
  close(ends[0]);
  close(ends[1]);
  sluice_ring_destroy(&d.ring);
}

// The table of operations is full and can't grow.
static void table_without_memory(void) {
  struct driver d;
  int ends[2];
  pair(ends);
  CHECK(driver_open(&d, SLUICE_EPOLL) == 0);
  for (int i = 0; i < 14; i++) driver_entry(&d, IORING_OP_POLL_ADD, ends[0], POLLS)->poll32_events = POLLPRI;
  driver_turn(&d, 0);
  receive(&d, ends[0]);
  for (int i = 0; i < 4; i++) driver_entry(&d, IORING_OP_POLL_ADD, ends[0], POLLS)->poll32_events = POLLPRI;
  fault_repeat("realloc", ENOMEM, EVER);
  // Two fit. The rest is still queued, so there is no wait, though none was to end.
  CHECK(enter(&d, -1) == 2);
  int64_t start = sluice_clock_us();
  CHECK(enter(&d, -1) == -ENOMEM && sluice_clock_us() - start >= SLUICE_PAUSE_US);
  CHECK(enter(&d, 0) == -ENOMEM && queued(&d) == 3);
  // An operation that ends makes room.
  CHECK(send(ends[1], "x", 1, MSG_NOSIGNAL) == 1 && shutdown(ends[1], SHUT_WR) == 0);
  for (int turn = 0; turn < PATIENCE && d.owed[RECEIVES] > 0; turn++) driver_turn(&d, 0);
  CHECK(d.received[RECEIVES] == 1 && d.owed[RECEIVES] == 0);
  driver_turn(&d, 0);
  CHECK(queued(&d) == 2);
  fault_plan(0, 0);
  close(ends[0]);
  close(ends[1]);
  sluice_ring_destroy(&d.ring);
}

// A wait that fails for good is an error, as io_uring_enter's is.
static void broken_wait_is_reported(void) {
  struct driver d;
  CHECK(driver_open(&d, SLUICE_EPOLL) == 0);
  fault_next("epoll_wait", EBADF);
  CHECK(enter(&d, 0) == -EBADF);
  fault_next("epoll_wait", EINTR);
  CHECK(enter(&d, 0) == 0);
  sluice_ring_destroy(&d.ring);
}

// A close that was queued when the ring went away happens, even if no entry can be submitted any more.
static void queued_close_happens(enum sluice_executor executor) {
  struct driver d;
  int ends[2];
  pair(ends);
  CHECK(driver_open(&d, executor) == 0);
  if (executor == SLUICE_EPOLL) {
    for (int i = 0; i < 16; i++) driver_entry(&d, IORING_OP_POLL_ADD, ends[1], POLLS)->poll32_events = POLLPRI;
    driver_turn(&d, 0);
    fault_repeat("realloc", ENOMEM, EVER);
  } else {
    fault_repeat("syscall", EAGAIN, EVER);
  }
  driver_entry(&d, IORING_OP_NOP, -1, NOPS);
  driver_entry(&d, IORING_OP_CLOSE, ends[0], NOPS);
  uint8_t *slab = d.ring.slab;
  sluice_ring_destroy(&d.ring);
  fault_plan(0, 0);
  CHECK(!is_open(ends[0]) && is_open(ends[1]));
  if (executor == SLUICE_URING) munmap(slab, SLAB_BYTES);  // the cancellation failed too
  close(ends[1]);
}

// The cancellation times out, again and again: the receive may still come, so its buffers stay where they are.
static void slab_outlives_stuck_receive(void) {
  struct driver d;
  int ends[2];
  pair(ends);
  long before = mapped_bytes();
  CHECK(driver_open(&d, SLUICE_URING) == 0);
  receive(&d, ends[0]);
  driver_turn(&d, 0);
  uint8_t *slab = d.ring.slab;
  fault_repeat("syscall", ETIME, EVER);
  sluice_ring_destroy(&d.ring);
  fault_plan(0, 0);
  CHECK(mapped_bytes() - before == SLAB_BYTES && d.ring.slab == NULL);
  unsigned char resident[1];
  CHECK(mincore(slab, 4096, resident) == 0);
  sluice_ring_destroy(&d.ring);  // once more does nothing
  CHECK(mapped_bytes() - before == SLAB_BYTES);
  munmap(slab, SLAB_BYTES);
  close(ends[0]);
  close(ends[1]);
}

// One attempt that fails is not the end: the next one cancels, and everything is unmapped.
static void cancellation_is_tried_again(int error) {
  struct driver d;
  int ends[2];
  pair(ends);
  long before = mapped_bytes();
  CHECK(driver_open(&d, SLUICE_URING) == 0);
  receive(&d, ends[0]);
  driver_turn(&d, 0);
  fault_next("syscall", error);
  sluice_ring_destroy(&d.ring);
  CHECK(fault_left() == 0 && mapped_bytes() == before);
  close(ends[0]);
  // The receive is gone: the peer sees the end at once.
  char byte;
  CHECK(recv(ends[1], &byte, 1, MSG_DONTWAIT) == 0);
  close(ends[1]);
}

int main(void) {
  struct driver probe;
  table_without_memory();
  broken_wait_is_reported();
  queued_close_happens(SLUICE_EPOLL);
  printf("shortage: %s passed\n", name_of(SLUICE_EPOLL));
  int error = driver_open(&probe, SLUICE_URING);
  if (error < 0) {
    printf("shortage: uring SKIPPED, %s: %s\n", probe.ring.call, strerror(-error));
    return 0;
  }
  sluice_ring_destroy(&probe.ring);
  kernel_without_memory(EAGAIN, true);
  kernel_without_memory(ENOMEM, true);
  kernel_without_memory(EBUSY, false);
  kernel_completes_meanwhile();
  queued_close_happens(SLUICE_URING);
  slab_outlives_stuck_receive();
  cancellation_is_tried_again(ETIME);
  cancellation_is_tried_again(EINTR);
  printf("shortage: %s passed\n", name_of(SLUICE_URING));
  return 0;
}
