// Threads of this process, by their kernel id: V8's compilers, which run beside the workers.
#ifndef SLUICE_THREADS_H
#define SLUICE_THREADS_H
#include <stdint.h>

// CPU time in microseconds; of the calling thread where tid is 0. -errno of a thread that is not there.
int64_t sluice_thread_cpu(int32_t tid);

// 1 if it runs or waits for a core, 0 if it sleeps, -errno if that cannot be read.
int sluice_thread_runnable(int32_t tid);

// From now on it runs only where no other thread wants the core (SCHED_IDLE). 0 or -errno. It needs a privilege to be undone.
int sluice_thread_background(int32_t tid);

// Leaves the core to others for so many microseconds, a second at most.
void sluice_thread_rest(uint32_t us);

#endif
