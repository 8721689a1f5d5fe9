#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

void driver_fail(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: %s (injected into: %s)\n", file, line, what, fault_victim());
  abort();
}

static void give(struct driver *d, uint16_t id) {
  struct sluice_buffer *buffer = &d->ring.buffers[d->buffer_tail & (BUFFERS - 1)];
  buffer->address = (uint64_t)(uintptr_t)(d->ring.slab + id * BUFFER_BYTES);
  buffer->length = BUFFER_BYTES;
  buffer->id = id;
  __atomic_store_n(&d->ring.buffers[0].tail, ++d->buffer_tail, __ATOMIC_RELEASE);
}

// A receive may have filled several buffers, from this one on.
static void give_back(struct driver *d, uint16_t id, int32_t received) {
  uint32_t at = 0;
  while (d->ring.buffers[at].id != id) at++;
  do {
    const struct sluice_buffer *buffer = &d->ring.buffers[at++ & (BUFFERS - 1)];
    received -= (int32_t)buffer->length;
    give(d, buffer->id);
  } while (received > 0);
}

int driver_open(struct driver *d, enum sluice_executor executor) {
  memset(d, 0, sizeof *d);
  int error = sluice_ring_create(&d->ring, executor, 16, BUFFERS, 4u << 20);
  if (error < 0) return error;
  for (uint16_t id = 0; id < BUFFERS; id++) give(d, id);
  d->tail = sluice_load(sluice_word(&d->ring, d->ring.sq_tail));
  return 0;
}

struct io_uring_sqe *driver_entry(struct driver *d, int opcode, int fd, int tag) {
  // An enter that failed has left its entries in the ring.
  while (d->tail - sluice_load(sluice_word(&d->ring, d->ring.sq_head)) >= d->ring.sq_entries) driver_turn(d, 0);
  struct io_uring_sqe *sqe = (struct io_uring_sqe *)(void *)d->ring.entries + (d->tail++ & (d->ring.sq_entries - 1));
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = (uint8_t)opcode;
  sqe->fd = fd;
  sqe->user_data = (uint64_t)tag;
  d->owed[tag]++;
  sluice_store(sluice_word(&d->ring, d->ring.sq_tail), d->tail);
  return sqe;
}

void driver_turn(struct driver *d, int64_t timeout_us) {
  uint32_t queued = d->tail - sluice_load(sluice_word(&d->ring, d->ring.sq_head));
  sluice_ring_enter(&d->ring, queued, timeout_us == 0 ? 0 : 1, timeout_us, 0);
  uint32_t *head = sluice_word(&d->ring, d->ring.cq_head);
  const struct io_uring_cqe *cqes = (const struct io_uring_cqe *)(const void *)(d->ring.rings + d->ring.cqes);
  uint32_t at = *head;
  for (; at != sluice_load(sluice_word(&d->ring, d->ring.cq_tail)); at++) {
    const struct io_uring_cqe *cqe = &cqes[at & (d->ring.cq_entries - 1)];
    CHECK(cqe->user_data < MAX_TAGS);
    int tag = (int)cqe->user_data;
    d->last[tag] = cqe->res;
    d->seen[tag]++;
    if (cqe->res > 0) d->received[tag] += cqe->res;
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) d->owed[tag]--;
    CHECK(d->owed[tag] >= 0);
    if (tag == ACCEPTS && cqe->res >= 0) d->accepted[d->accept_count++] = cqe->res;
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
      give_back(d, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT), cqe->res);
    }
  }
  sluice_store(head, at);
  // Whatever is under way, its tables may shrink between two turns.
  if (++d->turns % 4 == 0) sluice_ring_shrink(&d->ring);
}

int driver_owed(const struct driver *d) {
  int sum = 0;
  for (int tag = 0; tag < MAX_TAGS; tag++) sum += d->owed[tag];
  return sum;
}
