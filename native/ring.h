// A submission and completion ring with io_uring's own layout, executed by the kernel (uring.c) or by epoll (epoll.c).
// A ring belongs to the thread that created it; only MSG_RING entries reach it from others.
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How long a submission that found no memory is held up, so that trying again is not spinning.
#define SLUICE_PAUSE_US 1000

// Group of the provided buffers.
#define SLUICE_BUFFER_GROUP 1

// Constants newer than the oldest kernel headers this builds with (5.10), by the kernel's names.
#define SLUICE_OP_SHUTDOWN 34              // IORING_OP_SHUTDOWN
#define SLUICE_OP_MSG_RING 40              // IORING_OP_MSG_RING
#define SLUICE_CQE_SKIP_SUCCESS (1u << 6)  // IOSQE_CQE_SKIP_SUCCESS
#define SLUICE_RECV_MULTISHOT (1u << 1)    // IORING_RECV_MULTISHOT
#define SLUICE_RECVSEND_BUNDLE (1u << 4)   // IORING_RECVSEND_BUNDLE

// Bits 24 to 31 of user_data say what an entry is about. The core knows one: the result of an accept is a descriptor that
// is lost unless somebody reads the completion (OP.ACCEPT in src/io/abi.ts).
#define SLUICE_TAG_ACCEPT 1

enum sluice_executor { SLUICE_AUTO, SLUICE_URING, SLUICE_EPOLL };

struct epoll_executor;

// One entry of the provided-buffer ring. Its tail lives in the last field of entry 0.
struct sluice_buffer {
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t tail;
};

struct sluice_ring {
  enum sluice_executor executor;
  int id;              // names the ring in MSG_RING entries of other rings
  int fallback_errno;  // why AUTO did not take io_uring, 0 if it did or was not asked
  const char *call;    // the system call behind fallback_errno, or behind the error of a failed create

  uint8_t *rings;
  uint8_t *entries;
  struct sluice_buffer *buffers;
  uint8_t *slab;  // never crosses a 4 GiB line
  double *page;   // 0 clock (µs), 1 bytes into and 2 bytes out of the pipe of the last pump
  size_t rings_size, entries_size, buffers_size, slab_size, page_size;

  uint32_t sq_head, sq_tail, sq_array, cq_head, cq_tail, cqes;  // byte offsets into `rings`
  uint32_t sq_entries, cq_entries, buffer_count;

  int fd;                        // of the uring, else -1
  uint32_t features;             // IORING_FEAT_* of the running kernel
  bool bundles;                  // a receive may take several buffers at once, and only so many octets
  struct epoll_executor *epoll;  // of the epoll executor, else NULL
};

// Fills `ring`. Returns 0, or -errno with ring->call set; nothing needs to be freed then.
int sluice_ring_create(struct sluice_ring *ring, enum sluice_executor executor, uint32_t entries, uint32_t buffers,
                       size_t slab_bytes);
// Submits up to `submit` entries, waits for `min_complete` completions or `timeout_us` (-1 for ever, 0 not at all).
// With `min_wait_us` > 0, one completion is enough once that time has passed. Returns entries consumed or -errno. Where
// memory for some of the entries is missing there is no wait; where it is missing for all of them, the call takes
// SLUICE_PAUSE_US or until there is some, and returns -EAGAIN or -ENOMEM: the entries stay queued for the next call.
int sluice_ring_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                      uint32_t min_wait_us);
// Submits what is queued (so that queued closes happen), cancels everything and unmaps. The slab stays mapped, for good,
// where the kernel would not let go of an operation: it may still write there. Safe to call twice.
// Gives the pages of buffers back to the system: `count` places of `bytes` each in the slab, named by number. What is in them is lost. How many
// were given back: none where a page is larger than a buffer.
uint32_t sluice_ring_discard(const struct sluice_ring *ring, const int32_t *numbers, uint32_t count, size_t bytes);
void sluice_ring_destroy(struct sluice_ring *ring);

// Monotonic clock, µs.
int64_t sluice_clock_us(void);

static inline uint32_t *sluice_word(const struct sluice_ring *ring, uint32_t offset) {
  return (uint32_t *)(void *)(ring->rings + offset);
}
// The rings' words are shared with the kernel (uring) or with JavaScript on the same thread (epoll).
static inline uint32_t sluice_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void sluice_store(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

// Forgets the completions that are there, and closes the connections that they would have handed out.
void sluice_ring_forget(struct sluice_ring *ring);
// Carries out the closes among the entries that no executor has taken.
void sluice_ring_close_queued(struct sluice_ring *ring);

// The executors, called by ring.c only.
int sluice_uring_open(struct sluice_ring *ring, uint32_t entries);
int sluice_uring_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                       uint32_t min_wait_us);
// False if operations may still be under way.
bool sluice_uring_close(struct sluice_ring *ring);
int sluice_epoll_open(struct sluice_ring *ring, uint32_t entries);
int sluice_epoll_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                       uint32_t min_wait_us);
void sluice_epoll_close(struct sluice_ring *ring);

// Tells the epoll executors of all threads that descriptor `fd` is (or is about to be) another file than before, so
// that none takes its state of the old file for the new one's. Call before closing and after creating a descriptor.
void sluice_fd_renew(int fd);

#endif
