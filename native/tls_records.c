#include "tls_records.h"

#include <stdlib.h>

#ifdef SLUICE_HAS_OPENSSL

enum { CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22, PAYLOAD = 23 };
enum { NEW_SESSION_TICKET = 4, FINISHED = 20, KEY_UPDATE = 24 };
enum { WARNING = 1, FATAL = 2 };

#define TAG 16
#define EMPTY_MAX 32
// A ticket has at most 64 KiB, and its nonce, lifetime and extensions as much again.
#define TICKET_MAX 131338
// With less room than this a record waits for another area; with more it is split between the area and our own memory.
#define SPLIT_WORTHWHILE 4096

void sluice_tls_records_free(struct sluice_tls_records *records) {
  if (records == NULL) return;
  sluice_tls_direction_end(&records->read);
  sluice_tls_direction_end(&records->write);
  free(records->partial.bytes);
  free(records->pending.bytes);
  free(records);
}

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

// OpenSSL reveals secrets through NSS's key log: "LABEL CLIENT-RANDOM SECRET", both in hex. Each line costs it 3 µs, so only those after a
// Finished are requested, and only until the next one arrives.
void sluice_tls_records_secret(const SSL *ssl, const char *line) {
  static const char labels[2][25] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
  struct sluice_tls_connection *connection = SSL_get_ex_data(ssl, 0);
  if (connection == NULL) return;
  for (int of = 0; of < 2; of++) {
    if (strncmp(line, labels[of], sizeof labels[of] - 1) != 0) continue;
    SSL_CTX_set_keylog_callback(connection->context->ssl, NULL);
    const char *secret = strchr(line + sizeof labels[of] - 1, ' ');
    if (secret == NULL) return;
    if (connection->records == NULL) connection->records = SYS_ALLOC(calloc, 1, sizeof *connection->records);
    if (connection->records == NULL) return;
    bool ours = (of == 1) == connection->context->server;
    struct sluice_tls_direction *direction = ours ? &connection->records->write : &connection->records->read;
    uint32_t length = 0;
    for (secret++; length < sizeof direction->secret && digit(secret[0]) >= 0 && digit(secret[1]) >= 0; secret += 2) {
      direction->secret[length++] = (uint8_t)(digit(secret[0]) << 4 | digit(secret[1]));
    }
    direction->secret_length = (uint8_t)length;
  }
}

// After a Finished there are new secrets. A server's tickets are the first records under its last key.
void sluice_tls_records_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl, void *unused) {
  struct sluice_tls_connection *connection = SSL_get_ex_data(ssl, 0);
  const uint8_t *octets = bytes;
  (void)version;
  (void)unused;
  if (connection == NULL || length == 0) return;
  if (type == SSL3_RT_HANDSHAKE && octets[0] == FINISHED) {
    if (sent) connection->finished = true;
    SSL_CTX_set_keylog_callback(connection->context->ssl, sluice_tls_records_secret);
  }
  if (sent && type == SSL3_RT_HEADER && octets[0] == PAYLOAD && connection->finished) connection->sealed++;
}

bool sluice_tls_records_begin(struct sluice_tls_connection *connection) {
  struct sluice_tls_records *records = connection->records;
  const SSL_CIPHER *cipher = SSL_get_current_cipher(connection->ssl);
  if (records == NULL || cipher == NULL || !connection->finished || SSL_version(connection->ssl) != TLS1_3_VERSION) return false;
  // OpenSSL must not have read ahead.
  if (SSL_has_pending(connection->ssl) != 0) return false;
  uint32_t suite = SSL_CIPHER_get_protocol_id(cipher);
  if (!sluice_tls_direction_begin(&records->read, suite, false) || !sluice_tls_direction_begin(&records->write, suite, true)) {
    ERR_clear_error();
    return false;
  }
  records->write.sequence = connection->sealed;
  // RFC 6066 4: a client may have asked for shorter records.
  SSL_SESSION *session = SSL_get_session(connection->ssl);
  uint8_t shorter = session == NULL ? 0 : SSL_SESSION_get_max_fragment_length(session);
  records->payload_max = shorter >= 1 && shorter <= 4 ? 256u << shorter : RECORD_MAX;
  records->active = true;
  return true;
}

