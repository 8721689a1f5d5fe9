// Results of a handshake.
#include <stdio.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c; }

static void tell_names(X509 *leaf, sluice_tls_on_name *on_name, void *data) {
  GENERAL_NAMES *names = TRY_NEW(X509_get_ext_d2i, leaf, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; names != NULL && i < OPENSSL_sk_num((const OPENSSL_STACK *)names); i++) {
    const GENERAL_NAME *name = OPENSSL_sk_value((const OPENSSL_STACK *)names, i);
    size_t length = 0;
    if (name->type != GEN_DNS && name->type != GEN_URI) continue;
    const char *text = sluice_tls_text(name->d.ia5, &length);
    char host[256];
    if (text == NULL || (name->type == GEN_DNS && length > sizeof host)) continue;
    if (name->type == GEN_DNS) {
      for (size_t at = 0; at < length; at++) host[at] = lower(text[at]);
      text = host;
    }
    on_name(data, text, length);
  }
  GENERAL_NAMES_free(names);
}

void sluice_tls_connection_peer(struct sluice_tls_connection *connection, struct sluice_tls_peer *peer,
                                sluice_tls_on_name *on_name, void *data) {
  SSL *ssl = connection->ssl;
  connection->told = true;
  memset(peer, 0, sizeof *peer);
  ERR_clear_error();
  peer->version = SSL_get_version(ssl);
  // OpenSSL 3.0 returns 0 if no group was used.
  int group = (int)SSL_get_negotiated_group(ssl);
  const char *name = group == 0 ? NULL : SSL_group_to_name(ssl, group);
  peer->group = name == NULL ? "" : name;
  const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
  peer->cipher = cipher == NULL ? "" : SSL_CIPHER_standard_name(cipher);
  const unsigned char *alpn = NULL;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &length);
  if (length < sizeof peer->alpn && length > 0) memcpy(peer->alpn, alpn, length);
  const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  for (size_t i = 0; host != NULL && host[i] != '\0' && i < sizeof peer->server_name - 1; i++) {
    peer->server_name[i] = lower(host[i]);
  }
  peer->resumed = SSL_session_reused(ssl) == 1;
  X509 *leaf = SSL_get1_peer_certificate(ssl);
  if (leaf != NULL) tell_names(leaf, on_name, data);
  X509_free(leaf);
  ERR_clear_error();
}

#endif
