#include "heap.h"

#include <stdlib.h> // says whether it is glibc

#ifdef __GLIBC__
#include <malloc.h>

// glibc maps what is large by itself, and unmaps it when it is freed; but "large" grows to the size of whatever was freed, up to 32 MiB. From
// then on the columns of a worker, megabytes of zeros that nobody reads yet, come out of an arena: where that has been used before, calloc
// writes the zeros. 2.5 MiB of a process with one worker, measured. A bound that is set stays.
enum { MAPPED_FROM = 64 * 1024, COLUMNS_FROM = 16 * 1024, KEPT_ON_TOP = 128 * 1024 };

void sluice_heap_bound(void) {
  mallopt(M_MMAP_THRESHOLD, COLUMNS_FROM);
  mallopt(M_TRIM_THRESHOLD, KEPT_ON_TOP);
}

// Until a worker's columns are made, what V8 takes for its compilers, segments of 32 KiB, is mapped as well: an arena that has once been full of
// them gives columns of up to its size, and writes them (2.7 MiB). For good that would be too low.
void sluice_heap_columns(bool begin) { mallopt(M_MMAP_THRESHOLD, begin ? COLUMNS_FROM : MAPPED_FROM); }

void sluice_heap_trim(void) { malloc_trim(0); }
#else
// Other C libraries do so by themselves, or cannot be asked.
void sluice_heap_bound(void) {}
void sluice_heap_columns(bool begin) { (void)begin; }
void sluice_heap_trim(void) {}
#endif
