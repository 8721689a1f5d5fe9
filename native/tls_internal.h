// Declarations shared by the files of the TLS engine.
#ifndef SLUICE_TLS_INTERNAL_H
#define SLUICE_TLS_INTERNAL_H

#include <string.h>

#include "tls.h"
#include "tls_openssl.h"

#ifdef SLUICE_HAS_OPENSSL

#define RECORD_HEADER 5
#define RECORD_MAX 16384

// A server's certificate, sent to clients that ask for one of its names.
struct sluice_tls_identity {
  X509 *leaf;
  STACK_OF(X509) *chain;
  EVP_PKEY *key;
  char **names;
  uint32_t name_count;
};

#define SLUICE_TLS_TRUST_DIGEST 32
// CAs that a server names when it asks for a certificate; more would only make the message longer.
#define SLUICE_TLS_NAMED 32

// Anchors, shared by all contexts of a thread that have the same ones.
struct sluice_tls_trust {
  struct sluice_tls_trust *next, **list;
  uint32_t uses;
  uint8_t digest[SLUICE_TLS_TRUST_DIGEST];
  X509_STORE *store;
  X509 *named[SLUICE_TLS_NAMED];
  uint32_t named_count;
};

struct sluice_tls_context {
  SSL_CTX *ssl;
  uint32_t uses;  // one for the handle, and one for each connection
  bool server, whole_names, unverified;
  uint32_t hello_max;  // of a ClientHello
  struct sluice_tls_trust *trust;  // NULL: no certificate is asked for
  struct sluice_tls_identity *identities;
  uint32_t identity_count;
  // In wire format: each name with its length in front.
  uint8_t *alpn;
  uint32_t alpn_length;
};

// Waiting bytes, in their own memory.
struct sluice_tls_queue {
  uint8_t *bytes;
  size_t at, end, capacity;
};

// What a server has seen of a client's first messages; see tls_hello.c.
struct sluice_tls_gate {
  uint32_t next;         // where the next record begins
  uint32_t seen, wanted;  // of the message: bytes in complete records, and its length (0: not known yet)
  uint8_t head[4];
  uint8_t head_length;
  uint8_t flight;
  bool open;
};

enum sluice_tls_verdict { SLUICE_TLS_WAIT, SLUICE_TLS_PASS, SLUICE_TLS_TOO_LARGE, SLUICE_TLS_EMPTY };

struct sluice_tls_connection {
  SSL *ssl;  // NULL on a server until there is a ClientHello
  struct sluice_tls_context *context;
  char *expected;
  // What OpenSSL may read now, and where it may write.
  const uint8_t *in;
  size_t in_left;
  uint8_t *out;
  size_t out_used, out_capacity;
  struct sluice_tls_queue held;  // input that OpenSSL has not read yet
  struct sluice_tls_queue kept;  // output that did not fit
  struct sluice_tls_gate gate;
  struct sluice_tls_records *records;  // for TLS 1.3, once the handshake is complete
  uint32_t received;             // payload since the allowance last grew
  uint32_t sealed;               // records that OpenSSL has sent after our Finished: tickets
  int32_t reason, verify, alert;
  uint8_t allowance;
  bool done, failed, ended, shut, told, finished;
  bool flooded, no_memory, too_much;
};

// tls_context.c: NULL, with the problem in `message`.
struct sluice_tls_context *sluice_tls_context_make(struct sluice_tls_trust **trusts, const struct sluice_tls_options *options,
                                                   char message[SLUICE_TLS_MESSAGE]);
void sluice_tls_context_release(struct sluice_tls_context *context);

// tls_trust.c: NULL, with the problem in `message`.
struct sluice_tls_trust *sluice_tls_trust_get(struct sluice_tls_trust **list, const struct sluice_tls_options *options,
                                              char message[SLUICE_TLS_MESSAGE]);
void sluice_tls_trust_release(struct sluice_tls_trust *trust);
// Both return false and write "WHAT: OpenSSL's first reason", or our own words. OpenSSL's error queue is empty afterwards.
__attribute__((format(printf, 2, 3))) bool sluice_tls_fail(char message[SLUICE_TLS_MESSAGE], const char *what, ...);
__attribute__((format(printf, 2, 3))) bool sluice_tls_refuse(char message[SLUICE_TLS_MESSAGE], const char *what, ...);
BIO *sluice_tls_text_bio(const char *text);
// The next certificate in `bio`; NULL at its end or, if `*bad` is set, because of an error.
X509 *sluice_tls_next_certificate(BIO *bio, bool *bad);
// Without this callback OpenSSL would ask for passphrases on the terminal.
int sluice_tls_no_passphrase(char *into, int size, int writing, void *asked);

// tls_openssl.c: whether Node.js exports a usable OpenSSL.
bool sluice_tls_usable(void);

// tls_tickets.c
bool sluice_tls_share_tickets(SSL_CTX *ssl, X509 *leaf);

// tls_verify.c
bool sluice_tls_is_address(const char *text);
int sluice_tls_verify(X509_STORE_CTX *store, void *unused);
// Selects the certificates for the client's server name.
int sluice_tls_choose(SSL *ssl, void *context);
// The text of a name in a certificate, NULL if it can't be compared or shown.
const char *sluice_tls_text(const ASN1_STRING *string, size_t *length);

// tls_peer.c
void sluice_tls_connection_peer(struct sluice_tls_connection *connection, struct sluice_tls_peer *peer,
                                sluice_tls_on_name *on_name, void *data);

// tls_hello.c: how much of `bytes`, from the first unread one on, may be passed to OpenSSL. A ClientHello has at most `max` bytes.
enum sluice_tls_verdict sluice_tls_gate(struct sluice_tls_gate *gate, const uint8_t *bytes, size_t length, uint32_t max, size_t *pass);

// tls_bio.c
BIO *sluice_tls_bio(struct sluice_tls_connection *connection);
// Writes output to its area, or keeps it.
bool sluice_tls_put(struct sluice_tls_connection *connection, const uint8_t *bytes, size_t length);
// False if there would be more than `max`, or no memory.
bool sluice_tls_push(struct sluice_tls_queue *queue, const uint8_t *bytes, size_t length, size_t max);
void sluice_tls_pull(struct sluice_tls_queue *queue, size_t length);
static inline bool sluice_tls_is_empty(const struct sluice_tls_queue *queue) { return queue->at == queue->end; }

// tls_connection.c
struct sluice_tls_connection *sluice_tls_connection_make(struct sluice_tls_context *context, const char *server_name,
                                                         const char *expected);
void sluice_tls_connection_free(struct sluice_tls_connection *connection);
int32_t sluice_tls_connection_receive(struct sluice_tls_connection *connection, struct sluice_tls_bytes in,
                                      struct sluice_tls_bytes plain, struct sluice_tls_bytes wire, int32_t *page);
int32_t sluice_tls_connection_send(struct sluice_tls_connection *connection, struct sluice_tls_bytes plain,
                                   struct sluice_tls_bytes wire, int32_t *page);
int32_t sluice_tls_connection_shutdown(struct sluice_tls_connection *connection, struct sluice_tls_bytes wire, int32_t *page);
void sluice_tls_payload_received(struct sluice_tls_connection *connection, size_t bytes);
// Callbacks of a context.
int sluice_tls_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
                    unsigned int offered_length, void *context);
void sluice_tls_info(const SSL *ssl, int where, int value);

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

#endif

#endif
