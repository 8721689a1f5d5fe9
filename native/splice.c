#include "splice.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys.h"

#define ROUNDS 16
#define CHUNK (INT64_C(1) << 20)
#define DEFAULT_PIPE 65536u

// Empties the pipe: 0, or the flags to return with.
static int drain(struct sluice_pump *pump) {
  while (pump->in_pipe > 0) {
    ssize_t moved = SYS(splice, pump->pipe_read, NULL, pump->destination, NULL, SYS_LENGTH((size_t)pump->in_pipe),
                        SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && errno == EAGAIN) return PUMP_DESTINATION_BLOCKS;
    if (moved < 0) return PUMP_DESTINATION_FAILED | errno << 8;
    if (moved == 0) return PUMP_DESTINATION_FAILED | EPIPE << 8;  // the pipe holds less than the caller says
    pump->in_pipe -= moved;
    pump->out += moved;
  }
  return 0;
}

// splice(2) stops before urgent data, and returns 0 as at the end of the stream. recv(2) distinguishes the two, and continues (tcp(7),
// SO_OOBINLINE). Returns 0 if a byte has passed, else the flags to return with. The pipe is empty.
static int pass_urgent(struct sluice_pump *pump) {
  char byte;
  ssize_t got;
  do {
    got = SYS(recv, pump->source, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return PUMP_SOURCE_ENDED;
  if (got < 0) return errno == EAGAIN ? PUMP_SOURCE_BLOCKS : PUMP_SOURCE_FAILED | errno << 8;
  ssize_t put;
  do {
    put = SYS(write, pump->pipe_write, &byte, 1);
  } while (put < 0 && errno == EINTR);
  if (put < 0) return PUMP_SOURCE_FAILED | errno << 8;
  do {
    got = SYS(recv, pump->source, &byte, 1, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return PUMP_SOURCE_FAILED | errno << 8;
  pump->in_pipe++;
  pump->in++;
  pump->limit--;
  return 0;
}

// The pipe is always empty when the source is read. EAGAIN of that splice could mean "socket empty" or "pipe full"; this way it can only
// mean the former. It also ensures that the source's end is reported after its last byte has been delivered.
int sluice_pump(struct sluice_pump *pump) {
  pump->in = pump->out = 0;
  for (int round = 0; round < ROUNDS; round++) {
    int flags = drain(pump);
    if (pump->limit <= 0) flags |= PUMP_LIMIT_REACHED;
    if (flags != 0) return flags;
    size_t want = (size_t)(pump->limit < CHUNK ? pump->limit : CHUNK);
    ssize_t moved = SYS(splice, pump->source, NULL, pump->pipe_write, NULL, SYS_LENGTH(want),
                        SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && errno == EAGAIN) return PUMP_SOURCE_BLOCKS;
    if (moved < 0) return PUMP_SOURCE_FAILED | errno << 8;
    if (moved == 0) {
      int end = pass_urgent(pump);
      if (end != 0) return end;
      continue;
    }
    pump->in_pipe += moved;
    pump->in += moved;
    pump->limit -= moved;
  }
  int flags = drain(pump);
  return pump->limit <= 0 ? flags | PUMP_LIMIT_REACHED : flags;
}

int sluice_pipe(uint32_t bytes, int ends[2]) {
  if (SYS(pipe2, ends, O_NONBLOCK | O_CLOEXEC) < 0) return -errno;
  // Without privileges, /proc/sys/fs/pipe-max-size and the user's pipe limit may refuse; a smaller pipe works too.
  for (uint32_t size = bytes; size > DEFAULT_PIPE && SYS(fcntl, ends[1], F_SETPIPE_SZ, (int)size) < 0; size /= 2) {
  }
  return 0;
}
