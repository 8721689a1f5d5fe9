#include "files.h"

#include "sys.h"

struct rlimit sluice_file_limit(void) {
  struct rlimit limit = {0, 0};
  if (SYS(getrlimit, RLIMIT_NOFILE, &limit) == 0) return limit;
  return (struct rlimit){SLUICE_USUAL_FILES, SLUICE_USUAL_FILES};
}

struct rlimit sluice_raise_file_limit(void) {
  struct rlimit limit = sluice_file_limit();
  struct rlimit raised = {limit.rlim_max, limit.rlim_max};
  return limit.rlim_cur < limit.rlim_max && SYS(setrlimit, RLIMIT_NOFILE, &raised) == 0 ? raised : limit;
}
