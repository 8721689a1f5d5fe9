// The epoll executor runs the same entries as io_uring, for kernels and containers that refuse io_uring.
//
// Each descriptor is registered once, edge-triggered, for reading and writing. A short receive has drained the socket, so no second call is
// needed to see EAGAIN. After a hang-up no further edge comes, so reading continues to the end; with urgent data, before which a receive
// stops, until there is nothing. Sends are tried when they are submitted,
// receives once epoll has reported data.
#include "epoll.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

#ifndef __NR_epoll_pwait2
#define __NR_epoll_pwait2 441
#endif

#define MAILBOX UINT64_MAX

struct fd_state *sluice_fd_state(struct epoll_executor *x, int fd) {
  if ((uint32_t)fd >= sluice_fd_limit()) return NULL;
  struct fd_state *f = &x->fds[fd];
  uint32_t generation = sluice_fd_generation(fd);
  if (f->generation != generation) {
    sluice_cancel_fd(x, f, true);
    f->flags &= FD_READY;
    f->generation = generation;
  }
  return f;
}

void sluice_mark_ready(struct epoll_executor *x, int fd) {
  struct fd_state *f = &x->fds[fd];
  if ((f->flags & FD_READY) != 0) return;
  f->flags |= FD_READY;
  f->next_ready = -1;
  if (x->ready.head < 0) {
    x->ready.head = fd;
  } else {
    x->fds[x->ready.tail].next_ready = fd;
  }
  x->ready.tail = fd;
}

int sluice_watch(struct epoll_executor *x, struct fd_state *f, int fd) {
  if ((f->flags & FD_WATCHED) != 0) return 0;
  struct epoll_event event = {.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                              .data.u64 = (uint64_t)f->generation << 32 | (uint32_t)fd};
  int result = SYS(epoll_ctl, x->epoll_fd, EPOLL_CTL_ADD, fd, &event);
  // Still registered from an earlier life: modifying it reports again what is ready now.
  if (result < 0 && errno == EEXIST) result = SYS(epoll_ctl, x->epoll_fd, EPOLL_CTL_MOD, fd, &event);
  if (result < 0) return -errno;
  f->flags |= FD_WATCHED;
  if (fd > x->highest_fd) x->highest_fd = fd;
  return 0;
}

// Operations whose turn in a chain has come. A list rather than recursion, because chains may be as long as the ring.
static void issue_links(struct epoll_executor *x) {
  while (x->issuable.head != 0) {
    uint32_t index = x->issuable.head;
    x->issuable.head = op_at(x, index)->next;
    sluice_issue(x, index);
  }
}

// How many of `submit` entries there are to submit.
static uint32_t submittable(const struct epoll_executor *x, uint32_t submit) {
  uint32_t queued = sluice_load(x->sq_tail) - x->submitted;
  if (submit > queued) submit = queued;
  return submit > x->sq_entries ? x->sq_entries : submit;
}

static uint32_t submit_entries(struct epoll_executor *x, uint32_t submit) {
  uint32_t done = 0, chain = 0, last = 0;
  while (done < submit) {
    if (!sluice_reserve_op(x)) break;
    uint32_t index = sluice_take_op(x, &x->sqes[x->submitted & (x->sq_entries - 1)]);
    x->submitted++;
    done++;
    if (chain == 0) {
      chain = index;
    } else {
      op_at(x, last)->link = index;
    }
    last = index;
    if ((op_at(x, index)->sqe.flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)) != 0 && done < submit) continue;
    sluice_issue_later(x, chain);
    issue_links(x);
    chain = 0;
  }
  if (chain != 0) {  // no memory in the middle of a chain: it ends here
    sluice_issue_later(x, chain);
    issue_links(x);
  }
  sluice_store(x->sq_head, x->submitted);
  return done;
}

static void run_ready(struct epoll_executor *x) {
  int fd = x->ready.head;
  x->ready.head = -1;
  while (fd >= 0) {
    struct fd_state *f = &x->fds[fd];
    int next = f->next_ready;
    f->flags &= ~(uint32_t)FD_READY;
    sluice_run_readers(x, fd, f);
    issue_links(x);
    fd = next;
  }
}

static void handle_event(struct epoll_executor *x, uint64_t data, uint32_t events) {
  if (data == MAILBOX) {
    sluice_mail_deliver(x);
    return;
  }
  int fd = (int)(uint32_t)data;
  struct fd_state *f = &x->fds[fd];
  if (f->generation != data >> 32) return;  // of a file closed since
  if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    f->flags |= FD_READABLE;
    if ((events & EPOLLPRI) != 0) f->flags |= FD_URGENT;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) f->flags |= FD_HUNG;
    if (f->queue[READERS] != 0) sluice_run_readers(x, fd, f);
  }
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 && f->queue[WRITERS] != 0) sluice_run_writers(x, f);
  if (f->queue[POLLERS] != 0) sluice_run_pollers(x, f, events);
  issue_links(x);
}

