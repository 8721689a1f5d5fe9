// One connection: OpenSSL between two windows of memory. It reads from the input of a call and writes to the area that the call provides;
// only what does not fit is kept until the next call.
#include <stdlib.h>

#include "tls_records.h"

#ifdef SLUICE_HAS_OPENSSL

// Post-handshake messages and warnings allowed before payload: each costs more than its few bytes. Every 16 KiB of payload allows one more.
#define ALLOWANCE 32
#define ALLOWANCE_BYTES 16384
// A ClientHello in the smallest possible records, plus what comes with its last one.
#define HELD_MAX(context) (2 * (size_t)(context)->hello_max + 24576)
// Bytes of a record beyond its payload, rounded up: 22 in TLS 1.3, 29 in TLS 1.2.
#define RECORD_OVERHEAD 32
// If room is short, a record smaller than this waits for the next area.
#define RECORD_WORTHWHILE 1024
// AES-GCM is safe for 2^24.5 records under one key (RFC 8446 5.5).
#ifdef SLUICE_FAULTS
#define KEY_RECORDS 5
#else
#define KEY_RECORDS (UINT64_C(1) << 23)
#endif

void sluice_tls_info(const SSL *ssl, int where, int value) {
  struct sluice_tls_connection *connection = SSL_get_ex_data(ssl, 0);
  if (connection == NULL) return;
  bool alert = (where & SSL_CB_ALERT) != 0;
  if (alert && (value & 0xff) != SSL_AD_CLOSE_NOTIFY) {
    connection->alert = (value & 0xff) + ((where & SSL_CB_WRITE) != 0 ? SLUICE_TLS_ALERT_SENT : 0);
  }
  // After the handshake: new keys, tickets, warnings. bio_read ends it.
  if (!connection->done || !(alert || (where & SSL_CB_LOOP) != 0)) return;
  if (connection->allowance == 0) connection->flooded = true;
  else connection->allowance--;
}

