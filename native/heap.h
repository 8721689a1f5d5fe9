// What the process asks of malloc.
#ifndef SLUICE_HEAP_H
#define SLUICE_HEAP_H
#include <stdbool.h>

// Bounds how much malloc keeps for itself. Once, before threads begin whose columns it allocates.
void sluice_heap_bound(void);

// While a worker makes its columns: they are all mapped, so that none is written before it is used.
void sluice_heap_columns(bool begin);

// Gives back to the kernel what is free, of all arenas.
void sluice_heap_trim(void);

#endif
