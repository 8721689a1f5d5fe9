// Settings of malloc.
#ifndef SLUICE_HEAP_H
#define SLUICE_HEAP_H
#include <stdbool.h>

// Limits what malloc keeps, and starts the phase in which columns are created. Called at the start of each thread.
void sluice_heap_bound(void);

// Until a worker has created its columns, all of them are mapped, so that none is written before it is used.
void sluice_heap_columns(bool begin);

// Returns the free memory of all arenas to the kernel.
void sluice_heap_trim(void);

#endif
