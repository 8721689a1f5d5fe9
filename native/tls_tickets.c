// Ticket keys. All threads of the process, and contexts created by reloads, accept each other's tickets: a client that resumes reaches any
// worker. The keys last as long as the process and the certificate.
#include <pthread.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

#define SECRET 32
#define DIGEST 32
#define KEYS_MAX (4 * DIGEST)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t secret[SECRET];
static bool has_secret;

static bool copy_secret(uint8_t into[SECRET]) {
  pthread_mutex_lock(&lock);
  if (!has_secret) has_secret = TRY(RAND_bytes, secret, SECRET) == 1;
  if (has_secret) memcpy(into, secret, SECRET);
  pthread_mutex_unlock(&lock);
  return has_secret;
}

bool sluice_tls_share_tickets(SSL_CTX *ssl, X509 *leaf) {
  uint8_t keys[KEYS_MAX], text[SECRET + DIGEST + 1];
  long length = SSL_CTX_get_tlsext_ticket_keys(ssl, NULL, 0);
  bool made = length > 0 && length <= KEYS_MAX && copy_secret(text) &&
              TRY(X509_digest, leaf, EVP_sha256(), text + SECRET, NULL) == 1;
  for (uint8_t i = 0; made && i * DIGEST < length; i++) {
    text[SECRET + DIGEST] = i;
    made = TRY(EVP_Digest, text, sizeof text, keys + i * DIGEST, NULL, EVP_sha256(), NULL) == 1;
  }
  made = made && TRY(SSL_CTX_set_tlsext_ticket_keys, ssl, keys, length) == 1;
  OPENSSL_cleanse(keys, sizeof keys);
  OPENSSL_cleanse(text, sizeof text);
  return made;
}

#endif