// `us` < 0: no limit. Waits below a millisecond need epoll_pwait2 (5.11); otherwise they are rounded up.
static int wait_events(struct epoll_executor *x, int64_t us) {
  if (us > 0 && x->precise) {
    struct timespec timeout = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    int count = (int)SYS(syscall, __NR_epoll_pwait2, x->epoll_fd, x->events, EVENTS_PER_WAIT, &timeout, NULL, 0);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    x->precise = false;
  }
  int ms = us <= 0 ? (int)us : us > (int64_t)INT_MAX * 1000 ? INT_MAX : (int)((us + 999) / 1000);
  return SYS(epoll_wait, x->epoll_fd, x->events, EVENTS_PER_WAIT, ms);
}

// Whether the wait is over. If there is no memory for an entry, one completed operation makes room.
static bool enough(const struct epoll_executor *x, uint32_t min_complete, bool no_memory) {
  return x->completed - x->consumed >= min_complete || (no_memory && x->free_op != 0);
}

int sluice_epoll_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                       uint32_t min_wait_us) {
  struct epoll_executor *x = ring->epoll;
  x->consumed = sluice_load(x->cq_head);
  sluice_flush_overflowed(x);
  if (x->mail_waiting) sluice_mail_deliver(x);
  uint32_t wanted = submittable(x, submit), submitted = submit_entries(x, wanted);
  bool no_memory = submitted < wanted;
  if (no_memory) {  // operations that end now make room
    timeout_us = submitted > 0 ? 0 : SLUICE_PAUSE_US;
    min_complete = x->cq_entries;
    min_wait_us = 0;
  }
  if (min_complete > x->cq_entries) min_complete = x->cq_entries;
  if (min_wait_us > 0 && !x->precise && min_complete > 1) min_complete = 1;
  int64_t now = timeout_us > 0 || min_wait_us > 0 ? sluice_clock_us() : 0;
  int64_t until = timeout_us < 0 || timeout_us > INT64_MAX - now ? INT64_MAX : now + timeout_us;
  int error = 0;
  int64_t settle = now + min_wait_us;  // before this time, wait for all completions asked for; after it, for one
  for (;;) {
    run_ready(x);
    if (min_wait_us > 0 && now >= settle && min_complete > 1) min_complete = 1;
    int64_t wait = 0;
    if (timeout_us != 0 && x->ready.head < 0 && !enough(x, min_complete, no_memory)) {
      int64_t end = min_wait_us > 0 && now < settle && settle < until ? settle : until;
      wait = end == INT64_MAX ? -1 : end > now ? end - now : 0;
    }
    int count = wait_events(x, wait);
    if (count < 0 && errno != EINTR) error = -errno;
    for (int i = 0; i < count; i++) handle_event(x, x->events[i].data.u64, x->events[i].events);
    if (count < 0 || timeout_us == 0 || enough(x, min_complete, no_memory)) break;
    if (timeout_us > 0 || min_wait_us > 0) now = sluice_clock_us();
    if (now >= until) break;
  }
  sluice_store(x->cq_tail, x->completed);
  if (error < 0) return error;
  return no_memory && submitted == 0 ? -ENOMEM : (int)submitted;
}

static int map_tables(struct sluice_ring *ring, struct epoll_executor *x, uint32_t entries) {
  uint32_t sq_entries = 1;
  while (sq_entries < entries) sq_entries *= 2;
  ring->sq_entries = sq_entries;
  ring->cq_entries = sq_entries * 4;
  ring->sq_head = 0;
  ring->sq_tail = 4;
  ring->cq_head = 8;
  ring->cq_tail = 12;
  ring->cqes = 64;
  ring->rings_size = ring->cqes + ring->cq_entries * sizeof(struct io_uring_cqe);
  ring->entries_size = sq_entries * sizeof(struct io_uring_sqe);
  int access = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *rings = SYS_MMAP(NULL, ring->rings_size, access, flags, -1, 0);
  if (rings == MAP_FAILED) return -errno;
  ring->rings = rings;
  void *sqes = SYS_MMAP(NULL, ring->entries_size, access, flags, -1, 0);
  if (sqes == MAP_FAILED) return -errno;
  ring->entries = sqes;
  void *fds = SYS_MMAP(NULL, sluice_fd_limit() * sizeof *x->fds, access, flags, -1, 0);
  if (fds == MAP_FAILED) return -errno;
  x->fds = fds;
  return 0;
}

