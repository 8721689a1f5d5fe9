// Certificates: whether the peer's is valid for the expected name, and which of ours matches the name that a client asked for.
#include <arpa/inet.h>
#include <strings.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

#define SPIFFE "spiffe://"
#define SPIFFE_LENGTH (sizeof SPIFFE - 1)

// Names never contain bytes below '!' (including NUL) or above '~'.
const char *sluice_tls_text(const ASN1_STRING *string, size_t *length) {
  int size = ASN1_STRING_length(string);
  const unsigned char *text = ASN1_STRING_get0_data(string);
  if (size <= 0 || text == NULL) return NULL;
  for (int i = 0; i < size; i++) {
    if (text[i] < '!' || text[i] > '~') return NULL;
  }
  *length = (size_t)size;
  return (const char *)text;
}

// Scheme and trust domain are case-insensitive, the path is not (RFC 3986 6.2.2.1).
static bool same_identity(const char *text, size_t length, const char *expected) {
  if (strlen(expected) != length || strncasecmp(text, expected, SPIFFE_LENGTH) != 0) return false;
  const char *path = memchr(text + SPIFFE_LENGTH, '/', length - SPIFFE_LENGTH);
  size_t domain = path == NULL ? length : (size_t)(path - text);
  return strncasecmp(text, expected, domain) == 0 && memcmp(text + domain, expected + domain, length - domain) == 0;
}

static bool any_name(X509 *leaf, const char *expected, int type, bool (*same)(const char *, size_t, const char *)) {
  bool found = false;
  GENERAL_NAMES *names = TRY_NEW(X509_get_ext_d2i, leaf, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; names != NULL && i < OPENSSL_sk_num((const OPENSSL_STACK *)names); i++) {
    const GENERAL_NAME *name = OPENSSL_sk_value((const OPENSSL_STACK *)names, i);
    size_t length = 0;
    if (name->type != type) continue;
    const char *text = sluice_tls_text(name->d.ia5, &length);
    if (text != NULL && same(text, length, expected)) found = true;
  }
  GENERAL_NAMES_free(names);
  return found;
}

static bool same_host(const char *text, size_t length, const char *expected) {
  return strlen(expected) == length && strncasecmp(text, expected, length) == 0;
}

bool sluice_tls_is_address(const char *text) {
  struct in6_addr address;
  return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

// The common name is ignored (RFC 6125 6.4.4 allowed it as a last resort, RFC 9525 does not).
static bool is_for(X509 *leaf, const char *expected, bool whole) {
  if (strncasecmp(expected, SPIFFE, SPIFFE_LENGTH) == 0) return any_name(leaf, expected, GEN_URI, same_identity);
  if (sluice_tls_is_address(expected)) return TRY(X509_check_ip_asc, leaf, expected, 0) == 1;
  if (whole) return any_name(leaf, expected, GEN_DNS, same_host);
  const unsigned int flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  return TRY(X509_check_host, leaf, expected, strlen(expected), flags, NULL) == 1;
}

// Called instead of X509_verify_cert, so that a wrong name ends the handshake with an alert, like every other fault.
int sluice_tls_verify(X509_STORE_CTX *store, void *unused) {
  (void)unused;
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  struct sluice_tls_connection *connection = ssl == NULL ? NULL : SSL_get_ex_data(ssl, 0);
  if (connection == NULL) return 0;
  // OpenSSL asks even where it does not heed the answer.
  if (connection->context->unverified) return 1;
  int good = TRY(X509_verify_cert, store);
  int error = X509_STORE_CTX_get_error(store);
  if (good == 1 && connection->expected != NULL) {
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    if (leaf == NULL || !is_for(leaf, connection->expected, connection->context->whole_names)) {
      error = X509_V_ERR_HOSTNAME_MISMATCH;
    }
  }
  if (good != 1 && error == X509_V_OK) error = X509_V_ERR_UNSPECIFIED;
  connection->verify = error;
  X509_STORE_CTX_set_error(store, error);
  return error == X509_V_OK ? 1 : 0;
}

enum { NOT_FOR_IT, FOR_THE_DOMAIN, FOR_THE_NAME };

static int fit(const struct sluice_tls_identity *identity, const char *host) {
  int best = NOT_FOR_IT;
  const char *domain = strchr(host, '.');
  for (uint32_t i = 0; i < identity->name_count; i++) {
    const char *name = identity->names[i];
    if (strcasecmp(name, host) == 0) return FOR_THE_NAME;
    // The asterisk stands for exactly one non-empty label.
    if (name[0] == '*' && domain != NULL && domain != host && strcasecmp(name + 1, domain) == 0) best = FOR_THE_DOMAIN;
  }
  return best;
}

static bool use(SSL *ssl, const struct sluice_tls_identity *identity) {
  return TRY(SSL_use_cert_and_key, ssl, identity->leaf, identity->key, identity->chain, 1) == 1;
}

// A context with several certificates asks here. Several may have the same name, with keys of different kinds: OpenSSL then takes the one
// that the client can verify.
int sluice_tls_choose(SSL *ssl, void *data) {
  const struct sluice_tls_context *context = data;
  const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  int best = NOT_FOR_IT;
  for (uint32_t i = 0; host != NULL && i < context->identity_count; i++) {
    int found = fit(&context->identities[i], host);
    if (found > best) best = found;
  }
  SSL_certs_clear(ssl);
  if (best == NOT_FOR_IT) return use(ssl, &context->identities[0]);
  // The first of its kind wins; a later one would replace it.
  for (uint32_t i = context->identity_count; i-- > 0;) {
    if (fit(&context->identities[i], host) == best && !use(ssl, &context->identities[i])) return 0;
  }
  return 1;
}

#endif
