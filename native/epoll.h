// Internals of the epoll executor: its state (epoll.c) and its operations (epoll_ops.c).
#ifndef SLUICE_EPOLL_H
#define SLUICE_EPOLL_H

#include <stdbool.h>
#include <sys/epoll.h>

#include "ring.h"

#define EVENTS_PER_WAIT 256
// Attempts on one descriptor per turn, before others get their chance.
#define TURN_BUDGET 16
// Buffers for one descriptor per turn; then it gets no more.
#define BUFFER_BUDGET 64

enum queue { READERS, WRITERS, POLLERS, QUEUES };

// An entry from its submission to its last completion. Operation indices start at 1, 0 is none. The table moves when it grows.
struct op {
  struct io_uring_sqe sqe;
  uint32_t next;       // in its descriptor's queue, the list of overflowed completions or the free list
  uint32_t link;       // the next operation of its chain
  uint32_t hash_next;  // in its bucket of the table by user_data
  uint32_t done;       // bytes sent so far, or received towards the limit
  int32_t result;      // of an overflowed completion
  bool used;           // not in the free list
  bool parked;         // in a queue and in the hash table
  bool first;          // of its queue, while the table shrinks
  bool bulk;           // the last receive filled all its room
  bool fell_short;     // a MSG_WAITALL send that ended early: it breaks its chain although its result is positive
};

enum {
  FD_WATCHED = 1,   // registered with epoll
  FD_READABLE = 2,  // epoll reported it, and no read has drained it since
  FD_HUNG = 4,      // the peer has closed or failed: no further edge will come, so read to the end
  FD_READY = 8,     // in the list of descriptors to continue with next turn
  FD_URGENT = 16,   // a receive may have stopped at urgent data, with more behind it: a short one says nothing
};

struct fd_state {
  uint32_t generation;  // which file this descriptor number stands for (see sluice_fd_renew)
  uint32_t flags;
  uint32_t queue[QUEUES];
  int next_ready;
};

struct fd_list {
  int head, tail;  // -1 when empty
};
struct op_list {
  uint32_t head, tail;
};

struct message {
  uint64_t user_data;
  int32_t result;
};

struct epoll_executor {
  uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
  struct io_uring_sqe *sqes;
  struct io_uring_cqe *cqes;
  uint32_t sq_entries, cq_entries;
  uint32_t submitted;              // private sq head
  uint32_t completed;              // private cq tail
  uint32_t consumed;               // cq head as of this turn
  const struct sluice_ring *ring;  // for the provided buffers
  uint16_t buffer_head;

  int epoll_fd;
  bool precise;  // epoll_pwait2 is available
  struct op *ops;
  uint32_t *buckets;
  uint32_t op_capacity;  // size of both, a power of two
  uint32_t free_op;
  struct op_list issuable;    // links ready to be issued
  struct op_list overflowed;  // completions waiting for room in the completion ring
  struct fd_state *fds;
  int highest_fd;  // that was watched since the table was last given back
  struct fd_list ready;

  // The mailbox of MSG_RING, under the registry's lock.
  int event_fd;
  int id;
  struct message *mail;
  uint32_t mail_count, mail_capacity;
  bool mail_signalled;
  bool mail_waiting;  // the owner's own flag: the completion ring was full

  struct epoll_event events[EVENTS_PER_WAIT];
};

static inline struct op *op_at(const struct epoll_executor *x, uint32_t index) { return &x->ops[index - 1]; }
static inline bool completions_full(const struct epoll_executor *x) {
  return x->overflowed.head != 0 || x->completed - x->consumed >= x->cq_entries;
}

// epoll_table.c
// Makes sure that the next sluice_take_op() succeeds. False where there is no memory.
bool sluice_reserve_op(struct epoll_executor *x);
// Gives back what the table has grown by and is not needed for what is in it.
void sluice_shrink_ops(struct epoll_executor *x);
uint32_t sluice_take_op(struct epoll_executor *x, const struct io_uring_sqe *sqe);
// Issues the operation after the current one is finished.
void sluice_issue_later(struct epoll_executor *x, uint32_t index);
void sluice_park(struct epoll_executor *x, struct fd_state *f, uint32_t index, enum queue queue);
// Writes a completion; the caller has checked completions_full().
void sluice_post(struct epoll_executor *x, uint64_t user_data, int32_t result, uint32_t flags);
// Ends an operation: unparks it, completes it, continues or breaks its chain.
void sluice_finish(struct epoll_executor *x, uint32_t index, int32_t result, uint32_t cqe_flags);
// Posts completions that found no room earlier.
void sluice_flush_overflowed(struct epoll_executor *x);
// Both return the number of cancelled operations.
int sluice_cancel_fd(struct epoll_executor *x, struct fd_state *f, bool all);
int sluice_cancel_user_data(struct epoll_executor *x, uint64_t user_data, bool all);

// epoll.c
// State of descriptor `fd` as it is now, or NULL if the number is out of range.
struct fd_state *sluice_fd_state(struct epoll_executor *x, int fd);
void sluice_mark_ready(struct epoll_executor *x, int fd);
// Registers `fd` with epoll, once. Returns 0 or -errno.
int sluice_watch(struct epoll_executor *x, struct fd_state *f, int fd);

// epoll_ops.c
void sluice_issue(struct epoll_executor *x, uint32_t index);
void sluice_run_readers(struct epoll_executor *x, int fd, struct fd_state *f);
void sluice_run_writers(struct epoll_executor *x, struct fd_state *f);
void sluice_run_pollers(struct epoll_executor *x, struct fd_state *f, uint32_t events);

// registry.c
uint32_t sluice_fd_limit(void);
uint32_t sluice_fd_generation(int fd);
int sluice_registry_add(struct epoll_executor *x);
void sluice_registry_remove(struct epoll_executor *x);
int sluice_mail_send(int ring_id, uint64_t user_data, int32_t result);
void sluice_mail_deliver(struct epoll_executor *x);

#endif
