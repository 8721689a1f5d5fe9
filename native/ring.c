// The memory of a ring, and the choice of its executor.
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "socket.h"
#include "sys.h"

#define PAGE 65536u  // the largest page size of arm64; a multiple of all smaller ones
#define LINE_4G (UINT64_C(1) << 32)

int64_t sluice_clock_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static size_t whole_pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static void *map_memory(size_t bytes, int flags) {
  return SYS_MMAP(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static int crosses_line(const uint8_t *start, size_t bytes) {
  uintptr_t first = (uintptr_t)start;
  return first / LINE_4G != (first + bytes - 1) / LINE_4G;
}

// JavaScript writes addresses as two 32-bit halves and keeps the high half constant, so the slab must not cross a 4 GiB boundary. A mapping
// of twice its size always contains a piece that does not.
static uint8_t *map_slab(size_t bytes) {
  uint8_t *slab = map_memory(bytes, MAP_NORESERVE);
  if (slab == MAP_FAILED || !crosses_line(slab, bytes)) return slab;
  munmap(slab, bytes);
  uint8_t *twice = map_memory(2 * bytes, MAP_NORESERVE);
  if (twice == MAP_FAILED) return twice;
  uintptr_t line = ((uintptr_t)twice / LINE_4G + 1) * LINE_4G;
  uint8_t *start = line - (uintptr_t)twice >= bytes ? twice : twice + (line - (uintptr_t)twice);
  if (start > twice) munmap(twice, (size_t)(start - twice));
  if (start + bytes < twice + 2 * bytes) munmap(start + bytes, (size_t)(twice + 2 * bytes - (start + bytes)));
  return start;
}

static void unmap(void *memory, size_t bytes) {
  if (memory != NULL) munmap(memory, bytes);
}

static void unmap_all(struct sluice_ring *ring) {
  unmap(ring->page, ring->page_size);
  unmap(ring->buffers, ring->buffers_size);
  unmap(ring->slab, ring->slab_size);
  ring->page = NULL;
  ring->buffers = NULL;
  ring->slab = NULL;
}

static int map_all(struct sluice_ring *ring, uint32_t buffers, size_t slab_bytes) {
  ring->call = "mmap";
  ring->buffer_count = buffers;
  ring->buffers_size = whole_pages((size_t)buffers * sizeof(struct sluice_buffer));
  ring->slab_size = whole_pages(slab_bytes);
  ring->page_size = 4096;
  void *page = map_memory(ring->page_size, MAP_POPULATE);
  if (page == MAP_FAILED) return -errno;
  ring->page = page;
  void *bufs = map_memory(ring->buffers_size, MAP_POPULATE);
  if (bufs == MAP_FAILED) return -errno;
  ring->buffers = bufs;
  uint8_t *slab = map_slab(ring->slab_size);
  if (slab == MAP_FAILED) return -errno;
  ring->slab = slab;
  return 0;
}

int sluice_ring_create(struct sluice_ring *ring, enum sluice_executor executor, uint32_t entries, uint32_t buffers,
                       size_t slab_bytes) {
  memset(ring, 0, sizeof *ring);
  ring->fd = -1;
  ring->call = "create";
  // 32768 is the kernel's limit for both; a slab over 2 GiB might not fit between 4 GiB boundaries.
  if (entries == 0 || entries > 32768 || buffers == 0 || buffers > 32768 || (buffers & (buffers - 1)) != 0 ||
      slab_bytes == 0 || slab_bytes > LINE_4G / 2) {
    return -EINVAL;
  }
  int error = map_all(ring, buffers, slab_bytes);
  if (error == 0 && executor != SLUICE_EPOLL) {
    error = sluice_uring_open(ring, entries);
    if (error < 0 && executor == SLUICE_AUTO) ring->fallback_errno = -error;
  }
  const char *refused = ring->call;
  if (error == 0 && executor == SLUICE_EPOLL) error = sluice_epoll_open(ring, entries);
  if (ring->fallback_errno != 0) {
    error = sluice_epoll_open(ring, entries);
    if (error == 0) ring->call = refused;
  }
  if (error < 0) unmap_all(ring);
  return error;
}

int sluice_ring_enter(struct sluice_ring *ring, uint32_t submit, uint32_t min_complete, int64_t timeout_us,
                      uint32_t min_wait_us) {
  int result = ring->executor == SLUICE_URING
                   ? sluice_uring_enter(ring, submit, min_complete, timeout_us, min_wait_us)
                   : sluice_epoll_enter(ring, submit, min_complete, timeout_us, min_wait_us);
  ring->page[0] = (double)sluice_clock_us();
  return result;
}

void sluice_ring_forget(struct sluice_ring *ring) {
  const struct io_uring_cqe *cqes = (const void *)(ring->rings + ring->cqes);
  uint32_t tail = sluice_load(sluice_word(ring, ring->cq_tail));
  uint32_t head = sluice_load(sluice_word(ring, ring->cq_head));
  for (; tail - head - 1 < ring->cq_entries; head++) {
    const struct io_uring_cqe *cqe = &cqes[head & (ring->cq_entries - 1)];
    if ((cqe->user_data >> 24 & 0xff) == SLUICE_TAG_ACCEPT && cqe->res >= 0) sluice_close(cqe->res);
  }
  sluice_store(sluice_word(ring, ring->cq_head), tail);
}

void sluice_ring_close_queued(struct sluice_ring *ring) {
  const struct io_uring_sqe *entries = (const void *)ring->entries;
  uint32_t tail = sluice_load(sluice_word(ring, ring->sq_tail));
  uint32_t head = sluice_load(sluice_word(ring, ring->sq_head));
  for (; tail - head - 1 < ring->sq_entries; head++) {
    const struct io_uring_sqe *entry = &entries[head & (ring->sq_entries - 1)];
    if (entry->opcode == IORING_OP_CLOSE) sluice_close(entry->fd);
  }
}

uint32_t sluice_ring_discard(const struct sluice_ring *ring, const int32_t *numbers, uint32_t count, size_t bytes) {
  uint32_t given = 0;
  if (bytes == 0 || bytes % (size_t)sysconf(_SC_PAGESIZE) != 0) return 0;
  size_t places = ring->slab_size / bytes;
  for (uint32_t i = 0; i < count;) {
    size_t first = (size_t)(uint32_t)numbers[i];
    size_t run = 1;
    // Neighbours are discarded together.
    while (i + run < count && (size_t)(uint32_t)numbers[i + run] == first + run) run++;
    i += (uint32_t)run;
    if (first >= places || run > places - first) continue;
    if (SYS(madvise, ring->slab + first * bytes, run * bytes, MADV_DONTNEED) == 0) given += (uint32_t)run;
  }
  return given;
}

uint32_t sluice_discard_within(void *memory, size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = ((uintptr_t)memory + page - 1) / page * page, to = ((uintptr_t)memory + bytes) / page * page;
  if (to <= from || SYS(madvise, (void *)from, to - from, MADV_DONTNEED) != 0) return 0;
  return (uint32_t)((to - from) / page);
}

void sluice_ring_shrink(struct sluice_ring *ring) {
  if (ring->executor == SLUICE_EPOLL) sluice_epoll_shrink(ring);
}

void sluice_ring_destroy(struct sluice_ring *ring) {
  if (ring->rings == NULL) return;
  if (ring->executor == SLUICE_EPOLL) {
    sluice_epoll_close(ring);
  } else if (!sluice_uring_close(ring)) {
    // A late receive must not write into what is mapped here next, nor a late send read from it.
    ring->slab = NULL;
  }
  ring->rings = NULL;
  // Not earlier: until the executor is closed the kernel may still write into the slab.
  unmap_all(ring);
}
