// What connections of one kind share: certificates, anchors, versions, ALPN. Created once, from texts that were checked before; remaining
// problems are described in words.
#include <stdio.h>
#include <stdlib.h>

#include "tls_records.h"

#ifdef SLUICE_HAS_OPENSSL

// No legitimate chain is deeper (OpenSSL's default is 100), and each link costs a signature check.
#define DEPTH 10
// A ClientHello with a post-quantum share has 2 KiB, one with a ticket and the longest name 3 KiB.
#define HELLO_MAX 20480
// Limit on the peer's Certificate message, for which OpenSSL allocates memory as soon as it is announced. Chains on the web have 2 to 10
// KiB.
#define SERVER_CHAIN_MAX 65536
#define CLIENT_CHAIN_MAX 32768

#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_12 \
  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
// The first list that this OpenSSL knows is used. From 3.5 on, a client sends a share for both marked groups, so that a server that knows
// only the second need not ask again.
static const char *const groups[] = {"*X25519MLKEM768:*X25519:P-256:P-384", "X25519:P-256:P-384", "P-256:P-384"};

struct making {
  struct sluice_tls_context *context;
  struct sluice_tls_trust **trusts;
  char *message;
};

#define fail(making, ...) sluice_tls_fail((making)->message, __VA_ARGS__)
#define refuse(making, ...) sluice_tls_refuse((making)->message, __VA_ARGS__)

static bool read_chain(struct making *making, struct sluice_tls_identity *identity, uint32_t index, const char *pem) {
  BIO *bio = sluice_tls_text_bio(pem);
  if (bio == NULL) return refuse(making, "certificate %u: its file is empty", index + 1);
  bool bad = false, stored = true;
  uint32_t count = 0;
  for (X509 *one; stored && (one = sluice_tls_next_certificate(bio, &bad)) != NULL; count++) {
    if (count == 0) {
      identity->leaf = one;
      stored = (identity->chain = (STACK_OF(X509) *)TRY_NEW(OPENSSL_sk_new_null)) != NULL;
    } else if (!(stored = TRY(OPENSSL_sk_push, (OPENSSL_STACK *)identity->chain, one) > 0)) {
      X509_free(one);
    }
  }
  BIO_free(bio);
  if (!stored) return fail(making, "certificate %u", index + 1);
  if (bad) return fail(making, "certificate %u: number %u of its chain is not valid", index + 1, count + 1);
  ERR_clear_error();
  return count > 0 || refuse(making, "certificate %u: there is no certificate in it (PEM is wanted)", index + 1);
}

static bool read_key(struct making *making, struct sluice_tls_identity *identity, uint32_t index, const char *pem) {
  BIO *bio = sluice_tls_text_bio(pem);
  bool asked = false;
  if (bio == NULL) return refuse(making, "certificate %u: the file of its key is empty", index + 1);
  identity->key = TRY_NEW(PEM_read_bio_PrivateKey, bio, NULL, sluice_tls_no_passphrase, &asked);
  BIO_free(bio);
  if (asked) return refuse(making, "certificate %u: its key has a passphrase; give one without", index + 1);
  if (identity->key == NULL) return fail(making, "certificate %u: its key is not valid", index + 1);
  if (TRY(X509_check_private_key, identity->leaf, identity->key) == 1) return true;
  return fail(making, "certificate %u: the key is not the certificate's", index + 1);
}

static bool copy_names(struct sluice_tls_identity *identity, const struct sluice_tls_certificate *from) {
  if (from->name_count == 0) return true;
  identity->names = SYS_ALLOC(calloc, from->name_count, sizeof *identity->names);
  if (identity->names == NULL) return false;
  for (uint32_t i = 0; i < from->name_count; i++) {
    if ((identity->names[i] = SYS_ALLOC(strdup, from->names[i])) == NULL) return false;
    identity->name_count = i + 1;
  }
  return true;
}

// A ticket would outlive a client's certificate, and the removal of its anchor.
static bool has_tickets(const struct sluice_tls_options *options) {
  return options->server && options->tickets && options->client_certificate == SLUICE_TLS_NO_CERTIFICATE;
}

