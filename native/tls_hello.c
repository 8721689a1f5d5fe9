// Holds back a client's first messages from OpenSSL. OpenSSL allocates room for a whole message, up to 128 KiB, as soon as it has read the
// four bytes that announce it, and 17 KiB for a record whose header has arrived. So a stranger could claim that memory with nine bytes.
// Here a ClientHello waits in as much memory as it has bytes until it is complete, and one that announces more than any needs is refused.
#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

#define HANDSHAKE 22
#define ALERT 21
#define CHANGE_CIPHER_SPEC 20
#define CLIENT_HELLO 1

// The first flight is a ClientHello. If the server asked for another one (RFC 8446 4.1.4), the second is one too; otherwise it is
// encrypted, or another message of TLS 1.2, and OpenSSL reads on by itself.
enum { FIRST, SECOND };

static enum sluice_tls_verdict open_gate(struct sluice_tls_gate *gate, size_t length, size_t *pass) {
  gate->open = true;
  *pass = length;
  return SLUICE_TLS_PASS;
}

static void copy_head(struct sluice_tls_gate *gate, const uint8_t *fragment, size_t length) {
  size_t n = gate->seen >= sizeof gate->head ? 0 : least(length, sizeof gate->head - gate->seen);
  memcpy(gate->head + gate->seen, fragment, n);
  gate->head_length = (uint8_t)(gate->seen >= sizeof gate->head ? sizeof gate->head : gate->seen + n);
}

enum sluice_tls_verdict sluice_tls_gate(struct sluice_tls_gate *gate, const uint8_t *bytes, size_t length, uint32_t max, size_t *pass) {
  if (gate->open) return open_gate(gate, length, pass);
  while (length >= RECORD_HEADER && gate->next <= length - RECORD_HEADER) {
    const uint8_t *record = bytes + gate->next;
    size_t size = (size_t)record[3] << 8 | record[4];
    size_t there = least(size, length - gate->next - RECORD_HEADER);
    // Not TLS, or not allowed at this point: OpenSSL knows the answer.
    bool between = record[0] == ALERT || record[0] == CHANGE_CIPHER_SPEC;
    if (record[1] != 3 || size > RECORD_MAX + 256 || (record[0] != HANDSHAKE && !between)) return open_gate(gate, length, pass);
    if (size == 0) return SLUICE_TLS_EMPTY;
    if (!between) {
      copy_head(gate, record + RECORD_HEADER, there);
      if (gate->head_length > 0 && gate->head[0] != CLIENT_HELLO) return open_gate(gate, length, pass);
      if (gate->head_length == sizeof gate->head) {
        gate->wanted = sizeof gate->head + ((uint32_t)gate->head[1] << 16 | (uint32_t)gate->head[2] << 8 | gate->head[3]);
        if (gate->wanted > max) return SLUICE_TLS_TOO_LARGE;
      }
    }
    // Every fragment has at least one byte, but may have few: the waiting bytes are limited too.
    if (gate->next > 2 * max) return SLUICE_TLS_TOO_LARGE;
    if (there < size) return SLUICE_TLS_WAIT;
    gate->next += (uint32_t)(RECORD_HEADER + size);
    if (between && gate->seen == 0) {
      *pass = gate->next;
      gate->next = 0;
      return SLUICE_TLS_PASS;
    }
    if (!between) gate->seen += (uint32_t)size;
    if (gate->wanted > 0 && gate->seen >= gate->wanted) {
      *pass = gate->next;
      uint8_t flight = gate->flight;
      memset(gate, 0, sizeof *gate);
      gate->flight = SECOND;
      gate->open = flight == SECOND;
      return SLUICE_TLS_PASS;
    }
  }
  // Less than a header: if its first byte shows that it is none, OpenSSL may say so at once.
  if (gate->next < length && (bytes[gate->next] < CHANGE_CIPHER_SPEC || bytes[gate->next] > HANDSHAKE)) {
    return open_gate(gate, length, pass);
  }
  return SLUICE_TLS_WAIT;
}

#endif
