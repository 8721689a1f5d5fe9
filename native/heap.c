#include "heap.h"

#include <stdlib.h> // tells whether the C library is glibc

#ifdef __GLIBC__
#include <malloc.h>

// glibc maps large blocks separately and unmaps them when they are freed. But what counts as "large" grows to the size of any freed block,
// up to 32 MiB. After that, a worker's columns, megabytes of zeros that nobody reads yet, come from an arena, and calloc writes the zeros
// if that memory was used before. This costs 2.5 MiB in a process with one worker (measured). A threshold set explicitly does not grow.
enum { MAPPED_FROM = 64 * 1024, COLUMNS_FROM = 16 * 1024, KEPT_ON_TOP = 128 * 1024 };

void sluice_heap_bound(void) {
  mallopt(M_MMAP_THRESHOLD, COLUMNS_FROM);
  mallopt(M_TRIM_THRESHOLD, KEPT_ON_TOP);
}

// Until a worker's columns are created, the 32 KiB segments of V8's compilers are mapped separately too: an arena once full of them would
// satisfy columns of up to its size, and write them (2.7 MiB). As a permanent setting this would be too low.
void sluice_heap_columns(bool begin) { mallopt(M_MMAP_THRESHOLD, begin ? COLUMNS_FROM : MAPPED_FROM); }

void sluice_heap_trim(void) { malloc_trim(0); }
#else
// Other C libraries do this themselves, or have no such setting.
void sluice_heap_bound(void) {}
void sluice_heap_columns(bool begin) { (void)begin; }
void sluice_heap_trim(void) {}
#endif