static bool add_certificates(struct making *making, const struct sluice_tls_options *options) {
  struct sluice_tls_context *context = making->context;
  if (options->certificate_count == 0) return true;
  context->identities = SYS_ALLOC(calloc, options->certificate_count, sizeof *context->identities);
  if (context->identities == NULL) return refuse(making, "certificates: out of memory");
  for (uint32_t i = 0; i < options->certificate_count; i++) {
    struct sluice_tls_identity *identity = &context->identities[i];
    context->identity_count = i + 1;
    if (!read_chain(making, identity, i, options->certificates[i].chain)) return false;
    if (!read_key(making, identity, i, options->certificates[i].key)) return false;
    if (!copy_names(identity, &options->certificates[i])) return refuse(making, "certificates: out of memory");
    // All of them are loaded, so that anything OpenSSL rejects (a short key, a weak digest) is reported now.
    if (TRY(SSL_CTX_use_cert_and_key, context->ssl, identity->leaf, identity->key, identity->chain, 1) != 1) {
      return fail(making, "certificate %u can't be used", i + 1);
    }
  }
  if (has_tickets(options) && !sluice_tls_share_tickets(context->ssl, context->identities[0].leaf)) return fail(making, "tickets");
  if (context->identity_count > 1) SSL_CTX_set_cert_cb(context->ssl, sluice_tls_choose, context);
  return true;
}

static bool add_anchors(struct making *making, const struct sluice_tls_options *options) {
  struct sluice_tls_context *context = making->context;
  bool verifies = options->server ? options->client_certificate != SLUICE_TLS_NO_CERTIFICATE : !options->unverified;
  if (!verifies) return true;
  if (options->anchor_count == 0 && !options->system_trust) return refuse(making, "there are no trust anchors");
  context->trust = sluice_tls_trust_get(making->trusts, options, making->message);
  if (context->trust == NULL) return false;
  if (TRY(X509_STORE_up_ref, context->trust->store) != 1) return fail(making, "anchors");
  SSL_CTX_set_cert_store(context->ssl, context->trust->store);
  for (uint32_t i = 0; options->server && i < context->trust->named_count; i++) {
    if (TRY(SSL_CTX_add_client_CA, context->ssl, context->trust->named[i]) != 1) return fail(making, "names of anchors");
  }
  return true;
}

static bool add_alpn(struct making *making, const struct sluice_tls_options *options) {
  struct sluice_tls_context *context = making->context;
  size_t length = 0;
  for (uint32_t i = 0; i < options->alpn_count; i++) {
    size_t name = strlen(options->alpn[i]);
    if (name == 0 || name > 255) return refuse(making, "alpn: a name has 1 to 255 octets");
    length += name + 1;
  }
  if (length == 0) return true;
  if (length > 16384) return refuse(making, "alpn: too many names");
  context->alpn = SYS_ALLOC(malloc, length);
  if (context->alpn == NULL) return refuse(making, "alpn: out of memory");
  for (uint32_t i = 0; i < options->alpn_count; i++) {
    size_t name = strlen(options->alpn[i]);
    context->alpn[context->alpn_length] = (uint8_t)name;
    memcpy(context->alpn + context->alpn_length + 1, options->alpn[i], name);
    context->alpn_length += (uint32_t)name + 1;
  }
  if (options->server) {
    SSL_CTX_set_alpn_select_cb(context->ssl, sluice_tls_alpn, context);
    return true;
  }
  return TRY_ZERO(SSL_CTX_set_alpn_protos, context->ssl, context->alpn, context->alpn_length) == 0 || fail(making, "alpn");
}

static bool set_versions(struct making *making, const struct sluice_tls_options *options) {
  SSL_CTX *ssl = making->context->ssl;
  if (options->min_version != TLS1_2_VERSION && options->min_version != TLS1_3_VERSION) {
    return refuse(making, "the lowest version is TLS 1.2 or 1.3");
  }
  if (TRY(SSL_CTX_set_min_proto_version, ssl, (int)options->min_version) != 1 ||
      TRY(SSL_CTX_set_max_proto_version, ssl, TLS1_3_VERSION) != 1) {
    return fail(making, "versions");
  }
  if (TRY(SSL_CTX_set_ciphersuites, ssl, CIPHERS_13) != 1 || TRY(SSL_CTX_set_cipher_list, ssl, CIPHERS_12) != 1) {
    return fail(making, "ciphers");
  }
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
    if (TRY(SSL_CTX_set1_groups_list, ssl, groups[i]) == 1) return true;
  }
  return fail(making, "groups of the key exchange");
}

