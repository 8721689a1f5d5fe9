#include "faults.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../sys.h"

static int planned, variant, calls;
static const char *victim = "none", *named;
static int named_error, named_times;
static _Atomic long mapped;

// Errors that the kernel documents for the call. A spurious EAGAIN of an edge-triggered socket may stall its operation:
// no edge follows. The scenario lives with that, it cancels what is left over.
static const struct { const char *call; int errors[4]; } documented[] = {
    {"recv", {EAGAIN, EINTR, ECONNRESET, ENOMEM}},
    {"send", {EAGAIN, EINTR, EPIPE, ENOBUFS}},
    {"sendmsg", {EAGAIN, EINTR, ECONNRESET, ENOMEM}},
    {"accept4", {EAGAIN, EINTR, ECONNABORTED, EMFILE}},
    {"connect", {ECONNREFUSED, EINTR, ENETUNREACH, EADDRNOTAVAIL}},
    {"splice", {EAGAIN, EINTR, ECONNRESET, ENOMEM}},
    {"epoll_ctl", {EEXIST, ENOMEM, ENOSPC, EPERM}},
    {"epoll_wait", {EINTR, EINTR, EINTR, EINTR}},
    {"syscall", {EINTR, EAGAIN, ENOMEM, EPERM}},
    {"close", {EIO, EINTR, ENOSPC, EDQUOT}},
};

void fault_plan(int at, int which) {
  planned = at;
  variant = which;
  calls = 0;
  named_times = 0;
  victim = "none";
}
void fault_repeat(const char *call, int error, int times) {
  fault_plan(0, 0);
  named = call;
  named_error = error;
  named_times = times;
}
void fault_next(const char *call, int error) { fault_repeat(call, error, 1); }
int fault_left(void) { return named_times; }
int fault_count(void) { return calls; }
const char *fault_victim(void) { return victim; }
long mapped_bytes(void) { return mapped; }

bool sluice_fault(const char *call) {
  if (named_times > 0 && strcmp(named, call) == 0) {
    victim = call;
    named_times--;
    errno = named_error;
    return true;
  }
  if (variant == SHORT_TRANSFER || ++calls != planned) return false;
  static const int general[4] = {ENOMEM, EMFILE, EPERM, EINTR};
  victim = call;
  errno = general[variant];
  for (size_t i = 0; i < sizeof documented / sizeof *documented; i++) {
    if (strcmp(documented[i].call, call) == 0) errno = documented[i].errors[variant];
  }
  return true;
}

int sluice_fault_close(int fd) {
  int result = close(fd);
  return sluice_fault("close") ? -1 : result;
}

size_t sluice_fault_length(size_t length) {
  if (variant != SHORT_TRANSFER || length < 2 || ++calls != planned) return length;
  victim = "transfer";
  return 1;
}

// Linked with --wrap, so that these see every mapping of the core and none of the sanitizer's.
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t length);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *address, size_t length);

static long pages(size_t length) { return (long)((length + 4095) / 4096 * 4096); }

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  void *memory = __real_mmap(address, length, protection, flags, fd, offset);
  if (memory != MAP_FAILED) mapped += pages(length);
  return memory;
}

int __wrap_munmap(void *address, size_t length) {
  mapped -= pages(length);
  return __real_munmap(address, length);
}
