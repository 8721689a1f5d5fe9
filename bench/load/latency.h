/* Latencies of an open loop: one for each request, in the order in which they were due, so that each second can be looked at by itself. */
#ifndef SLUICE_BENCH_LATENCY_H
#define SLUICE_BENCH_LATENCY_H
#include "net.h"

#define LATEST UINT32_MAX
struct latencies {
  uint32_t *us; /* one more than the latency; 0: not answered */
  long count, done, rate;
  double sum;
  int64_t begin;
};

static inline void latencies_begin(struct latencies *all, long count, long rate) {
  all->us = calloc((size_t)count + 1, sizeof *all->us);
  if (!all->us) die("calloc");
  all->count = count;
  all->rate = rate;
  all->begin = now_ns();
}

/* When request `i` is due. */
static inline int64_t latencies_due(const struct latencies *all, long i) {
  return all->begin + (int64_t)((double)i * 1e9 / (double)all->rate);
}

/* Request `i` has been answered. */
static inline void latencies_note(struct latencies *all, long i) {
  int64_t us = (now_ns() - latencies_due(all, i)) / 1000;
  if (us < 0) us = 0;
  if (i < 0 || i >= all->count || all->us[i] != 0) return;
  all->us[i] = us >= LATEST ? LATEST : (uint32_t)us + 1;
  all->sum += (double)us;
  all->done++;
}

static inline int latencies_compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

/* Of sorted latencies, those that were not answered first. */
static inline uint32_t latencies_share(const uint32_t *sorted, long count, long done, double share) {
  if (done == 0) return 0;
  long want = (long)((double)done * share + 0.999999);
  return sorted[count - done + (want < 1 ? 1 : want > done ? done : want) - 1] - 1;
}

/* Prints the figures as members of a JSON object; with `window` > 0 those of each so many seconds as well. Sorts what it has. */
static inline void latencies_print(struct latencies *all, double window) {
  long step = (long)(window * (double)all->rate);
  if (step > 0) printf("\"windows\":[");
  for (long from = 0; step > 0 && from < all->count; from += step) {
    long count = all->count - from < step ? all->count - from : step, done = 0;
    double sum = 0;
    uint32_t *us = all->us + from;
    qsort(us, (size_t)count, sizeof *us, latencies_compare);
    for (long i = 0; i < count; i++)
      if (us[i] > 0) done++, sum += us[i] - 1;
    printf("%s{\"mean\":%.2f,\"p99\":%u,\"max\":%u}", from > 0 ? "," : "", done ? sum / (double)done : 0.0,
           latencies_share(us, count, done, 0.99), latencies_share(us, count, done, 1));
  }
  if (step > 0) printf("],");
  qsort(all->us, (size_t)all->count, sizeof *all->us, latencies_compare);
  const uint32_t *us = all->us;
  printf("\"mean\":%.2f,\"p50\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u", all->done ? all->sum / (double)all->done : 0.0,
         latencies_share(us, all->count, all->done, 0.5), latencies_share(us, all->count, all->done, 0.99),
         latencies_share(us, all->count, all->done, 0.999), latencies_share(us, all->count, all->done, 1));
}
#endif
