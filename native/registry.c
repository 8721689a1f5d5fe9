// State shared by the epoll rings of all threads: which rings can receive MSG_RING entries, and which file a descriptor number stands for.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "epoll.h"
#include "files.h"
#include "sys.h"

#define SLOTS 256u
#define MAX_FDS (1u << 22)

// Guards the registry and every mailbox. Hand-overs are rare compared to the work they hand over.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct epoll_executor *slots[SLOTS];
static uint32_t uses[SLOTS];
static uint32_t *generations;
static uint32_t limit;

// One counter per descriptor number, for the life of the process. Untouched pages cost nothing.
static int map_generations(void) {
  if (generations != NULL) return 0;
  struct rlimit files = sluice_file_limit();
  uint32_t count = files.rlim_max > MAX_FDS ? MAX_FDS : (uint32_t)files.rlim_max;
  if (count < SLUICE_USUAL_FILES) count = SLUICE_USUAL_FILES;
  void *memory = SYS_MMAP(NULL, count * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return -errno;
  limit = count;
  __atomic_store_n(&generations, (uint32_t *)memory, __ATOMIC_RELEASE);
  return 0;
}

uint32_t sluice_fd_limit(void) { return limit; }

uint32_t sluice_fd_generation(int fd) { return __atomic_load_n(&generations[fd], __ATOMIC_RELAXED); }

void sluice_fd_renew(int fd) {
  uint32_t *table = __atomic_load_n(&generations, __ATOMIC_ACQUIRE);
  if (table != NULL && (uint32_t)fd < limit) __atomic_fetch_add(&table[fd], 1, __ATOMIC_RELAXED);
}

int sluice_registry_add(struct epoll_executor *x) {
  pthread_mutex_lock(&lock);
  int error = map_generations();
  if (error == 0) {
    error = -ENOSPC;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
      if (slots[slot] != NULL) continue;
      slots[slot] = x;
      // A new number for each ring in this slot, so that a message to a closed ring can't reach its successor.
      uses[slot] = (uses[slot] + 1) & 0x3fffff;
      x->id = (int)(uses[slot] * SLOTS + slot);
      error = 0;
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  return error;
}

void sluice_registry_remove(struct epoll_executor *x) {
  pthread_mutex_lock(&lock);
  uint32_t slot = (uint32_t)x->id % SLOTS;
  if (slots[slot] == x) slots[slot] = NULL;
  pthread_mutex_unlock(&lock);
}

static int append_mail(struct epoll_executor *x, struct message message) {
  if (x->mail_count == x->mail_capacity) {
    uint32_t capacity = x->mail_capacity == 0 ? 64 : x->mail_capacity * 2;
    struct message *mail = SYS_ALLOC(realloc, x->mail, capacity * sizeof *mail);
    if (mail == NULL) return -ENOMEM;
    x->mail = mail;
    x->mail_capacity = capacity;
  }
  if (!x->mail_signalled) {
    // Registered edge-triggered: each write wakes the owner, and nobody needs to reset the counter.
    uint64_t one = 1;
    if (SYS(write, x->event_fd, &one, sizeof one) < 0) return -errno;
    x->mail_signalled = true;
  }
  x->mail[x->mail_count++] = message;
  return 0;
}

int sluice_mail_send(int ring_id, uint64_t user_data, int32_t result) {
  pthread_mutex_lock(&lock);
  struct epoll_executor *x = ring_id >= 0 ? slots[(uint32_t)ring_id % SLOTS] : NULL;
  int error = x == NULL || x->id != ring_id ? -EBADFD : append_mail(x, (struct message){user_data, result});
  pthread_mutex_unlock(&lock);
  return error;
}

void sluice_mail_deliver(struct epoll_executor *x) {
  pthread_mutex_lock(&lock);
  uint32_t delivered = 0;
  while (delivered < x->mail_count && !completions_full(x)) {
    sluice_post(x, x->mail[delivered].user_data, x->mail[delivered].result, 0);
    delivered++;
  }
  x->mail_count -= delivered;
  for (uint32_t i = 0; i < x->mail_count; i++) x->mail[i] = x->mail[i + delivered];
  x->mail_waiting = x->mail_count > 0;
  x->mail_signalled = false;
  pthread_mutex_unlock(&lock);
}
