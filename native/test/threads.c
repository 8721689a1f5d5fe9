// What the core tells about the threads of its process.
#include "../threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), exit(1); \
    }                                                                         \
  } while (0)

static atomic_int id, go;

// Sleeps, works once it is told to, and sleeps again.
static void *work(void *pipes) {
  char octet;
  const int *fds = pipes;
  atomic_store(&id, (int)syscall(SYS_gettid));
  CHECK(read(fds[0], &octet, 1) == 1);
  while (atomic_load(&go)) {
  }
  CHECK(read(fds[0], &octet, 1) == 1);
  return NULL;
}

static void await(int tid, int runnable) {
  while (sluice_thread_runnable(tid) != runnable) usleep(100);
}

int main(void) {
  int fds[2];
  pthread_t thread;
  CHECK(pipe(fds) == 0);
  atomic_store(&go, 1);
  CHECK(pthread_create(&thread, NULL, work, fds) == 0);
  while (atomic_load(&id) == 0) sched_yield();
  int tid = atomic_load(&id);
  await(tid, 0);
  int64_t before = sluice_thread_cpu(tid);
  CHECK(before >= 0);
  CHECK(write(fds[1], "x", 1) == 1);
  await(tid, 1);
  while (sluice_thread_cpu(tid) < before + 1000) usleep(100);
  CHECK(sluice_thread_background(tid) == 0);
  CHECK(sched_getscheduler(tid) == SCHED_IDLE);
  CHECK(sched_getscheduler(0) == SCHED_OTHER);
  // Twice is once.
  CHECK(sluice_thread_background(tid) == 0);
  atomic_store(&go, 0);
  await(tid, 0);
  CHECK(write(fds[1], "x", 1) == 1);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(sluice_thread_cpu(0) > 0);
  int64_t own = sluice_thread_cpu(0);
  sluice_thread_rest(2000);
  CHECK(sluice_thread_cpu(0) >= own);
  // Nobody has this id: it is above the kernel's largest.
  CHECK(sluice_thread_cpu(1 << 30) == -EINVAL && sluice_thread_cpu(1 << 22) < 0);
  CHECK(sluice_thread_runnable(1 << 30) == -ENOENT);
  CHECK(sluice_thread_background(1 << 30) == -ESRCH);
  CHECK(sluice_thread_cpu(-1) == -EINVAL);
  CHECK(sluice_thread_runnable(-1) == -ENOENT);
  CHECK(sluice_thread_background(-1) == -EINVAL && sluice_thread_background(0) == -EINVAL);
  CHECK(sched_getscheduler(0) == SCHED_OTHER);
  printf("threads: seen at work and at rest\n");
  return 0;
}
