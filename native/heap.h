// Settings of malloc.
#ifndef SLUICE_HEAP_H
#define SLUICE_HEAP_H

// Limits what malloc keeps. Called at the start of each thread.
void sluice_heap_bound(void);

// Returns the free memory of all arenas to the kernel.
void sluice_heap_trim(void);

#endif
