#include "tls_ends.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void driver_fail(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  abort();
}

struct issued {
  X509 *certificate;
  EVP_PKEY *key;
};

static void extend(X509 *certificate, int nid, const char *value) {
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
  CHECK(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

static struct issued issue(const struct issued *by, const char *name, const char *names) {
  struct issued made = {X509_new(), EVP_EC_gen("P-256")};
  CHECK(made.certificate != NULL && made.key != NULL);
  X509_set_version(made.certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), rand());
  X509_gmtime_adj(X509_getm_notBefore(made.certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(made.certificate), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.certificate), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
  X509_set_issuer_name(made.certificate, X509_get_subject_name(by == NULL ? made.certificate : by->certificate));
  X509_set_pubkey(made.certificate, made.key);
  extend(made.certificate, NID_basic_constraints, by == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (names != NULL) extend(made.certificate, NID_subject_alt_name, names);
  CHECK(X509_sign(made.certificate, by == NULL ? made.key : by->key, EVP_sha256()) > 0);
  return made;
}

static char *text_of(BIO *bio) {
  char *bytes;
  long length = BIO_get_mem_data(bio, &bytes);
  char *text = malloc((size_t)length + 1);
  CHECK(text != NULL);
  memcpy(text, bytes, (size_t)length);
  text[length] = '\0';
  BIO_free(bio);
  return text;
}

static char *certificate_text(X509 *first, X509 *second) {
  BIO *bio = BIO_new(BIO_s_mem());
  CHECK(PEM_write_bio_X509(bio, first) == 1 && (second == NULL || PEM_write_bio_X509(bio, second) == 1));
  return text_of(bio);
}

static char *key_text(EVP_PKEY *key) {
  BIO *bio = BIO_new(BIO_s_mem());
  CHECK(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
  return text_of(bio);
}

struct pki *pki_make(void) {
  struct pki *pki = calloc(1, sizeof *pki);
  struct issued root = issue(NULL, "root", NULL);
  struct issued first = issue(&root, "first", "DNS:first.test,URI:spiffe://test/first");
  struct issued second = issue(&root, "second", "DNS:second.test,DNS:*.wild.test,IP:127.0.0.1");
  pki->anchor = certificate_text(root.certificate, NULL);
  pki->first_chain = certificate_text(first.certificate, root.certificate);
  pki->first_key = key_text(first.key);
  pki->second_chain = certificate_text(second.certificate, NULL);
  pki->second_key = key_text(second.key);
  struct issued all[] = {root, first, second};
  for (int i = 0; i < 3; i++) {
    X509_free(all[i].certificate);
    EVP_PKEY_free(all[i].key);
  }
  return pki;
}

void pki_free(struct pki *pki) {
  free(pki->anchor);
  free(pki->first_chain);
  free(pki->first_key);
  free(pki->second_chain);
  free(pki->second_key);
  free(pki);
}

static uint32_t context(struct sluice_tls *tls, const struct sluice_tls_options *options) {
  char message[SLUICE_TLS_MESSAGE] = "";
  uint32_t made = sluice_tls_context(tls, options, message);
  CHECK((made == 0) == (message[0] != '\0'));
  CHECK(ERR_peek_error() == 0);
  return made;
}

uint32_t server_context(struct sluice_tls *tls, const struct pki *pki, bool tickets) {
  const char *first[] = {"first.test"}, *second[] = {"second.test", "*.wild.test"}, *anchors[] = {pki->anchor};
  const char *alpn[] = {"h2", "http/1.1"};
  struct sluice_tls_certificate certificates[] = {{pki->first_chain, pki->first_key, first, 1},
                                                  {pki->second_chain, pki->second_key, second, 2}};
  struct sluice_tls_options options = {.server = true, .tickets = tickets, .min_version = 0x0303,
                                       .client_certificate = tickets ? SLUICE_TLS_NO_CERTIFICATE : SLUICE_TLS_REQUIRED_CERTIFICATE,
                                       .certificates = certificates, .certificate_count = 2, .anchors = anchors,
                                       .anchor_count = 1, .alpn = alpn, .alpn_count = 2};
  return context(tls, &options);
}

uint32_t client_context(struct sluice_tls *tls, const struct pki *pki) {
  const char *anchors[] = {pki->anchor}, *alpn[] = {"http/1.1"};
  struct sluice_tls_certificate certificate = {pki->first_chain, pki->first_key, NULL, 0};
  struct sluice_tls_options options = {.min_version = 0x0304, .certificates = &certificate, .certificate_count = 1,
                                       .anchors = anchors, .anchor_count = 1, .alpn = alpn, .alpn_count = 1};
  return context(tls, &options);
}

bool end_open(struct end *end, struct sluice_tls *tls, uint32_t context, const char *name, const char *expected) {
  memset(end, 0, sizeof *end);
  end->tls = tls;
  end->context = context;
  end->room = 16384;
  end->connection = context == 0 ? -1 : sluice_tls_open(tls, context, name, expected);
  CHECK(ERR_peek_error() == 0);
  return end->connection >= 0;
}

void end_close(struct end *end) {
  if (end->connection >= 0) sluice_tls_close(end->tls, (uint32_t)end->connection);
  CHECK(ERR_peek_error() == 0);
  end->connection = -1;
}

// In memory of its own, so that the sanitizer sees every octet beyond it that is touched.
static struct sluice_tls_bytes place(size_t length) {
  struct sluice_tls_bytes made = {malloc(length == 0 ? 1 : length), length};
  CHECK(made.at != NULL);
  return made;
}

static int32_t note(struct end *end, int32_t status, struct sluice_tls_bytes wire) {
  const int32_t *page = sluice_tls_page(end->tls);
  size_t written = (size_t)page[SLUICE_TLS_WIRE];
  CHECK(ERR_peek_error() == 0);
  CHECK(written <= wire.length && end->wire_length + written <= sizeof end->wire);
  if (written > 0) memcpy(end->wire + end->wire_length, wire.at, written);
  end->wire_length += written;
  end->status |= status;
  end->reason = page[SLUICE_TLS_REASON];
  end->verify = page[SLUICE_TLS_VERIFY];
  end->alert = page[SLUICE_TLS_ALERT];
  CHECK(((status & SLUICE_TLS_FAILED) != 0) == (end->reason != 0));
  free(wire.at);
  return status;
}

void end_receive(struct end *end, const uint8_t *bytes, size_t length) {
  size_t at = 0;
  if (end->connection < 0) return;
  for (int calls = 0; calls < 100000; calls++) {
    struct sluice_tls_bytes in = place(length - at), plain = place(end->room), wire = place(end->room);
    if (in.length > 0) memcpy(in.at, bytes + at, in.length);
    int32_t status = sluice_tls_receive(end->tls, (uint32_t)end->connection, in, plain, wire);
    const int32_t *page = sluice_tls_page(end->tls);
    CHECK(page[SLUICE_TLS_CONSUMED] >= 0 && (size_t)page[SLUICE_TLS_CONSUMED] <= in.length);
    CHECK((size_t)page[SLUICE_TLS_PLAIN] <= plain.length);
    at += (size_t)page[SLUICE_TLS_CONSUMED];
    end->plain += (size_t)page[SLUICE_TLS_PLAIN];
    note(end, status, wire);
    free(in.at);
    free(plain.at);
    if ((status & (SLUICE_TLS_MORE_PLAIN | SLUICE_TLS_MORE_WIRE)) != 0) continue;
    if (at == length || (status & SLUICE_TLS_FAILED) != 0) return;
  }
  driver_fail(__FILE__, __LINE__, "the engine never has enough");
}

void end_send(struct end *end, size_t bytes) {
  if (end->connection < 0) return;
  for (int calls = 0; calls < 100000; calls++) {
    struct sluice_tls_bytes plain = place(bytes), wire = place(end->room);
    memset(plain.at, 'x', bytes);
    int32_t status = sluice_tls_send(end->tls, (uint32_t)end->connection, plain, wire);
    bytes -= (size_t)sluice_tls_page(end->tls)[SLUICE_TLS_CONSUMED];
    note(end, status, wire);
    free(plain.at);
    if ((status & SLUICE_TLS_MORE_WIRE) != 0) continue;
    // Behind close_notify nothing is taken.
    if (bytes == 0 || end->shut || (status & (SLUICE_TLS_FAILED | SLUICE_TLS_HANDSHAKING)) != 0) return;
  }
  driver_fail(__FILE__, __LINE__, "the engine never takes all");
}

void end_shutdown(struct end *end) {
  if (end->connection < 0) return;
  struct sluice_tls_bytes wire = place(end->room);
  end->shut = true;
  note(end, sluice_tls_shutdown(end->tls, (uint32_t)end->connection, wire), wire);
}

static bool pass(struct end *from, struct end *to, size_t piece) {
  static uint8_t bytes[sizeof from->wire];
  size_t length = from->wire_length;
  memcpy(bytes, from->wire, length);
  from->wire_length = 0;
  for (size_t at = 0; at < length; at += piece) end_receive(to, bytes + at, length - at < piece ? length - at : piece);
  return length > 0;
}

void ends_converse(struct end *client, struct end *server, size_t piece) {
  if ((client->status & SLUICE_TLS_HANDSHAKE_DONE) == 0) end_receive(client, NULL, 0);
  for (int turns = 0; turns < 1000; turns++) {
    bool there = pass(client, server, piece), back = pass(server, client, piece);
    if (!there && !back) return;
  }
  driver_fail(__FILE__, __LINE__, "the two never come to an end");
}