int sluice_tls_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
                    unsigned int offered_length, void *data) {
  (void)ssl;
  const struct sluice_tls_context *context = data;
  for (uint32_t ours = 0; ours < context->alpn_length; ours += context->alpn[ours] + 1u) {
    for (unsigned int theirs = 0; theirs < offered_length; theirs += offered[theirs] + 1u) {
      uint8_t name = offered[theirs];
      if (name != context->alpn[ours] || name >= offered_length - theirs) continue;
      if (memcmp(offered + theirs + 1, context->alpn + ours + 1, name) != 0) continue;
      *chosen = context->alpn + ours + 1;
      *length = name;
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool make_ssl(struct sluice_tls_connection *connection) {
  ERR_clear_error();
  BIO *bio = sluice_tls_bio(connection);
  SSL *ssl = bio == NULL ? NULL : TRY_NEW(SSL_new, connection->context->ssl);
  if (ssl == NULL || TRY(SSL_set_ex_data, ssl, 0, connection) != 1) {
    SSL_free(ssl);
    BIO_free(bio);
    ERR_clear_error();
    return false;
  }
  SSL_set_bio(ssl, bio, bio);
  connection->ssl = ssl;
  return true;
}

struct sluice_tls_connection *sluice_tls_connection_make(struct sluice_tls_context *context, const char *server_name,
                                                         const char *expected) {
  struct sluice_tls_connection *connection = SYS_ALLOC(calloc, 1, sizeof *connection);
  if (connection == NULL) return NULL;
  connection->context = context;
  context->uses++;
  connection->allowance = ALLOWANCE;
  connection->gate.open = !context->server;
  if (expected != NULL && (connection->expected = SYS_ALLOC(strdup, expected)) == NULL) goto failed;
  if (!context->server) {
    if (!make_ssl(connection)) goto failed;
    // RFC 6066 3: literal addresses are not server names.
    if (server_name != NULL && *server_name != '\0' && !sluice_tls_is_address(server_name) &&
        TRY(SSL_set_tlsext_host_name, connection->ssl, server_name) != 1) {
      goto failed;
    }
    SSL_set_connect_state(connection->ssl);
  }
  return connection;
failed:
  ERR_clear_error();
  sluice_tls_connection_free(connection);
  return NULL;
}

void sluice_tls_connection_free(struct sluice_tls_connection *connection) {
  SSL_free(connection->ssl);
  sluice_tls_records_free(connection->records);
  free(connection->expected);
  free(connection->held.bytes);
  free(connection->kept.bytes);
  sluice_tls_context_release(connection->context);
  free(connection);
  ERR_clear_error();
}

static void set_out(struct sluice_tls_connection *connection, struct sluice_tls_bytes wire) {
  connection->out = wire.at;
  connection->out_used = 0;
  connection->out_capacity = wire.length;
  struct sluice_tls_queue *kept = &connection->kept;
  if (sluice_tls_is_empty(kept)) return;
  size_t n = least(kept->end - kept->at, wire.length);
  memcpy(wire.at, kept->bytes + kept->at, n);
  connection->out_used = n;
  sluice_tls_pull(kept, n);
}

static int32_t finish(struct sluice_tls_connection *connection, int32_t status, int32_t *page) {
  if (connection->failed) status |= SLUICE_TLS_FAILED;
  else if (!connection->done) status |= SLUICE_TLS_HANDSHAKING;
  if (connection->ended) status |= SLUICE_TLS_END;
  if (!sluice_tls_is_empty(&connection->kept)) status |= SLUICE_TLS_MORE_WIRE;
  page[SLUICE_TLS_WIRE] = (int32_t)connection->out_used;
  page[SLUICE_TLS_REASON] = connection->reason;
  page[SLUICE_TLS_VERIFY] = connection->verify;
  page[SLUICE_TLS_ALERT] = connection->alert;
  connection->in = NULL;
  connection->out = NULL;
  connection->in_left = connection->out_used = connection->out_capacity = 0;
  return status;
}

static void fail(struct sluice_tls_connection *connection, int32_t reason) {
  connection->failed = true;
  connection->reason = reason;
}

static bool has_records(const struct sluice_tls_connection *connection) {
  return connection->records != NULL && connection->records->active;
}

// OpenSSL has failed: it must not be called for this connection any more.
static void fail_with_openssl(struct sluice_tls_connection *connection) {
  // Our own records can only fail for lack of memory, and the queue may hold errors of others.
  unsigned long error = has_records(connection) ? 0 : ERR_peek_error();
  int reason = ERR_GET_REASON(error);
  if (connection->flooded) fail(connection, SLUICE_TLS_FLOODED);
  else if (connection->too_much) fail(connection, SLUICE_TLS_OUTPUT_TOO_LARGE);
  else if (error == 0 || reason == ERR_R_MALLOC_FAILURE) fail(connection, SLUICE_TLS_NO_MEMORY);
  else if (ERR_GET_LIB(error) == ERR_LIB_SSL) fail(connection, reason);
  else fail(connection, (int32_t)(error & INT32_MAX));
  ERR_clear_error();
}

// Sends an alert before OpenSSL knows the connection.
static void refuse(struct sluice_tls_connection *connection, int32_t reason, uint8_t alert) {
  const uint8_t record[7] = {21, 3, 1, 0, 2, 2, alert};
  fail(connection, reason);
  connection->alert = alert + SLUICE_TLS_ALERT_SENT;
  size_t n = least(sizeof record, connection->out_capacity - connection->out_used);
  if (n == sizeof record && sluice_tls_is_empty(&connection->kept)) {
    memcpy(connection->out + connection->out_used, record, n);
    connection->out_used += n;
  }
}

void sluice_tls_payload_received(struct sluice_tls_connection *connection, size_t bytes) {
  connection->received += (uint32_t)bytes;
  if (connection->received < ALLOWANCE_BYTES) return;
  size_t more = connection->allowance + connection->received / ALLOWANCE_BYTES;
  connection->received %= ALLOWANCE_BYTES;
  connection->allowance = (uint8_t)least(more, ALLOWANCE);
}

// Frees OpenSSL's connection once everything has been read from it.
static void let_go(struct sluice_tls_connection *connection) {
  if (!connection->told || connection->ssl == NULL || !has_records(connection)) return;
  SSL_free(connection->ssl);
  connection->ssl = NULL;
  free(connection->expected);
  connection->expected = NULL;
}

// Lets OpenSSL read the window until the handshake is complete.
static int32_t read_window(struct sluice_tls_connection *connection, struct sluice_tls_bytes plain, size_t *got) {
  int32_t status = 0;
  SSL *ssl = connection->ssl;
  // OpenSSL's answers depend on the first error in its queue.
  if (!has_records(connection)) ERR_clear_error();
  while (!connection->failed && !connection->ended) {
    if (has_records(connection)) return status | sluice_tls_records_receive(connection, plain, got);
    if (connection->done && *got == plain.length) {
      if (connection->in_left > 0 || SSL_pending(ssl) > 0) status |= SLUICE_TLS_MORE_PLAIN;
      break;
    }
    size_t n = 0;
    int result = connection->done ? TRY(SSL_read_ex, ssl, plain.at + *got, plain.length - *got, &n)
                                  : TRY(SSL_do_handshake, ssl);
    if (result == 1 && !connection->done) {
      connection->done = true;
      SSL_CTX_set_keylog_callback(connection->context->ssl, NULL);
      status |= SLUICE_TLS_HANDSHAKE_DONE;
      if (!sluice_tls_records_begin(connection)) {
        sluice_tls_records_free(connection->records);
        connection->records = NULL;
      }
    } else if (result == 1) {
      *got += n;
      sluice_tls_payload_received(connection, n);
    } else {
      int error = SSL_get_error(ssl, result);
      if (error == SSL_ERROR_WANT_READ && !connection->flooded) break;
      if (error == SSL_ERROR_ZERO_RETURN) connection->ended = true;
      else fail_with_openssl(connection);
      break;
    }
    // There is no input: a read that must fail would only take a buffer and return it.
    if (connection->done && !has_records(connection) && connection->in_left == 0 && SSL_pending(ssl) == 0) break;
  }
  return status;
}

// Passes `bytes` to OpenSSL as far as the gate allows; returns how many were read.
static size_t read_bytes(struct sluice_tls_connection *connection, struct sluice_tls_bytes bytes, struct sluice_tls_bytes plain,
                         size_t *got, int32_t *status) {
  size_t used = 0;
  do {
    size_t pass = 0;
    switch (sluice_tls_gate(&connection->gate, bytes.at + used, bytes.length - used, connection->context->hello_max, &pass)) {
      case SLUICE_TLS_WAIT:
        return used;
      case SLUICE_TLS_TOO_LARGE:
        refuse(connection, SLUICE_TLS_HELLO_TOO_LARGE, SSL_AD_ILLEGAL_PARAMETER);
        return used;
      case SLUICE_TLS_EMPTY:
        refuse(connection, SLUICE_TLS_EMPTY_RECORD, SSL_AD_UNEXPECTED_MESSAGE);
        return used;
      case SLUICE_TLS_PASS:
        break;
    }
    if (connection->ssl == NULL && !connection->done) {
      if (!make_ssl(connection)) {
        refuse(connection, SLUICE_TLS_NO_MEMORY, SSL_AD_INTERNAL_ERROR);
        return used;
      }
      SSL_set_accept_state(connection->ssl);
    }
    connection->in = bytes.at + used;
    connection->in_left = pass;
    *status |= read_window(connection, plain, got);
    used += pass - connection->in_left;
    if (connection->in_left > 0) return used;
  } while (used < bytes.length && !connection->failed && !connection->ended);
  return used;
}

int32_t sluice_tls_connection_receive(struct sluice_tls_connection *connection, struct sluice_tls_bytes in,
                                      struct sluice_tls_bytes plain, struct sluice_tls_bytes wire, int32_t *page) {
  int32_t status = 0;
  size_t got = 0;
  struct sluice_tls_queue *held = &connection->held;
  let_go(connection);
  set_out(connection, wire);
  page[SLUICE_TLS_CONSUMED] = page[SLUICE_TLS_PLAIN] = 0;
  if (connection->failed || !sluice_tls_is_empty(&connection->kept)) return finish(connection, 0, page);
  if (connection->ended) {
    // Nothing after close_notify counts (RFC 8446 6.1).
    page[SLUICE_TLS_CONSUMED] = (int32_t)in.length;
    return finish(connection, 0, page);
  }
  if (sluice_tls_is_empty(held)) {
    size_t used = read_bytes(connection, in, plain, &got, &status);
    // What the gate keeps waiting is held here.
    if (!connection->failed && !connection->gate.open && used < in.length) {
      if (sluice_tls_push(held, in.at + used, in.length - used, HELD_MAX(connection->context))) used = in.length;
      else refuse(connection, SLUICE_TLS_NO_MEMORY, SSL_AD_INTERNAL_ERROR);
    }
    page[SLUICE_TLS_CONSUMED] = (int32_t)used;
  } else if (in.length == 0 || sluice_tls_push(held, in.at, in.length, HELD_MAX(connection->context))) {
    struct sluice_tls_bytes bytes = {held->bytes + held->at, held->end - held->at};
    page[SLUICE_TLS_CONSUMED] = (int32_t)in.length;
    sluice_tls_pull(held, read_bytes(connection, bytes, plain, &got, &status));
  } else refuse(connection, SLUICE_TLS_NO_MEMORY, SSL_AD_INTERNAL_ERROR);
  if (connection->ended) page[SLUICE_TLS_CONSUMED] = (int32_t)in.length;
  page[SLUICE_TLS_PLAIN] = (int32_t)got;
  return finish(connection, status, page);
}

static bool seal(struct sluice_tls_connection *connection, const uint8_t *payload, size_t length, size_t *written) {
  struct sluice_tls_records *records = connection->records;
  if ((records->owes_update || records->write.sequence >= KEY_RECORDS) && !sluice_tls_records_update(connection)) return false;
  // The new key may have used the room.
  if (connection->out_capacity - connection->out_used < length + RECORD_OVERHEAD) return true;
  *written = length;
  return sluice_tls_records_send(connection, payload, length);
}

int32_t sluice_tls_connection_send(struct sluice_tls_connection *connection, struct sluice_tls_bytes plain,
                                   struct sluice_tls_bytes wire, int32_t *page) {
  int32_t status = 0;
  size_t taken = 0, longest = has_records(connection) ? connection->records->payload_max : RECORD_MAX;
  let_go(connection);
  set_out(connection, wire);
  page[SLUICE_TLS_PLAIN] = 0;
  if (!has_records(connection)) ERR_clear_error();
  while (connection->done && !connection->failed && !connection->shut && taken < plain.length) {
    size_t room = connection->out_capacity - connection->out_used, rest = plain.length - taken;
    size_t n = room <= RECORD_OVERHEAD ? 0 : least(least(rest, longest), room - RECORD_OVERHEAD);
    if (!sluice_tls_is_empty(&connection->kept) || n == 0 || (n < rest && n < RECORD_WORTHWHILE && connection->out_used > 0)) {
      status |= SLUICE_TLS_MORE_WIRE;
      break;
    }
    size_t written = 0;
    if (!(has_records(connection) ? seal(connection, plain.at + taken, n, &written)
                                  : TRY(SSL_write_ex, connection->ssl, plain.at + taken, n, &written) == 1)) {
      fail_with_openssl(connection);
      break;
    }
    taken += written;
  }
  page[SLUICE_TLS_CONSUMED] = (int32_t)taken;
  return finish(connection, status, page);
}

int32_t sluice_tls_connection_shutdown(struct sluice_tls_connection *connection, struct sluice_tls_bytes wire, int32_t *page) {
  let_go(connection);
  set_out(connection, wire);
  page[SLUICE_TLS_CONSUMED] = page[SLUICE_TLS_PLAIN] = 0;
  if (connection->done && !connection->failed && !connection->shut) {
    ERR_clear_error();
    connection->shut = true;
    if (has_records(connection) ? !sluice_tls_records_alert(connection, 1, SSL_AD_CLOSE_NOTIFY)
                                : TRY_SIGN(SSL_shutdown, connection->ssl) < 0) {
      fail_with_openssl(connection);
    }
  }
  return finish(connection, 0, page);
}

#endif
