// Two threads hand numbers to a third, whose ring comes and goes meanwhile. Run under ThreadSanitizer: nothing may
// race, and every message is delivered in order, refused, or was in the box of a ring that was destroyed.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "driver.h"

enum { SENDERS = 2, MESSAGES = 4000, LIVES = 20, PER_LIFE = 150, FIRST_TAG = 10, MAIL_TAG = 100 };

static atomic_int target = -1;
static atomic_int delivered, refused, sent, finished;

static void *receiver(void *unused) {
  (void)unused;
  for (int life = 0; life < LIVES; life++) {
    struct driver d;
    CHECK(driver_open(&d, SLUICE_EPOLL) == 0);
    int last[SENDERS] = {-1, -1};
    target = d.ring.id;
    for (int got = 0; got < PER_LIFE && finished < SENDERS;) {
      for (int i = 0; i < SENDERS; i++) d.owed[MAIL_TAG + i] = MESSAGES;
      driver_turn(&d, 1000);
      for (int i = 0; i < SENDERS; i++) {
        got += d.seen[MAIL_TAG + i];
        delivered += d.seen[MAIL_TAG + i];
        CHECK(d.seen[MAIL_TAG + i] == 0 || d.last[MAIL_TAG + i] > last[i]);
        if (d.seen[MAIL_TAG + i] > 0) last[i] = d.last[MAIL_TAG + i];
        d.seen[MAIL_TAG + i] = 0;
      }
    }
    sluice_ring_destroy(&d.ring);
  }
  return NULL;
}

static void *sender(void *argument) {
  int which = *(int *)argument;
  struct driver d;
  CHECK(driver_open(&d, SLUICE_EPOLL) == 0);
  for (int i = 0; i < MESSAGES; i++) {
    struct io_uring_sqe *sqe = driver_entry(&d, SLUICE_OP_MSG_RING, target, FIRST_TAG);
    sqe->off = (uint64_t)(MAIL_TAG + which);
    sqe->len = (uint32_t)i;
    driver_turn(&d, 0);
    CHECK(d.owed[FIRST_TAG] == 0);
    CHECK(d.last[FIRST_TAG] == 0 || d.last[FIRST_TAG] == -EBADFD);
    if (d.last[FIRST_TAG] == 0) sent++;
    else refused++;
  }
  finished++;
  sluice_ring_destroy(&d.ring);
  return NULL;
}

int main(void) {
  pthread_t threads[SENDERS + 1];
  int numbers[SENDERS];
  CHECK(pthread_create(&threads[SENDERS], NULL, receiver, NULL) == 0);
  for (int i = 0; i < SENDERS; i++) {
    numbers[i] = i;
    CHECK(pthread_create(&threads[i], NULL, sender, &numbers[i]) == 0);
  }
  for (int i = 0; i <= SENDERS; i++) pthread_join(threads[i], NULL);
  printf("mail: %d sent, %d refused, %d delivered\n", sent, refused, delivered);
  CHECK(sent + refused == SENDERS * MESSAGES && delivered <= sent && delivered > 0);
  return 0;
}
