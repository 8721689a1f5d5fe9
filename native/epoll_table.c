// Operations of the epoll executor between submission and completion: their table, queues and chains, and how they end.
#include <errno.h>
#include <stdlib.h>

#include "epoll.h"
#include "sys.h"

static uint32_t bucket_of(const struct epoll_executor *x, uint64_t user_data) {
  return (uint32_t)(user_data * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (x->op_capacity - 1);
}

static enum queue queue_of(const struct op *op) {
  switch (op->sqe.opcode) {
    case IORING_OP_RECV:
    case IORING_OP_ACCEPT:
      return READERS;
    case IORING_OP_POLL_ADD:
      return POLLERS;
    default:
      return WRITERS;
  }
}

bool sluice_reserve_op(struct epoll_executor *x) {
  if (x->free_op != 0) return true;
  uint32_t old = x->op_capacity, capacity = old == 0 ? SLUICE_FIRST_OPS : old * 2;
  struct op *ops = SYS_ALLOC(realloc, x->ops, (size_t)capacity * sizeof *ops);
  if (ops == NULL) return false;
  x->ops = ops;
  uint32_t *buckets = SYS_ALLOC(calloc, capacity, sizeof *buckets);
  if (buckets == NULL) return false;
  free(x->buckets);
  x->buckets = buckets;
  x->op_capacity = capacity;
  for (uint32_t i = 0; i < capacity; i++) {
    struct op *op = &ops[i];
    if (i >= old) {
      op->used = false;
      op->parked = false;
      op->next = i + 1 < capacity ? i + 2 : 0;
    } else if (op->parked) {
      uint32_t *bucket = &buckets[bucket_of(x, op->sqe.user_data)];
      op->hash_next = *bucket;
      *bucket = i + 1;
    }
  }
  x->free_op = old + 1;
  return true;
}

// Operations are given new numbers, without gaps: the one that is parked longest may be the last of the table.
void sluice_shrink_ops(struct epoll_executor *x) {
  uint32_t used = 0, capacity = SLUICE_FIRST_OPS, old = x->op_capacity;
  for (uint32_t index = 1; index <= old; index++) used += op_at(x, index)->used;
  while (capacity < used) capacity *= 2;
  if (capacity >= old) return;
  uint32_t *numbers = SYS_ALLOC(calloc, old + 1, sizeof *numbers);
  uint32_t *buckets = SYS_ALLOC(calloc, capacity, sizeof *buckets);
  struct op *ops = SYS_ALLOC(calloc, capacity, sizeof *ops), *before = x->ops;
  if (numbers == NULL || buckets == NULL || ops == NULL) {
    free(numbers);
    free(buckets);
    free(ops);
    return;
  }
  uint32_t count = 0;
  for (uint32_t index = 1; index <= old; index++) {
    if (before[index - 1].used) numbers[index] = ++count;
  }
  // Heads of queues while all of them have their old numbers.
  for (uint32_t index = 1; index <= old; index++) {
    struct op *op = &before[index - 1];
    if (op->used) op->first = op->parked && x->fds[op->sqe.fd].queue[queue_of(op)] == index;
  }
  free(x->buckets);
  x->ops = ops;
  x->buckets = buckets;
  x->op_capacity = capacity;
  x->free_op = 0;
  for (uint32_t index = old; index > 0; index--) {
    if (!before[index - 1].used) continue;
    uint32_t number = numbers[index];
    struct op *op = op_at(x, number);
    *op = before[index - 1];
    op->next = numbers[op->next];
    op->link = numbers[op->link];
    if (op->first) x->fds[op->sqe.fd].queue[queue_of(op)] = number;
    if (!op->parked) continue;
    uint32_t *bucket = &buckets[bucket_of(x, op->sqe.user_data)];
    op->hash_next = *bucket;
    *bucket = number;
  }
  for (uint32_t index = capacity; index > count; index--) {
    op_at(x, index)->next = x->free_op;
    x->free_op = index;
  }
  struct op_list *lists[] = {&x->issuable, &x->overflowed};
  for (int i = 0; i < 2; i++) {
    lists[i]->head = numbers[lists[i]->head];
    lists[i]->tail = numbers[lists[i]->tail];
  }
  free(before);
  free(numbers);
}

uint32_t sluice_take_op(struct epoll_executor *x, const struct io_uring_sqe *sqe) {
  uint32_t index = x->free_op;
  struct op *op = op_at(x, index);
  x->free_op = op->next;
  *op = (struct op){.sqe = *sqe, .used = true};
  return index;
}

static void append(struct epoll_executor *x, struct op_list *list, uint32_t index) {
  op_at(x, index)->next = 0;
  if (list->head == 0) {
    list->head = index;
  } else {
    op_at(x, list->tail)->next = index;
  }
  list->tail = index;
}

void sluice_issue_later(struct epoll_executor *x, uint32_t index) { append(x, &x->issuable, index); }

void sluice_post(struct epoll_executor *x, uint64_t user_data, int32_t result, uint32_t flags) {
  struct io_uring_cqe *cqe = &x->cqes[x->completed++ & (x->cq_entries - 1)];
  cqe->user_data = user_data;
  cqe->res = result;
  cqe->flags = flags;
}

static void give_back(struct epoll_executor *x, uint32_t index) {
  struct op *op = op_at(x, index);
  op->used = false;
  op->next = x->free_op;
  x->free_op = index;
}

// The last completion of an operation. Without room it stays in the operation: nothing to allocate, nothing lost.
static void complete(struct epoll_executor *x, uint32_t index, int32_t result, uint32_t cqe_flags, bool silent) {
  struct op *op = op_at(x, index);
  if (!silent && completions_full(x)) {
    op->result = result;
    op->done = cqe_flags;
    append(x, &x->overflowed, index);
    return;
  }
  if (!silent) sluice_post(x, op->sqe.user_data, result, cqe_flags);
  give_back(x, index);
}

void sluice_flush_overflowed(struct epoll_executor *x) {
  while (x->overflowed.head != 0 && x->completed - x->consumed < x->cq_entries) {
    uint32_t index = x->overflowed.head;
    struct op *op = op_at(x, index);
    x->overflowed.head = op->next;
    sluice_post(x, op->sqe.user_data, op->result, op->done);
    give_back(x, index);
  }
}

static void remove_from(struct epoll_executor *x, uint32_t *head, uint32_t index, bool hashed) {
  while (*head != index) head = hashed ? &op_at(x, *head)->hash_next : &op_at(x, *head)->next;
  *head = hashed ? op_at(x, index)->hash_next : op_at(x, index)->next;
}

void sluice_park(struct epoll_executor *x, struct fd_state *f, uint32_t index, enum queue queue) {
  struct op *op = op_at(x, index);
  uint32_t *end = &f->queue[queue];
  while (*end != 0) end = &op_at(x, *end)->next;  // rarely more than one is queued
  *end = index;
  op->next = 0;
  uint32_t *bucket = &x->buckets[bucket_of(x, op->sqe.user_data)];
  op->hash_next = *bucket;
  *bucket = index;
  op->parked = true;
}

static void unpark(struct epoll_executor *x, uint32_t index) {
  struct op *op = op_at(x, index);
  remove_from(x, &x->fds[op->sqe.fd].queue[queue_of(op)], index, false);
  remove_from(x, &x->buckets[bucket_of(x, op->sqe.user_data)], index, true);
  op->parked = false;
}

void sluice_finish(struct epoll_executor *x, uint32_t index, int32_t result, uint32_t cqe_flags) {
  struct op *op = op_at(x, index);
  if (op->parked) unpark(x, index);
  bool failed = result < 0 || op->fell_short;
  bool skips = (op->sqe.flags & SLUICE_CQE_SKIP_SUCCESS) != 0;
  uint32_t link = op->link;
  bool broken = failed && (op->sqe.flags & IOSQE_IO_HARDLINK) == 0;
  complete(x, index, result, cqe_flags, skips && !failed);
  if (link != 0 && !broken) sluice_issue_later(x, link);
  // As in the kernel: the rest of a broken chain is silent if the failed operation was silent.
  while (link != 0 && broken) {
    uint32_t next = op_at(x, link)->link;
    complete(x, link, -ECANCELED, 0, skips);
    link = next;
  }
}

int sluice_cancel_fd(struct epoll_executor *x, struct fd_state *f, bool all) {
  int count = 0;
  for (int queue = 0; queue < QUEUES; queue++) {
    while (f->queue[queue] != 0 && (all || count == 0)) {
      sluice_finish(x, f->queue[queue], -ECANCELED, 0);
      count++;
    }
  }
  return count;
}

int sluice_cancel_user_data(struct epoll_executor *x, uint64_t user_data, bool all) {
  int count = 0;
  uint32_t index = x->buckets[bucket_of(x, user_data)];
  while (index != 0) {
    uint32_t next = op_at(x, index)->hash_next;
    if (op_at(x, index)->sqe.user_data == user_data) {
      sluice_finish(x, index, -ECANCELED, 0);
      count++;
      if (!all) break;
    }
    index = next;
  }
  return count;
}
