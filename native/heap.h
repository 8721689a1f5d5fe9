// What the process asks of malloc.
#ifndef SLUICE_HEAP_H
#define SLUICE_HEAP_H

// Bounds how much malloc keeps for itself. Once, before threads begin whose columns it allocates.
void sluice_heap_bound(void);

// Gives back to the kernel what is free, of all arenas.
void sluice_heap_trim(void);

#endif
