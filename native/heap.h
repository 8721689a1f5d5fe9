// What the process asks of malloc.
#ifndef SLUICE_HEAP_H
#define SLUICE_HEAP_H
#include <stdbool.h>

// Bounds how much malloc keeps for itself, and begins the time in which columns are made. At the start of each thread.
void sluice_heap_bound(void);

// From the start of a worker until it has made its columns: they are all mapped, so that none is written before it is used.
void sluice_heap_columns(bool begin);

// Gives back to the kernel what is free, of all arenas.
void sluice_heap_trim(void);

#endif
