// The pump: bytes from socket to socket through a pipe, without passing through user memory.
#ifndef SLUICE_SPLICE_H
#define SLUICE_SPLICE_H

#include <stdint.h>

enum {
  PUMP_SOURCE_BLOCKS = 1,
  PUMP_DESTINATION_BLOCKS = 2,
  PUMP_SOURCE_ENDED = 4,
  PUMP_SOURCE_FAILED = 8,
  PUMP_DESTINATION_FAILED = 16,
  PUMP_LIMIT_REACHED = 32,
};

struct sluice_pump {
  int source, pipe_read, pipe_write, destination;
  int64_t in_pipe;  // bytes in the pipe: before, and after
  int64_t limit;    // bytes still allowed from the source: before, and after
  int64_t in, out;  // bytes into and out of the pipe in this call
};

// Moves what can be moved, up to a bound that keeps one flow from delaying the others. Both sockets must be O_NONBLOCK. Returns PUMP_*
// flags, with the errno of a failure in bits 8 and up; 0: there may be more, call again.
int sluice_pump(struct sluice_pump *pump);
// Creates a non-blocking pipe of `bytes`, or as large as the kernel allows. Returns 0 or -errno.
int sluice_pipe(uint32_t bytes, int ends[2]);

#endif
