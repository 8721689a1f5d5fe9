// The kernel as executor: io_uring with completions delivered only inside io_uring_enter (DEFER_TASKRUN), so the rings need no protection
// against interrupts of their own thread. Needs Linux 6.1.
#include <errno.h>
#include <fcntl.h>
#include <linux/time_types.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"
#include "sys.h"

// Constants newer than the oldest supported headers, with the kernel's names.
#define SETUP_CQSIZE (1u << 3)
#define SETUP_CLAMP (1u << 4)
#define SETUP_SINGLE_ISSUER (1u << 12)
#define SETUP_DEFER_TASKRUN (1u << 13)
#define FEAT_SINGLE_MMAP (1u << 0)
#define FEAT_MIN_TIMEOUT (1u << 15)
#define FEAT_NO_IOWAIT (1u << 17)
#define ENTER_GETEVENTS (1u << 0)
#define ENTER_EXT_ARG (1u << 3)
#define ENTER_NO_IOWAIT (1u << 7)
#define REGISTER_PBUF_RING 22
#define REGISTER_SYNC_CANCEL 24
#define CANCEL_ALL (1u << 0)
#define CANCEL_ANY (1u << 2)

#define FOREVER_S INT32_MAX
#define CANCEL_TIMEOUT_NS 100000000
#define CANCEL_ATTEMPTS 3  // a signal or a shortage of memory may end an attempt

struct enter_argument {
  uint64_t sigmask;
  uint32_t sigmask_size;
  uint32_t min_wait_us;
  uint64_t timeout;
};
struct buffer_ring_registration {
  uint64_t address;
  uint32_t entries;
  uint16_t group;
  uint16_t flags;
  uint64_t reserved[3];
};
struct sync_cancel {
  uint64_t user_data;
  int32_t fd;
  uint32_t flags;
  struct __kernel_timespec timeout;
  uint64_t reserved[4];
};

static void unmap_rings(struct sluice_ring *ring) {
  if (ring->rings != NULL) munmap(ring->rings, ring->rings_size);
  if (ring->entries != NULL) munmap(ring->entries, ring->entries_size);
  ring->rings = NULL;
  ring->entries = NULL;
}

static int map_rings(struct sluice_ring *ring, const struct io_uring_params *params) {
  size_t sq_size = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
  size_t cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
  ring->rings_size = sq_size > cq_size ? sq_size : cq_size;
  ring->entries_size = params->sq_entries * sizeof(struct io_uring_sqe);
  ring->call = "mmap";
  void *rings = SYS_MMAP(NULL, ring->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                         IORING_OFF_SQ_RING);
  if (rings == MAP_FAILED) return -errno;
  ring->rings = rings;
  void *entries = SYS_MMAP(NULL, ring->entries_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                           IORING_OFF_SQES);
  if (entries == MAP_FAILED) return -errno;
  ring->entries = entries;
  return 0;
}

static int register_buffers(struct sluice_ring *ring) {
  struct buffer_ring_registration registration = {
      .address = (uint64_t)(uintptr_t)ring->buffers, .entries = ring->buffer_count, .group = SLUICE_BUFFER_GROUP};
  ring->call = "io_uring_register";
  return SYS(syscall, __NR_io_uring_register, ring->fd, REGISTER_PBUF_RING, &registration, 1) < 0 ? -errno : 0;
}

static int call_enter(const struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                      uint32_t min_wait_us) {
  // A wait for input is idleness, not disk wait: without this flag a quiet proxy shows up as iowait.
  uint32_t flags = ENTER_GETEVENTS | ((ring->features & FEAT_NO_IOWAIT) != 0 ? ENTER_NO_IOWAIT : 0);
  if (timeout_us == 0) min_complete = 0;
  long result;
  if (min_complete == 0 || (timeout_us < 0 && min_wait_us == 0)) {
    result = SYS(syscall, __NR_io_uring_enter, ring->fd, submit, min_complete, flags, NULL, 0);
  } else {
    // min_wait needs a timeout beside it: without one an idle ring returns ETIME again and again.
    struct __kernel_timespec timeout = {.tv_sec = FOREVER_S};
    if (timeout_us > 0) {
      timeout.tv_sec = timeout_us / 1000000;
      timeout.tv_nsec = timeout_us % 1000000 * 1000;
    }
    struct enter_argument argument = {.min_wait_us = min_wait_us, .timeout = (uint64_t)(uintptr_t)&timeout};
    result = SYS(syscall, __NR_io_uring_enter, ring->fd, submit, min_complete, flags | ENTER_EXT_ARG, &argument,
                 sizeof argument);
  }
  if (result < 0) return errno == ETIME || errno == EINTR ? 0 : -errno;
  return (int)result;
}

// Whether a receive can have a total limit, which Linux supports since 6.17: the limit is in a field that earlier versions require to be
// zero. A receive on no descriptor ends with EBADF if its entry is understood. Bundles are older, but before 6.16 they could count buffers
// wrongly.
static bool understands_bundles(struct sluice_ring *ring) {
  uint32_t tail = sluice_load(sluice_word(ring, ring->sq_tail)), head = sluice_load(sluice_word(ring, ring->cq_head));
  struct io_uring_sqe *entry = (struct io_uring_sqe *)(void *)ring->entries + (tail & (ring->sq_entries - 1));
  memset(entry, 0, sizeof *entry);
  entry->opcode = IORING_OP_RECV;
  entry->fd = -1;
  entry->flags = IOSQE_BUFFER_SELECT;
  entry->ioprio = SLUICE_RECV_MULTISHOT | SLUICE_RECVSEND_BUNDLE;
  entry->len = 1;
  entry->buf_group = SLUICE_BUFFER_GROUP;
  entry->splice_fd_in = 1;  // optlen
  sluice_store(sluice_word(ring, ring->sq_tail), tail + 1);
  if (call_enter(ring, 1, 1, CANCEL_TIMEOUT_NS / 1000, 0) != 1) {
    sluice_store(sluice_word(ring, ring->sq_tail), sluice_load(sluice_word(ring, ring->sq_head)));
    return false;
  }
  if (sluice_load(sluice_word(ring, ring->cq_tail)) == head) return false;
  const struct io_uring_cqe *cqes = (const void *)(ring->rings + ring->cqes);
  int32_t result = cqes[head & (ring->cq_entries - 1)].res;
  sluice_store(sluice_word(ring, ring->cq_head), head + 1);
  return result == -EBADF;
}

