// OpenSSL as exported by Node.js. Its symbols are weak: a Node.js without them, or with another library, still loads the module, and
// `sluice_tls_version` says so. The headers may be newer or older than the library: 3.0 and later keep their binary interface.
#ifndef SLUICE_TLS_OPENSSL_H
#define SLUICE_TLS_OPENSSL_H

#include "sys.h"

#if __has_include(<openssl/ssl.h>)
#define SLUICE_HAS_OPENSSL 1
#define OPENSSL_API_COMPAT 0x30000000L
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Calls that may fail go through these, so that the test build can make them fail: TRY then gives 0, TRY_NEW NULL. TRY_ZERO is for
// functions that return 0 on success, TRY_SIGN for those that are negative on failure.
#ifdef SLUICE_FAULTS
#define TRY_SIGN(call, ...) (sluice_fault(#call) ? -1 : call(__VA_ARGS__))
#define TRY_ZERO(call, ...) (sluice_fault(#call) ? 1 : call(__VA_ARGS__))
#define TRY(call, ...) (sluice_fault(#call) ? 0 : call(__VA_ARGS__))
#define TRY_NEW(call, ...) (sluice_fault(#call) ? NULL : call(__VA_ARGS__))
#else
#define TRY_SIGN(call, ...) call(__VA_ARGS__)
#define TRY_ZERO(call, ...) call(__VA_ARGS__)
#define TRY(call, ...) call(__VA_ARGS__)
#define TRY_NEW(call, ...) call(__VA_ARGS__)
#endif

// Every function that is called, including those called by macros and inline functions of the headers.
#define SLUICE_OPENSSL_SYMBOLS(each) \
  each(ASN1_STRING_get0_data) each(ASN1_STRING_length) each(BIO_clear_flags) each(BIO_free) each(BIO_get_data) \
  each(BIO_meth_free) each(BIO_meth_new) each(BIO_meth_set_create) each(BIO_meth_set_ctrl) each(BIO_meth_set_read) \
  each(BIO_meth_set_write) each(BIO_new) each(BIO_new_mem_buf) each(BIO_set_data) each(BIO_set_flags) each(BIO_set_init) \
  each(ERR_clear_error) each(ERR_error_string_n) each(ERR_peek_error) each(ERR_reason_error_string) each(EVP_CIPHER_CTX_ctrl) \
  each(EVP_CIPHER_CTX_free) each(EVP_CIPHER_CTX_new) each(EVP_CIPHER_fetch) each(EVP_CIPHER_free) each(EVP_CipherFinal_ex) \
  each(EVP_CipherInit_ex) each(EVP_CipherUpdate) each(EVP_Digest) each(EVP_DigestFinal_ex) each(EVP_DigestInit_ex) \
  each(EVP_DigestUpdate) each(EVP_MD_CTX_free) each(EVP_MD_CTX_new) each(EVP_MD_fetch) each(EVP_MD_free) each(EVP_PKEY_free) \
  each(EVP_sha256) each(EVP_sha384) each(GENERAL_NAMES_free) each(HMAC) each(OPENSSL_cleanse) each(OPENSSL_sk_new_null) \
  each(OPENSSL_sk_num) each(OPENSSL_sk_pop_free) each(OPENSSL_sk_push) each(OPENSSL_sk_value) each(OpenSSL_version) \
  each(OpenSSL_version_num) each(PEM_read_bio_PrivateKey) each(PEM_read_bio_X509) each(RAND_bytes) \
  each(SSL_CIPHER_get_protocol_id) each(SSL_CIPHER_standard_name) each(SSL_CTX_add_client_CA) each(SSL_CTX_ctrl) \
  each(SSL_CTX_free) each(SSL_CTX_get_cert_store) each(SSL_CTX_new) each(SSL_CTX_set_alpn_protos) \
  each(SSL_CTX_set_alpn_select_cb) each(SSL_CTX_set_cert_cb) each(SSL_CTX_set_cert_store) each(SSL_CTX_set_cert_verify_callback) \
  each(SSL_CTX_set_cipher_list) each(SSL_CTX_set_ciphersuites) each(SSL_CTX_set_info_callback) each(SSL_CTX_set_keylog_callback) \
  each(SSL_CTX_set_msg_callback) each(SSL_CTX_set_num_tickets) each(SSL_CTX_set_options) each(SSL_CTX_set_verify) \
  each(SSL_CTX_set_verify_depth) each(SSL_CTX_use_cert_and_key) each(SSL_SESSION_get_max_fragment_length) each(SSL_certs_clear) \
  each(SSL_ctrl) each(SSL_do_handshake) each(SSL_free) each(SSL_get0_alpn_selected) each(SSL_get1_peer_certificate) \
  each(SSL_get_current_cipher) each(SSL_get_error) each(SSL_get_ex_data) each(SSL_get_ex_data_X509_STORE_CTX_idx) \
  each(SSL_get_servername) each(SSL_get_session) each(SSL_get_version) each(SSL_group_to_name) each(SSL_has_pending) \
  each(SSL_key_update) each(SSL_new) each(SSL_pending) each(SSL_read_ex) each(SSL_session_reused) each(SSL_set_accept_state) \
  each(SSL_set_bio) each(SSL_set_connect_state) each(SSL_set_ex_data) each(SSL_shutdown) each(SSL_use_cert_and_key) \
  each(SSL_version) each(SSL_write_ex) each(TLS_client_method) each(TLS_server_method) each(X509_STORE_CTX_get0_cert) \
  each(X509_STORE_CTX_get_error) each(X509_STORE_CTX_get_ex_data) each(X509_STORE_CTX_set_error) each(X509_STORE_add_cert) \
  each(X509_STORE_free) each(X509_STORE_new) each(X509_STORE_set_default_paths) each(X509_STORE_set_flags) \
  each(X509_STORE_up_ref) each(X509_check_host) each(X509_check_ip_asc) each(X509_check_private_key) each(X509_digest) \
  each(X509_free) each(X509_get_ext_d2i) each(X509_verify_cert) each(X509_verify_cert_error_string)

#define SLUICE_PRAGMA(text) _Pragma(#text)
#define SLUICE_WEAK(name) SLUICE_PRAGMA(weak name)
SLUICE_OPENSSL_SYMBOLS(SLUICE_WEAK)
#endif

#endif
