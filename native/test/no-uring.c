// Runs a program without io_uring: its system calls fail with EPERM, as under the default seccomp profile of container
// runtimes. With --enter only io_uring_enter fails. Usage: no-uring [--enter] PROGRAM [ARGUMENT...]
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
  int enter_only = count > 1 && strcmp(arguments[1], "--enter") == 0;
  arguments += enter_only;
  count -= enter_only;
  // io_uring_setup, io_uring_enter and io_uring_register have the same numbers on every architecture.
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, enter_only ? __NR_io_uring_enter : __NR_io_uring_setup, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, enter_only ? __NR_io_uring_enter : __NR_io_uring_register, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
  if (count < 2) return 2;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
    perror("seccomp");
    return 2;
  }
  execvp(arguments[1], arguments + 1);
  perror(arguments[1]);
  return 2;
}
