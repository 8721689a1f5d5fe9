// A submission and completion ring with io_uring's own layout, executed by the kernel (uring.c) or by epoll (epoll.c).
// A ring belongs to the thread that created it; only MSG_RING entries reach it from others.
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How long to delay a submission that found no memory, so that retrying does not spin.
#define SLUICE_PAUSE_US 1000

// Group of the provided buffers.
#define SLUICE_BUFFER_GROUP 1

// Constants newer than the oldest supported kernel headers (5.10), with the kernel's names.
#define SLUICE_OP_SHUTDOWN 34              // IORING_OP_SHUTDOWN
#define SLUICE_OP_MSG_RING 40              // IORING_OP_MSG_RING
#define SLUICE_CQE_SKIP_SUCCESS (1u << 6)  // IOSQE_CQE_SKIP_SUCCESS
#define SLUICE_RECV_MULTISHOT (1u << 1)    // IORING_RECV_MULTISHOT
#define SLUICE_RECVSEND_BUNDLE (1u << 4)   // IORING_RECVSEND_BUNDLE

// Bits 24 to 31 of user_data identify the operation. The core knows one: the result of an accept is a descriptor, which leaks unless
// somebody reads the completion (OP.ACCEPT in src/io/abi.ts).
#define SLUICE_TAG_ACCEPT 1

enum sluice_executor { SLUICE_AUTO, SLUICE_URING, SLUICE_EPOLL };

struct epoll_executor;

// An entry of the provided-buffer ring. The ring's tail is in the last field of entry 0.
struct sluice_buffer {
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t tail;
};

struct sluice_ring {
  enum sluice_executor executor;
  int id;              // names the ring in MSG_RING entries of other rings
  int fallback_errno;  // why AUTO did not use io_uring; 0 if it did or was not asked
  const char *call;    // the system call behind fallback_errno, or behind the error of a failed create

  uint8_t *rings;
  uint8_t *entries;
  struct sluice_buffer *buffers;
  uint8_t *slab;  // never crosses a 4 GiB boundary
  double *page;   // 0 clock (µs), 1 bytes into and 2 bytes out of the pipe of the last pump
  size_t rings_size, entries_size, buffers_size, slab_size, page_size;

  uint32_t sq_head, sq_tail, sq_array, cq_head, cq_tail, cqes;  // byte offsets into `rings`
  uint32_t sq_entries, cq_entries, buffer_count;

  int fd;                        // the uring's descriptor, else -1
  uint32_t features;             // IORING_FEAT_* of the running kernel
  bool bundles;                  // a receive may fill several buffers at once, and have a limit
  struct epoll_executor *epoll;  // of the epoll executor, else NULL
};

// Initialises `ring`. Returns 0, or -errno with ring->call set; then there is nothing to free.
int sluice_ring_create(struct sluice_ring *ring, enum sluice_executor executor, uint32_t entries, uint32_t buffers,
                       size_t slab_bytes);
// Submits up to `submit` entries and waits for `min_complete` completions or `timeout_us` (-1: no limit, 0: no wait). With `min_wait_us` >
// 0, one completion is enough once that time has passed. Returns the number of entries consumed or -errno. If memory for some entries is
// missing it does not wait. If it is missing for all of them, the call takes SLUICE_PAUSE_US or until there is some, and returns -EAGAIN or
// -ENOMEM: the entries stay queued for the next call.
int sluice_ring_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                      uint32_t min_wait_us);
// Returns the pages of buffers to the system: `count` areas of `bytes` each in the slab, given by number. Their content is lost. Returns how
// many were returned: none if a page is larger than a buffer.
uint32_t sluice_ring_discard(const struct sluice_ring *ring, const int32_t *numbers, uint32_t count, size_t bytes);
// Gives the pages that lie wholly in private, anonymous memory back to the system; they read as zeros. How many were given back.
uint32_t sluice_discard_within(void *memory, size_t bytes);
// Gives back what the executor has grown by in a burst and does not use. Between two calls of sluice_ring_enter.
void sluice_ring_shrink(struct sluice_ring *ring);
// Submits what is queued (so that queued closes happen), cancels everything and unmaps. The slab stays mapped, permanently, if the kernel did
// not release an operation that might still write there. Safe to call twice.
void sluice_ring_destroy(struct sluice_ring *ring);

// Monotonic clock, µs.
int64_t sluice_clock_us(void);

static inline uint32_t *sluice_word(const struct sluice_ring *ring, uint32_t offset) {
  return (uint32_t *)(void *)(ring->rings + offset);
}
// The rings' words are shared with the kernel (uring) or with JavaScript on the same thread (epoll).
static inline uint32_t sluice_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void sluice_store(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

// Drops pending completions, and closes the connections they would have delivered.
void sluice_ring_forget(struct sluice_ring *ring);
// Executes the closes among entries that no executor has taken.
void sluice_ring_close_queued(struct sluice_ring *ring);

// The executors, called by ring.c only.
int sluice_uring_open(struct sluice_ring *ring, uint32_t entries);
int sluice_uring_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                       uint32_t min_wait_us);
// False if operations may still be in progress.
bool sluice_uring_close(struct sluice_ring *ring);
int sluice_epoll_open(struct sluice_ring *ring, uint32_t entries);
int sluice_epoll_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                       uint32_t min_wait_us);
void sluice_epoll_close(struct sluice_ring *ring);
void sluice_epoll_shrink(struct sluice_ring *ring);

// Tells the epoll executors of all threads that descriptor `fd` is (or is about to be) a different file, so that none applies the old
// file's state to the new one. Call before closing and after creating a descriptor.
void sluice_fd_renew(int fd);

#endif