static bool set_manners(struct making *making, const struct sluice_tls_options *options) {
  SSL_CTX *ssl = making->context->ssl;
  bool tickets = has_tickets(options);
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA | (tickets ? 0 : SSL_OP_NO_TICKET));
  if (TRY(SSL_CTX_set_num_tickets, ssl, tickets ? 2 : 0) != 1) return fail(making, "tickets");
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  // An idle connection holds no buffers. Chains are sent as given, not as OpenSSL would build them from the anchors.
  SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS |
                            SSL_MODE_NO_AUTO_CHAIN);
  uint32_t usual = options->server ? CLIENT_CHAIN_MAX : SERVER_CHAIN_MAX;
  SSL_CTX_set_max_cert_list(ssl, (long)(options->max_chain > 0 ? options->max_chain : usual));
  SSL_CTX_set_verify_depth(ssl, DEPTH);
  int verify = SSL_VERIFY_PEER;
  if (options->server ? options->client_certificate == SLUICE_TLS_NO_CERTIFICATE : options->unverified) verify = SSL_VERIFY_NONE;
  if (options->client_certificate == SLUICE_TLS_REQUIRED_CERTIFICATE) verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(ssl, verify, NULL);
  SSL_CTX_set_cert_verify_callback(ssl, sluice_tls_verify, NULL);
  SSL_CTX_set_info_callback(ssl, sluice_tls_info);
  SSL_CTX_set_msg_callback(ssl, sluice_tls_records_message);
  return true;
}

static bool make(struct making *making, const struct sluice_tls_options *options) {
  struct sluice_tls_context *context = making->context;
  context->uses = 1;
  context->server = options->server;
  context->hello_max = options->max_hello > 0 ? options->max_hello : HELLO_MAX;
  context->whole_names = options->whole_names;
  context->unverified = options->unverified && !options->server;
  context->ssl = TRY_NEW(SSL_CTX_new, options->server ? TLS_server_method() : TLS_client_method());
  if (context->ssl == NULL) return fail(making, "TLS");
  if (options->server && options->certificate_count == 0) return refuse(making, "a server needs a certificate");
  if (!options->server && options->certificate_count > 1) return refuse(making, "a client has one certificate at most");
  return set_versions(making, options) && set_manners(making, options) && add_certificates(making, options) &&
         add_anchors(making, options) && add_alpn(making, options);
}

struct sluice_tls_context *sluice_tls_context_make(struct sluice_tls_trust **trusts, const struct sluice_tls_options *options,
                                                  char message[SLUICE_TLS_MESSAGE]) {
  struct making making = {.context = SYS_ALLOC(calloc, 1, sizeof *making.context), .trusts = trusts, .message = message};
  if (making.context == NULL) {
    snprintf(message, SLUICE_TLS_MESSAGE, "out of memory");
    return NULL;
  }
  bool made = make(&making, options);
  ERR_clear_error();
  if (made) return making.context;
  sluice_tls_context_release(making.context);
  return NULL;
}

static void free_certificate(void *certificate) { X509_free(certificate); }

void sluice_tls_context_release(struct sluice_tls_context *context) {
  if (--context->uses > 0) return;
  for (uint32_t i = 0; i < context->identity_count; i++) {
    struct sluice_tls_identity *identity = &context->identities[i];
    X509_free(identity->leaf);
    OPENSSL_sk_pop_free((OPENSSL_STACK *)identity->chain, free_certificate);
    EVP_PKEY_free(identity->key);
    for (uint32_t name = 0; name < identity->name_count; name++) free(identity->names[name]);
    free(identity->names);
  }
  free(context->identities);
  free(context->alpn);
  SSL_CTX_free(context->ssl);
  sluice_tls_trust_release(context->trust);
  free(context);
}

#endif
