#include "threads.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// PID_MAX_LIMIT of 64-bit kernels: a larger id would not fit the clock of a thread.
enum { LONGEST_REST_US = 1000000, MAX_TID = 1 << 22 };

// The clock of a thread, as the kernel encodes it: the complement of its id, CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED
// (linux/posix-timers_types.h). pthread_getcpuclockid needs a pthread_t, which nobody has of V8's threads.
static clockid_t clock_of(int32_t tid) { return (clockid_t)(~(uint32_t)tid << 3 | 6); }

int64_t sluice_thread_cpu(int32_t tid) {
  struct timespec used;
  if (tid < 0 || tid > MAX_TID) return -EINVAL;
  if (clock_gettime(tid == 0 ? CLOCK_THREAD_CPUTIME_ID : clock_of(tid), &used) < 0) return -errno;
  return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

int sluice_thread_runnable(int32_t tid) {
  char path[48], text[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t got = read(fd, text, sizeof text - 1);
  int error = errno;
  close(fd);
  if (got < 0) return -error;
  text[got] = '\0';
  // The state follows the name, which is in brackets and may have brackets in it.
  const char *name_end = strrchr(text, ')');
  if (name_end == NULL || name_end[1] != ' ') return -EIO;
  return name_end[2] == 'R';
}

int sluice_thread_background(int32_t tid) {
  struct sched_param none = {.sched_priority = 0};
  // 0 would be the calling thread.
  if (tid <= 0) return -EINVAL;
  return sched_setscheduler(tid, SCHED_IDLE, &none) < 0 ? -errno : 0;
}

void sluice_thread_rest(uint32_t us) {
  if (us > LONGEST_REST_US) us = LONGEST_REST_US;
  struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
  while (nanosleep(&left, &left) < 0 && errno == EINTR) {
  }
}
