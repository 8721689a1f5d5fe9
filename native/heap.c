#include "heap.h"

#include <stdlib.h> // tells whether the C library is glibc

#ifdef __GLIBC__
#include <malloc.h>

// glibc maps large blocks separately and unmaps them when they are freed. But what counts as "large" grows to the size of any freed block,
// up to 32 MiB, and what a start frees then stays in an arena. A threshold set explicitly does not grow. It is above the 32 KiB that V8's
// compilers ask for at a time: mapping each of these costs a rehearsal a fifth of what it gets done (measured).
enum { MAPPED_FROM = 64 * 1024, KEPT_ON_TOP = 128 * 1024 };

void sluice_heap_bound(void) {
  mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
  mallopt(M_TRIM_THRESHOLD, KEPT_ON_TOP);
}

void sluice_heap_trim(void) { malloc_trim(0); }
#else
// Other C libraries do this themselves, or have no such setting.
void sluice_heap_bound(void) {}
void sluice_heap_trim(void) {}
#endif
