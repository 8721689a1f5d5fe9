// TLS over memory: OpenSSL, driven with bytes in and bytes out. It knows no sockets and no JavaScript. A `struct sluice_tls` belongs to one
// thread.
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
  bool unverified;  // of a client: whatever a server shows is good
  uint32_t client_certificate, min_version;
  uint32_t max_hello, max_chain;  // maximum bytes of a ClientHello, and of a peer's chain; 0: the default
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

// Reasons in addition to OpenSSL's.
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

// OpenSSL's version, "" if there is none that can be used.
const char *sluice_tls_version(void);

struct sluice_tls *sluice_tls_create(void);
// Including all contexts and connections.
void sluice_tls_destroy(struct sluice_tls *tls);
int32_t *sluice_tls_page(struct sluice_tls *tls);

// Returns 1 or more; or 0, with the problem in `message`.
uint32_t sluice_tls_context(struct sluice_tls *tls, const struct sluice_tls_options *options,
                            char message[SLUICE_TLS_MESSAGE]);
void sluice_tls_context_free(struct sluice_tls *tls, uint32_t context);

// Returns 0 or more, or -errno. Names may be NULL.
int32_t sluice_tls_open(struct sluice_tls *tls, uint32_t context, const char *server_name, const char *expected);
int32_t sluice_tls_receive(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_bytes in,
                           struct sluice_tls_bytes plain, struct sluice_tls_bytes wire);
int32_t sluice_tls_send(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_bytes plain,
                        struct sluice_tls_bytes wire);
int32_t sluice_tls_shutdown(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_bytes wire);
void sluice_tls_close(struct sluice_tls *tls, uint32_t connection);

typedef void sluice_tls_on_name(void *data, const char *name, size_t length);
// False before the handshake is complete. `on_name` gets the names in the peer's certificate.
bool sluice_tls_peer(struct sluice_tls *tls, uint32_t connection, struct sluice_tls_peer *peer,
                     sluice_tls_on_name *on_name, void *data);
void sluice_tls_reason(int32_t reason, char text[SLUICE_TLS_MESSAGE]);
const char *sluice_tls_verify_reason(int32_t verify);

#endif
