// A minimal user of a ring: entries with small tags, and the account of what each one owes.
#ifndef SLUICE_DRIVER_H
#define SLUICE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "../ring.h"

#define MAX_TAGS 128
#define ACCEPTS 1
#define BUFFERS 8
#define BUFFER_BYTES 4096u

struct driver {
  unsigned turns;
  struct sluice_ring ring;
  uint32_t tail;
  uint16_t buffer_tail;
  int owed[MAX_TAGS];          // submissions without a last completion
  int last[MAX_TAGS];          // result of the latest completion
  int seen[MAX_TAGS];          // completions
  int64_t received[MAX_TAGS];  // sum of positive results
  int accepted[64];
  int accept_count;
};

#define CHECK(condition) \
  do {                   \
    if (!(condition)) driver_fail(__FILE__, __LINE__, #condition); \
  } while (0)

_Noreturn void driver_fail(const char *file, int line, const char *what);
int driver_open(struct driver *d, enum sluice_executor executor);
// The next entry, zeroed, with its tag accounted for.
struct io_uring_sqe *driver_entry(struct driver *d, int opcode, int fd, int tag);
// Submits, waits up to `timeout_us` for a completion and accounts. Completions of ACCEPTS are descriptors.
void driver_turn(struct driver *d, int64_t timeout_us);
int driver_owed(const struct driver *d);

#endif