static bool control(struct sluice_tls_connection *connection, uint8_t type, const uint8_t *bytes, size_t length) {
  uint8_t record[64];
  size_t size = sluice_tls_seal(&connection->records->write, type, bytes, length, record);
  return size > 0 && sluice_tls_put(connection, record, size);
}

bool sluice_tls_records_alert(struct sluice_tls_connection *connection, uint8_t level, uint8_t description) {
  const uint8_t bytes[2] = {level, description};
  if (description != SSL_AD_CLOSE_NOTIFY) connection->alert = description + SLUICE_TLS_ALERT_SENT;
  return control(connection, ALERT, bytes, sizeof bytes);
}

bool sluice_tls_records_update(struct sluice_tls_connection *connection) {
  const uint8_t message[5] = {KEY_UPDATE, 0, 0, 1, 0};
  connection->records->owes_update = false;
  return control(connection, HANDSHAKE, message, sizeof message) && sluice_tls_direction_update(&connection->records->write);
}

bool sluice_tls_records_send(struct sluice_tls_connection *connection, const uint8_t *payload, size_t length) {
  size_t size = sluice_tls_seal(&connection->records->write, PAYLOAD, payload, length, connection->out + connection->out_used);
  connection->out_used += size;
  return size > 0;
}

static void fail(struct sluice_tls_connection *connection, int32_t reason, uint8_t alert) {
  connection->failed = true;
  connection->reason = reason;
  // Nothing is sent after our close_notify.
  if (!connection->shut) sluice_tls_records_alert(connection, FATAL, alert);
}

static void without_memory(struct sluice_tls_connection *connection) {
  fail(connection, SLUICE_TLS_NO_MEMORY, SSL_AD_INTERNAL_ERROR);
}

// Messages that cost more than their bytes.
static bool spend(struct sluice_tls_connection *connection) {
  if (connection->allowance > 0) {
    connection->allowance--;
    return true;
  }
  fail(connection, SLUICE_TLS_FLOODED, SSL_AD_UNEXPECTED_MESSAGE);
  return false;
}

static void begin_message(struct sluice_tls_connection *connection) {
  struct sluice_tls_records *records = connection->records;
  records->left = (uint32_t)records->head[1] << 16 | (uint32_t)records->head[2] << 8 | records->head[3];
  bool ticket = records->head[0] == NEW_SESSION_TICKET && !connection->context->server;
  if (!ticket && records->head[0] != KEY_UPDATE) {
    fail(connection, SSL_R_UNEXPECTED_MESSAGE, SSL_AD_UNEXPECTED_MESSAGE);
  } else if (ticket ? records->left == 0 || records->left > TICKET_MAX : records->left != 1) {
    fail(connection, SSL_R_LENGTH_MISMATCH, SSL_AD_DECODE_ERROR);
  } else {
    spend(connection);
  }
}

static void key_update(struct sluice_tls_connection *connection, uint8_t requested, bool last) {
  if (requested > 1) {
    fail(connection, SSL_R_INVALID_KEY_UPDATE_TYPE, SSL_AD_ILLEGAL_PARAMETER);
  } else if (!last) {
    // RFC 8446 5.1: a message that changes the key must end its record.
    fail(connection, SSL_R_NOT_ON_RECORD_BOUNDARY, SSL_AD_UNEXPECTED_MESSAGE);
  } else if (!sluice_tls_direction_update(&connection->records->read)) {
    without_memory(connection);
  } else if (requested == 1) {
    connection->records->owes_update = true;
  }
}

