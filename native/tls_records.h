// Records of TLS 1.3 after the handshake, without OpenSSL's connection: payload is decrypted from the input directly into its destination,
// and encrypted likewise, without a copy; an idle connection is just two keys.
#ifndef SLUICE_TLS_RECORDS_H
#define SLUICE_TLS_RECORDS_H

#include <stdatomic.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

struct sluice_tls_direction {
  EVP_CIPHER_CTX *cipher;
  uint64_t sequence;
  uint8_t iv[12];
  uint8_t suite, secret_length;
  bool seals, broken;
  uint8_t secret[48];
};

struct sluice_tls_records {
  struct sluice_tls_direction read, write;
  struct sluice_tls_queue partial;  // an incomplete record
  struct sluice_tls_queue pending;  // payload for which there was no room
  // Of a handshake message: how much of its head has arrived, and how much of its body is still to come.
  uint8_t head[4];
  uint8_t head_length;
  uint8_t empty;  // consecutive records without payload
  bool active, owes_update;
  uint32_t left;
  uint32_t payload_max;
};

// tls_keys.c
bool sluice_tls_direction_begin(struct sluice_tls_direction *direction, uint32_t protocol_id, bool seals);
bool sluice_tls_direction_update(struct sluice_tls_direction *direction);
void sluice_tls_direction_end(struct sluice_tls_direction *direction);
// Writes a record of `length` + 22 bytes; returns its size, 0 on failure.
size_t sluice_tls_seal(struct sluice_tls_direction *direction, uint8_t type, const uint8_t *payload, size_t length, uint8_t *into);
// Decrypts what follows the header, except the tag, and returns whether that is correct.
bool sluice_tls_open_record(struct sluice_tls_direction *direction, const uint8_t header[RECORD_HEADER],
                            struct sluice_tls_bytes from[2], struct sluice_tls_bytes into[2]);

// tls_records.c

// The handshake is complete: if this returns true, OpenSSL is not used from now on.
bool sluice_tls_records_begin(struct sluice_tls_connection *connection);
void sluice_tls_records_free(struct sluice_tls_records *records);
// Callbacks of a context: its secrets, and the number of records OpenSSL has sent under the last key.
void sluice_tls_records_secret(const SSL *ssl, const char *line);
void sluice_tls_records_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl, void *unused);

// Reads the window into `plain` after `*got`; returns bits of a status.
int32_t sluice_tls_records_receive(struct sluice_tls_connection *connection, struct sluice_tls_bytes plain, size_t *got);
// Writes one record to the output area, which has room.
bool sluice_tls_records_send(struct sluice_tls_connection *connection, const uint8_t *payload, size_t length);
bool sluice_tls_records_alert(struct sluice_tls_connection *connection, uint8_t level, uint8_t description);
// Changes the key of what we send.
bool sluice_tls_records_update(struct sluice_tls_connection *connection);

#endif
#endif