// A sandbox may allow the other two calls and refuse this one. A shortage passes.
static int try_enter(struct sluice_ring *ring) {
  ring->call = "io_uring_enter";
  int result = call_enter(ring, 0, 0, 0, 0);
  return result < 0 && result != -EAGAIN && result != -ENOMEM && result != -EBUSY ? result : 0;
}

int sluice_uring_open(struct sluice_ring *ring, uint32_t entries) {
  struct io_uring_params params;
  memset(&params, 0, sizeof params);
  params.flags = SETUP_CQSIZE | SETUP_CLAMP | SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN;
  params.cq_entries = entries * 4;
  ring->call = "io_uring_setup";
  ring->fd = (int)SYS(syscall, __NR_io_uring_setup, entries, &params);
  if (ring->fd < 0) return -errno;
  int error = (params.features & FEAT_SINGLE_MMAP) != 0 ? map_rings(ring, &params) : -ENOSYS;
  if (error == 0) error = register_buffers(ring);
  if (error == 0) error = try_enter(ring);
  if (error < 0) {
    unmap_rings(ring);
    SYS_CLOSE(ring->fd);
    ring->fd = -1;
    return error;
  }
  ring->executor = SLUICE_URING;
  ring->id = ring->fd;
  ring->features = params.features;
  ring->sq_head = params.sq_off.head;
  ring->sq_tail = params.sq_off.tail;
  ring->cq_head = params.cq_off.head;
  ring->cq_tail = params.cq_off.tail;
  ring->cqes = params.cq_off.cqes;
  ring->sq_entries = params.sq_entries;
  ring->cq_entries = params.cq_entries;
  // Entries are always used in order, so the indirection array is the identity, written once.
  uint32_t *array = sluice_word(ring, params.sq_off.array);
  for (uint32_t i = 0; i < params.sq_entries; i++) array[i] = i;
  ring->bundles = understands_bundles(ring);
  return 0;
}

int sluice_uring_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                       uint32_t min_wait_us) {
  if (min_wait_us > 0 && (ring->features & FEAT_MIN_TIMEOUT) == 0) {
    min_wait_us = 0;
    if (min_complete > 1) min_complete = 1;
  }
  int result = call_enter(ring, submit, min_complete, timeout_us, min_wait_us);
  if (result != -EAGAIN && result != -ENOMEM) return result;
  // No memory for the first entry: the kernel returned at once, without completing anything. Completions now free memory. EBUSY is not
  // delayed: then completions are waiting to be taken.
  if (call_enter(ring, 0, ring->cq_entries, SLUICE_PAUSE_US, 0) < 0) {
    nanosleep(&(struct timespec){.tv_nsec = SLUICE_PAUSE_US * 1000L}, NULL);
  }
  return result;
}

// Collects pending completions and drops them.
static void reap(struct sluice_ring *ring) {
  for (int turn = 0; turn < 64; turn++) {
    call_enter(ring, 0, 0, 0, 0);
    if (sluice_load(sluice_word(ring, ring->cq_tail)) == sluice_load(sluice_word(ring, ring->cq_head))) return;
    sluice_ring_forget(ring);
  }
}

static bool cancel(const struct sluice_ring *ring, uint32_t flags) {
  struct sync_cancel cancel = {.flags = flags, .timeout = {.tv_nsec = CANCEL_TIMEOUT_NS}};
  return SYS(syscall, __NR_io_uring_register, ring->fd, REGISTER_SYNC_CANCEL, &cancel, 1) >= 0;
}

// An armed operation holds its socket. Closing the ring would release it later, from a kernel worker; cancelling first releases it before
// this function returns, so peers see the close at once. False if the kernel does not finish in time.
static bool cancel_all(struct sluice_ring *ring) {
  for (int attempt = 0; attempt < CANCEL_ATTEMPTS; attempt++) {
    // With CANCEL_ALL the kernel counts an operation in one of its own workers as cancelled without waiting for it; without, it waits.
    bool cancelled = cancel(ring, CANCEL_ALL | CANCEL_ANY) && cancel(ring, CANCEL_ANY);
    reap(ring);
    if (cancelled) return true;
  }
  return false;
}

bool sluice_uring_close(struct sluice_ring *ring) {
  for (int turn = 0; turn < 64; turn++) {
    uint32_t queued = sluice_load(sluice_word(ring, ring->sq_tail)) - sluice_load(sluice_word(ring, ring->sq_head));
    if (queued == 0 || queued > ring->sq_entries) break;
    sluice_uring_enter(ring, queued, 0, 0, 0);
    reap(ring);
  }
  bool quiet = cancel_all(ring);
  sluice_ring_close_queued(ring);
  unmap_rings(ring);  // before the close: a mapped ring outlives its descriptor
  SYS_CLOSE(ring->fd);
  ring->fd = -1;
  return quiet;
}