// Tickets are ignored: no connection is resumed.
static void messages(struct sluice_tls_connection *connection, const uint8_t *bytes, size_t length, bool last) {
  struct sluice_tls_records *records = connection->records;
  while (length > 0 && !connection->failed) {
    if (records->head_length < sizeof records->head) {
      records->head[records->head_length++] = *bytes++;
      length--;
      if (records->head_length == sizeof records->head) begin_message(connection);
      continue;
    }
    size_t n = least(length, records->left);
    if (records->head[0] == KEY_UPDATE) key_update(connection, bytes[0], last && length == 1);
    bytes += n;
    length -= n;
    records->left -= (uint32_t)n;
    if (records->left == 0) records->head_length = 0;
  }
}

static void alerted(struct sluice_tls_connection *connection, uint8_t description) {
  if (description == SSL_AD_CLOSE_NOTIFY) {
    connection->ended = true;
    return;
  }
  connection->alert = description;
  if (description == SSL_AD_USER_CANCELLED) {
    spend(connection);
    return;
  }
  // All others are fatal, whatever level they claim (RFC 8446 6).
  connection->failed = true;
  connection->reason = SSL_AD_REASON_OFFSET + description;
}

// `content` has two parts; returns how much of it is payload.
static size_t take(struct sluice_tls_connection *connection, uint8_t type, struct sluice_tls_bytes content[2]) {
  struct sluice_tls_records *records = connection->records;
  size_t length = content[0].length + content[1].length;
  bool within = records->head_length > 0;
  if (type == HANDSHAKE && length > 0) {
    messages(connection, content[0].at, content[0].length, content[1].length == 0);
    messages(connection, content[1].at, content[1].length, true);
  } else if (type == PAYLOAD && !within) {
    if (length > 0) records->empty = 0;
    else if (++records->empty > EMPTY_MAX) fail(connection, SSL_R_RECORD_TOO_SMALL, SSL_AD_UNEXPECTED_MESSAGE);
    return length;
  } else if (type == ALERT && !within) {
    if (length == 2) alerted(connection, content[0].length == 2 ? content[0].at[1] : content[1].at[1 - content[0].length]);
    else fail(connection, SSL_R_BAD_LENGTH, SSL_AD_DECODE_ERROR);
  } else {
    fail(connection, SSL_R_UNEXPECTED_RECORD, SSL_AD_UNEXPECTED_MESSAGE);
  }
  return 0;
}

static void read_octets(struct sluice_tls_connection *connection, size_t length) {
  connection->in += length;
  connection->in_left -= length;
}

// Keeps the received part of an incomplete record, in as much memory as the record has bytes.
static void keep(struct sluice_tls_connection *connection, size_t size) {
  struct sluice_tls_queue *partial = &connection->records->partial;
  if (connection->in_left == 0) return;
  if (partial->capacity < size) {
    uint8_t *grown = SYS_ALLOC(realloc, partial->bytes, size);
    if (grown == NULL) {
      without_memory(connection);
      return;
    }
    partial->bytes = grown;
    partial->capacity = size;
  }
  memcpy(partial->bytes + partial->end, connection->in, connection->in_left);
  partial->end += connection->in_left;
  read_octets(connection, connection->in_left);
}

static void header_of(const struct sluice_tls_connection *connection, uint8_t header[RECORD_HEADER]) {
  const struct sluice_tls_queue *partial = &connection->records->partial;
  size_t kept = least(partial->end, RECORD_HEADER);
  if (kept > 0) memcpy(header, partial->bytes, kept);
  if (kept < RECORD_HEADER) memcpy(header + kept, connection->in, RECORD_HEADER - kept);
}

