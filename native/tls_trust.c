// Anchors of contexts. The system's trust store has some 140 certificates, which take 10 ms to read and half a megabyte, so contexts of a
// thread with equal anchors share them.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

static void openssl_error(char *into, size_t size) {
  unsigned long error = ERR_peek_error();
  const char *reason = error == 0 ? NULL : ERR_reason_error_string(error);
  if (error == 0) {
    snprintf(into, size, "out of memory, or not supported");
  } else if (reason != NULL) {
    snprintf(into, size, "%s", reason);
  } else {
    ERR_error_string_n(error, into, size);
  }
  ERR_clear_error();
}

bool sluice_tls_fail(char message[SLUICE_TLS_MESSAGE], const char *what, ...) {
  char reason[160];
  openssl_error(reason, sizeof reason);
  va_list arguments;
  va_start(arguments, what);
  int length = vsnprintf(message, SLUICE_TLS_MESSAGE, what, arguments);
  va_end(arguments);
  if (length >= 0 && length < SLUICE_TLS_MESSAGE) {
    snprintf(message + length, SLUICE_TLS_MESSAGE - (size_t)length, ": %s", reason);
  }
  return false;
}

bool sluice_tls_refuse(char message[SLUICE_TLS_MESSAGE], const char *what, ...) {
  ERR_clear_error();
  va_list arguments;
  va_start(arguments, what);
  vsnprintf(message, SLUICE_TLS_MESSAGE, what, arguments);
  va_end(arguments);
  return false;
}

int sluice_tls_no_passphrase(char *into, int size, int writing, void *asked) {
  (void)into;
  (void)size;
  (void)writing;
  *(bool *)asked = true;
  return -1;
}

BIO *sluice_tls_text_bio(const char *text) {
  size_t length = strlen(text);
  return length == 0 || length > INT32_MAX ? NULL : TRY_NEW(BIO_new_mem_buf, text, (int)length);
}

X509 *sluice_tls_next_certificate(BIO *bio, bool *bad) {
  bool asked = false;
  ERR_clear_error();
  X509 *certificate = TRY_NEW(PEM_read_bio_X509, bio, NULL, sluice_tls_no_passphrase, &asked);
  if (certificate == NULL) {
    *bad = ERR_GET_LIB(ERR_peek_error()) != ERR_LIB_PEM || ERR_GET_REASON(ERR_peek_error()) != PEM_R_NO_START_LINE;
  }
  return certificate;
}

// Digest of all texts, and of where one ends and the next begins.
static bool digest_of(const struct sluice_tls_options *options, uint8_t digest[SLUICE_TLS_TRUST_DIGEST]) {
  EVP_MD_CTX *of = TRY_NEW(EVP_MD_CTX_new);
  bool made = of != NULL && TRY(EVP_DigestInit_ex, of, EVP_sha256(), NULL) == 1 &&
              TRY(EVP_DigestUpdate, of, &options->system_trust, sizeof options->system_trust) == 1;
  for (uint32_t i = 0; made && i < options->anchor_count; i++) {
    made = TRY(EVP_DigestUpdate, of, options->anchors[i], strlen(options->anchors[i]) + 1) == 1;
  }
  made = made && TRY(EVP_DigestFinal_ex, of, digest, NULL) == 1;
  EVP_MD_CTX_free(of);
  return made;
}

static bool add(struct sluice_tls_trust *trust, uint32_t index, const char *pem, char *message) {
  BIO *bio = sluice_tls_text_bio(pem);
  if (bio == NULL) return sluice_tls_refuse(message, "anchor %u is empty", index + 1);
  bool bad = false, stored = true;
  uint32_t count = 0;
  for (X509 *one; stored && (one = sluice_tls_next_certificate(bio, &bad)) != NULL; count++) {
    stored = TRY(X509_STORE_add_cert, trust->store, one) == 1;
    if (stored && trust->named_count < SLUICE_TLS_NAMED) trust->named[trust->named_count++] = one;
    else X509_free(one);
  }
  BIO_free(bio);
  if (!stored) return sluice_tls_fail(message, "anchor %u", index + 1);
  if (bad) return sluice_tls_fail(message, "anchor %u: its certificate %u is not valid", index + 1, count + 1);
  return count > 0 || sluice_tls_refuse(message, "anchor %u: there is no certificate in it (PEM is wanted)", index + 1);
}

static bool fill(struct sluice_tls_trust *trust, const struct sluice_tls_options *options, char *message) {
  trust->store = TRY_NEW(X509_STORE_new);
  if (trust->store == NULL) return sluice_tls_fail(message, "anchors");
  for (uint32_t i = 0; i < options->anchor_count; i++) {
    if (!add(trust, i, options->anchors[i], message)) return false;
  }
  ERR_clear_error();
  if (options->system_trust && TRY(X509_STORE_set_default_paths, trust->store) != 1) {
    return sluice_tls_fail(message, "what the system trusts");
  }
  // A certificate named as an anchor is one, whether or not its own issuer is known.
  return TRY(X509_STORE_set_flags, trust->store, X509_V_FLAG_PARTIAL_CHAIN) == 1 || sluice_tls_fail(message, "anchors");
}

struct sluice_tls_trust *sluice_tls_trust_get(struct sluice_tls_trust **list, const struct sluice_tls_options *options,
                                              char message[SLUICE_TLS_MESSAGE]) {
  uint8_t digest[SLUICE_TLS_TRUST_DIGEST];
  if (!digest_of(options, digest)) {
    sluice_tls_fail(message, "anchors");
    return NULL;
  }
  for (struct sluice_tls_trust *known = *list; known != NULL; known = known->next) {
    if (memcmp(known->digest, digest, sizeof digest) != 0) continue;
    known->uses++;
    return known;
  }
  struct sluice_tls_trust *made = SYS_ALLOC(calloc, 1, sizeof *made);
  if (made == NULL) {
    sluice_tls_refuse(message, "anchors: out of memory");
    return NULL;
  }
  memcpy(made->digest, digest, sizeof digest);
  made->uses = 1;
  made->list = list;
  made->next = *list;
  *list = made;
  if (fill(made, options, message)) return made;
  sluice_tls_trust_release(made);
  return NULL;
}

void sluice_tls_trust_release(struct sluice_tls_trust *trust) {
  if (trust == NULL || --trust->uses > 0) return;
  struct sluice_tls_trust **place = trust->list;
  while (*place != trust) place = &(*place)->next;
  *place = trust->next;
  for (uint32_t i = 0; i < trust->named_count; i++) X509_free(trust->named[i]);
  X509_STORE_free(trust->store);
  free(trust);
}

#endif
