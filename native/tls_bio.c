// Where OpenSSL reads and writes: the windows of a connection, and output waiting for the next window.
#include <stdatomic.h>
#include <stdlib.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

// Limit on one call's output: the longest flight of a handshake, including certificates.
#define KEPT_MAX 131072

// Shared by all threads until the process ends.
static _Atomic(BIO_METHOD *) method;

bool sluice_tls_push(struct sluice_tls_queue *queue, const uint8_t *bytes, size_t length, size_t max) {
  size_t waiting = queue->end - queue->at;
  if (length > max - waiting) return false;
  if (queue->at > 0) memmove(queue->bytes, queue->bytes + queue->at, waiting);
  queue->at = 0;
  queue->end = waiting;
  if (waiting + length > queue->capacity) {
    uint8_t *grown = SYS_ALLOC(realloc, queue->bytes, waiting + length);
    if (grown == NULL) return false;
    queue->bytes = grown;
    queue->capacity = waiting + length;
  }
  memcpy(queue->bytes + waiting, bytes, length);
  queue->end += length;
  return true;
}

void sluice_tls_pull(struct sluice_tls_queue *queue, size_t length) {
  queue->at += length;
  if (queue->at < queue->end) return;
  free(queue->bytes);
  memset(queue, 0, sizeof *queue);
}

static int bio_read(BIO *bio, char *into, int length) {
  struct sluice_tls_connection *connection = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (connection->flooded || connection->too_much) return -1;
  if (connection->in_left == 0 || length <= 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t n = least((size_t)length, connection->in_left);
  memcpy(into, connection->in, n);
  connection->in += n;
  connection->in_left -= n;
  return (int)n;
}

bool sluice_tls_put(struct sluice_tls_connection *connection, const uint8_t *bytes, size_t length) {
  size_t room = sluice_tls_is_empty(&connection->kept) ? connection->out_capacity - connection->out_used : 0;
  size_t n = least(length, room);
  if (n < length && !sluice_tls_push(&connection->kept, bytes + n, length - n, KEPT_MAX)) {
    connection->too_much = true;
    return false;
  }
  if (n > 0) memcpy(connection->out + connection->out_used, bytes, n);
  connection->out_used += n;
  return true;
}

static int bio_write(BIO *bio, const char *from, int length) {
  BIO_clear_retry_flags(bio);
  if (length <= 0) return 0;
  return sluice_tls_put(BIO_get_data(bio), (const uint8_t *)from, (size_t)length) ? length : -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

static BIO_METHOD *the_method(void) {
  BIO_METHOD *made = method, *none = NULL;
  if (made != NULL) return made;
  made = TRY_NEW(BIO_meth_new, BIO_TYPE_SOURCE_SINK, "sluice");
  if (made == NULL) return NULL;
  BIO_meth_set_read(made, bio_read);
  BIO_meth_set_write(made, bio_write);
  BIO_meth_set_ctrl(made, bio_control);
  BIO_meth_set_create(made, bio_create);
  // Another thread may have been faster.
  if (atomic_compare_exchange_strong(&method, &none, made)) return made;
  BIO_meth_free(made);
  return none;
}

BIO *sluice_tls_bio(struct sluice_tls_connection *connection) {
  BIO_METHOD *windows = the_method();
  BIO *bio = windows == NULL ? NULL : TRY_NEW(BIO_new, windows);
  if (bio != NULL) BIO_set_data(bio, connection);
  return bio;
}

#endif
