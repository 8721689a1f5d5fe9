// All system calls and allocations of the core go through these macros, so that the test build (SLUICE_FAULTS) can make any single one
// fail. In the product they are the plain calls.
#ifndef SLUICE_SYS_H
#define SLUICE_SYS_H

#ifdef SLUICE_FAULTS
#include <stdbool.h>
#include <stddef.h>
// True, with errno set, if the named call should fail without being made.
bool sluice_fault(const char *call);
// Closes `fd` in any case: on Linux a failing close() releases the descriptor too.
int sluice_fault_close(int fd);
// `length`, or less if this transfer should be short.
size_t sluice_fault_length(size_t length);
#define SYS(call, ...) (sluice_fault(#call) ? -1 : call(__VA_ARGS__))
#define SYS_MMAP(...) (sluice_fault("mmap") ? MAP_FAILED : mmap(__VA_ARGS__))
#define SYS_ALLOC(call, ...) (sluice_fault(#call) ? NULL : call(__VA_ARGS__))
#define SYS_CLOSE(fd) sluice_fault_close(fd)
#define SYS_LENGTH(length) sluice_fault_length(length)
#define SLUICE_FIRST_OPS 16  // small, so that growth happens, and fails, in every run
#else
#define SYS(call, ...) call(__VA_ARGS__)
#define SYS_MMAP(...) mmap(__VA_ARGS__)
#define SYS_ALLOC(call, ...) call(__VA_ARGS__)
#define SYS_CLOSE(fd) close(fd)
#define SYS_LENGTH(length) (length)
#define SLUICE_FIRST_OPS 1024
#endif

#endif