// Decrypts a complete record of `size` bytes, header included.
static void open_record(struct sluice_tls_connection *connection, const uint8_t header[RECORD_HEADER], size_t size,
                        struct sluice_tls_bytes room, size_t *got) {
  struct sluice_tls_queue *partial = &connection->records->partial, *pending = &connection->records->pending;
  size_t kept = partial->end, behind = size - kept, inner = size - RECORD_HEADER - TAG;
  size_t skip = kept < RECORD_HEADER ? RECORD_HEADER - kept : 0;
  struct sluice_tls_bytes from[2] = {{(uint8_t *)connection->in + skip, behind - skip}, {NULL, 0}};
  if (kept > RECORD_HEADER) {
    from[1] = from[0];
    from[0] = (struct sluice_tls_bytes){partial->bytes + RECORD_HEADER, kept - RECORD_HEADER};
  }
  struct sluice_tls_bytes into[2] = {{room.at, least(room.length, inner)}, {NULL, 0}};
  if (into[0].length < inner) {
    into[1].length = inner - into[0].length;
    pending->bytes = into[1].at = SYS_ALLOC(malloc, into[1].length);
    pending->capacity = into[1].length;
    if (pending->bytes == NULL) {
      without_memory(connection);
      return;
    }
  }
  if (!sluice_tls_open_record(&connection->records->read, header, from, into)) {
    ERR_clear_error();
    fail(connection, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SSL_AD_BAD_RECORD_MAC);
    return;
  }
  read_octets(connection, behind);
  free(partial->bytes);
  memset(partial, 0, sizeof *partial);
  // The content is followed by its type, and then any number of zeros.
  uint8_t type = 0;
  while (type == 0 && into[0].length + into[1].length > 0) {
    struct sluice_tls_bytes *part = into[1].length > 0 ? &into[1] : &into[0];
    type = part->at[--part->length];
  }
  size_t payload = take(connection, type, into);
  if (connection->failed) payload = 0;
  size_t here = least(payload, into[0].length);
  *got += here;
  pending->at = 0;
  pending->end = payload - here;
  sluice_tls_payload_received(connection, payload);
}

static void drop_pending(struct sluice_tls_queue *pending) {
  free(pending->bytes);
  memset(pending, 0, sizeof *pending);
}

int32_t sluice_tls_records_receive(struct sluice_tls_connection *connection, struct sluice_tls_bytes plain, size_t *got) {
  struct sluice_tls_records *records = connection->records;
  struct sluice_tls_queue *partial = &records->partial, *pending = &records->pending;
  while (!connection->failed) {
    struct sluice_tls_bytes room = {plain.at + *got, plain.length - *got};
    if (pending->end > pending->at) {
      size_t n = least(pending->end - pending->at, room.length);
      memcpy(room.at, pending->bytes + pending->at, n);
      pending->at += n;
      *got += n;
      if (pending->at < pending->end) return SLUICE_TLS_MORE_PLAIN;
      room = (struct sluice_tls_bytes){room.at + n, room.length - n};
    }
    if (pending->bytes != NULL) drop_pending(pending);
    if (connection->ended || connection->in_left == 0) break;
    size_t there = partial->end + connection->in_left;
    uint8_t header[RECORD_HEADER];
    if (there < RECORD_HEADER) {
      keep(connection, RECORD_HEADER);
      break;
    }
    header_of(connection, header);
    // RFC 8446 5.2: content, type and padding have at most 2^14 + 1 bytes.
    size_t size = (size_t)header[3] << 8 | header[4];
    if (header[0] != PAYLOAD) fail(connection, SSL_R_UNEXPECTED_RECORD, SSL_AD_UNEXPECTED_MESSAGE);
    else if (size > TAG + 1 + RECORD_MAX) fail(connection, SSL_R_ENCRYPTED_LENGTH_TOO_LONG, SSL_AD_RECORD_OVERFLOW);
    else if (size < TAG + 1) fail(connection, SSL_R_LENGTH_TOO_SHORT, SSL_AD_DECODE_ERROR);
    if (connection->failed) break;
    size += RECORD_HEADER;
    if (there < size) {
      keep(connection, size);
      break;
    }
    if (size - RECORD_HEADER - TAG > room.length && *got > 0 && room.length < SPLIT_WORTHWHILE) return SLUICE_TLS_MORE_PLAIN;
    open_record(connection, header, size, room, got);
  }
  if (pending->bytes != NULL && pending->at == pending->end) drop_pending(pending);
  if (records->owes_update && !connection->failed && !connection->shut) {
    if (!sluice_tls_records_update(connection)) without_memory(connection);
  }
  return 0;
}

#endif