static int open_descriptors(struct sluice_ring *ring, struct epoll_executor *x) {
  ring->call = "epoll_create1";
  x->epoll_fd = SYS(epoll_create1, EPOLL_CLOEXEC);
  if (x->epoll_fd < 0) return -errno;
  ring->call = "eventfd";
  x->event_fd = SYS(eventfd, 0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (x->event_fd < 0) return -errno;
  ring->call = "epoll_ctl";
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = MAILBOX};
  return SYS(epoll_ctl, x->epoll_fd, EPOLL_CTL_ADD, x->event_fd, &event) < 0 ? -errno : 0;
}

static void release(struct sluice_ring *ring, struct epoll_executor *x) {
  sluice_registry_remove(x);
  if (x->epoll_fd >= 0) SYS_CLOSE(x->epoll_fd);
  if (x->event_fd >= 0) SYS_CLOSE(x->event_fd);
  if (x->fds != NULL) munmap(x->fds, sluice_fd_limit() * sizeof *x->fds);
  if (ring->rings != NULL) munmap(ring->rings, ring->rings_size);
  if (ring->entries != NULL) munmap(ring->entries, ring->entries_size);
  free(x->ops);
  free(x->buckets);
  free(x->mail);
  free(x);
  ring->rings = NULL;
  ring->entries = NULL;
  ring->epoll = NULL;
}

int sluice_epoll_open(struct sluice_ring *ring, uint32_t entries) {
  ring->call = "malloc";
  struct epoll_executor *x = SYS_ALLOC(calloc, 1, sizeof *x);
  if (x == NULL) return -ENOMEM;
  x->epoll_fd = x->event_fd = -1;
  x->ready.head = -1;
  x->highest_fd = -1;
  x->precise = true;
  x->ring = ring;
  int error = sluice_reserve_op(x) ? 0 : -ENOMEM;
  if (error == 0) {
    ring->call = "registry";
    error = sluice_registry_add(x);
  }
  if (error == 0) {
    ring->call = "mmap";
    error = map_tables(ring, x, entries);
  }
  if (error == 0) error = open_descriptors(ring, x);
  if (error < 0) {
    release(ring, x);
    return error;
  }
  x->sq_head = sluice_word(ring, ring->sq_head);
  x->sq_tail = sluice_word(ring, ring->sq_tail);
  x->cq_head = sluice_word(ring, ring->cq_head);
  x->cq_tail = sluice_word(ring, ring->cq_tail);
  x->cqes = (struct io_uring_cqe *)(void *)(ring->rings + ring->cqes);
  x->sqes = (struct io_uring_sqe *)(void *)ring->entries;
  x->sq_entries = ring->sq_entries;
  x->cq_entries = ring->cq_entries;
  ring->executor = SLUICE_EPOLL;
  ring->bundles = true;
  ring->epoll = x;
  ring->id = x->id;
  return 0;
}

// Whether nothing waits on a descriptor: its state may be forgotten then. One that is still registered is registered anew when it is used next,
// which reports what is ready.
static bool at_rest(const struct fd_state *f) {
  return (f->flags & FD_READY) == 0 && f->queue[READERS] == 0 && f->queue[WRITERS] == 0 && f->queue[POLLERS] == 0;
}

void sluice_epoll_shrink(struct sluice_ring *ring) {
  struct epoll_executor *x = ring->epoll;
  sluice_shrink_ops(x);
  int rest = 0, highest = -1;  // the first of those at rest that come in a row
  for (int fd = 0; fd <= x->highest_fd + 1; fd++) {
    bool past = fd > x->highest_fd;
    if (!past && at_rest(&x->fds[fd])) continue;
    sluice_discard_within(&x->fds[rest], (size_t)(fd - rest) * sizeof *x->fds);
    rest = fd + 1;
    if (!past) highest = fd;
  }
  x->highest_fd = highest;
  // The rings have been gone through to their ends. Those of the kernel's are not ours to count.
  uint32_t pending = sluice_load(x->sq_tail) - x->submitted, unseen = x->completed - sluice_load(x->cq_head);
  if (pending == 0) sluice_discard_within(ring->entries, ring->entries_size);
  if (unseen == 0) sluice_discard_within(x->cqes, x->cq_entries * sizeof *x->cqes);
}

void sluice_epoll_close(struct sluice_ring *ring) {
  struct epoll_executor *x = ring->epoll;
  submit_entries(x, submittable(x, UINT32_MAX));
  sluice_ring_close_queued(ring);
  sluice_ring_forget(ring);
  release(ring, x);
}
