// TLS over memory: OpenSSL, driven with bytes in and bytes out. Knows no sockets and no JavaScript. Everything of a `struct sluice_tls`
// belongs to one thread.
#ifndef SLUICE_TLS_H
#define SLUICE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sluice_tls;

struct sluice_tls_certificate {
  const char *chain, *key;  // PEM
  const char **names;       // in lower case
  uint32_t name_count;
};

enum { SLUICE_TLS_NO_CERTIFICATE, SLUICE_TLS_OPTIONAL_CERTIFICATE, SLUICE_TLS_REQUIRED_CERTIFICATE };

struct sluice_tls_options {
  bool server, system_trust, tickets, whole_names;
  uint32_t client_certificate, min_version;
  uint32_t max_hello, max_chain;  // octets of a ClientHello, and of the chain that a peer shows; 0: as usual
  const struct sluice_tls_certificate *certificates;
  uint32_t certificate_count;
  const char **anchors, **alpn;
  uint32_t anchor_count, alpn_count;
};

// Bits of a status.
enum {
  SLUICE_TLS_HANDSHAKE_DONE = 1,
  SLUICE_TLS_MORE_PLAIN = 2,
  SLUICE_TLS_END = 4,
  SLUICE_TLS_FAILED = 8,
  SLUICE_TLS_MORE_WIRE = 16,
  SLUICE_TLS_HANDSHAKING = 32,
};

// Elements of the page of results.
enum {
  SLUICE_TLS_CONSUMED,
  SLUICE_TLS_PLAIN,
  SLUICE_TLS_WIRE,
  SLUICE_TLS_REASON,
  SLUICE_TLS_VERIFY,
  SLUICE_TLS_ALERT,
  SLUICE_TLS_PAGE,
};

// Reasons that are not OpenSSL's.
enum {
  SLUICE_TLS_NO_MEMORY = -1,
  SLUICE_TLS_HELLO_TOO_LARGE = -2,
  SLUICE_TLS_EMPTY_RECORD = -3,
  SLUICE_TLS_FLOODED = -4,
  SLUICE_TLS_OUTPUT_TOO_LARGE = -5,
  SLUICE_TLS_NO_CONNECTION = -6,
};

#define SLUICE_TLS_ALERT_SENT 256
#define SLUICE_TLS_MESSAGE 512

struct sluice_tls_peer {
  const char *version, *group, *cipher;
  char alpn[256], server_name[256];
  bool resumed;
};

struct sluice_tls_bytes {
  uint8_t *at;
  size_t length;
};

// OpenSSL's version, "" where there is none that can be used.
const char *sluice_tls_version(void);

struct sluice_tls *sluice_tls_create(void);
// With all contexts and connections.
void sluice_tls_destroy(struct sluice_tls *tls);
int32_t *sluice_tls_page(struct sluice_tls *tls);

// 1 or more; 0, and what is wrong in `message`.
uint32_t sluice_tls_context(struct sluice_tls *tls, const struct sluice_tls_options *options,
                            char message[SLUICE_TLS_MESSAGE]);
void sluice_tls_context_free(struct sluice_tls *tls, uint32_t context);

// 0 or more, or -errno. Names may be NULL.
int32_t sluice_tls_open(struct sluice_tls *tls, uint32_t context, const char *server_name, const char *expected);
int32_t sluice_tls_receive(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_bytes in,
                           struct sluice_tls_bytes plain, struct sluice_tls_bytes wire);
int32_t sluice_tls_send(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_bytes plain,
                        struct sluice_tls_bytes wire);
int32_t sluice_tls_shutdown(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_bytes wire);
void sluice_tls_close(struct sluice_tls *tls, uint32_t connection);

typedef void sluice_tls_on_name(void *data, const char *name, size_t length);
// False before the handshake is done. `on_name` is told the names of the peer's certificate.
bool sluice_tls_peer(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_peer *peer,
                     sluice_tls_on_name *on_name, void *data);
void sluice_tls_reason(int32_t reason, char text[SLUICE_TLS_MESSAGE]);
const char *sluice_tls_verify_reason(int32_t verify);

#endif
