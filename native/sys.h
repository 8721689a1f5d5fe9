// Every system call and allocation of the core goes through these macros, so that the test build (SLUICE_FAULTS)
// can make any single one of them fail. In the product they are the plain calls.
#ifndef SLUICE_SYS_H
#define SLUICE_SYS_H

#ifdef SLUICE_FAULTS
#include <stdbool.h>
#include <stddef.h>
// True, with errno set, when the named call is to fail without being made.
bool sluice_fault(const char *call);
// Closes `fd` in any case: on Linux a failing close() has released the descriptor too.
int sluice_fault_close(int fd);
// `length`, or less where this transfer is to be a short one.
size_t sluice_fault_length(size_t length);
#define SYS(call, ...) (sluice_fault(#call) ? -1 : call(__VA_ARGS__))
#define SYS_MMAP(...) (sluice_fault("mmap") ? MAP_FAILED : mmap(__VA_ARGS__))
#define SYS_ALLOC(call, ...) (sluice_fault(#call) ? NULL : call(__VA_ARGS__))
#define SYS_CLOSE(fd) sluice_fault_close(fd)
#define SYS_LENGTH(length) sluice_fault_length(length)
#define SLUICE_FIRST_OPS 16  // so that growth is reached, and fails, in every run
#else
#define SYS(call, ...) call(__VA_ARGS__)
#define SYS_MMAP(...) mmap(__VA_ARGS__)
#define SYS_ALLOC(call, ...) call(__VA_ARGS__)
#define SYS_CLOSE(fd) close(fd)
#define SYS_LENGTH(length) (length)
#define SLUICE_FIRST_OPS 1024
#endif

#endif
