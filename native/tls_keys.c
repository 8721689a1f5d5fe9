// The keys of one direction of TLS 1.3 (RFC 8446 7.3) and its records (5.2), with OpenSSL's ciphers.
#include <stdlib.h>

#include "tls_records.h"

#ifdef SLUICE_HAS_OPENSSL

#define TAG 16
#define KEY_MAX 32
#define BLOCK_MAX 128
#define INFO_MAX 32

static const struct suite {
  const char *name, *digest;
  uint32_t key_length, secret_length, block_length;
} suites[] = {{"AES-128-GCM", "SHA2-256", 16, 32, 64},
              {"AES-256-GCM", "SHA2-384", 32, 48, 128},
              {"ChaCha20-Poly1305", "SHA2-256", 32, 32, 64}};
#define FIRST_SUITE 0x1301
#define SUITES (sizeof suites / sizeof *suites)

// Shared by all threads until the process ends: looking them up each time would cost more than the keys.
static _Atomic(EVP_CIPHER *) ciphers[SUITES];
static _Atomic(EVP_MD *) digests[SUITES];

static const EVP_CIPHER *the_cipher(uint32_t suite) {
  EVP_CIPHER *found = ciphers[suite], *none = NULL;
  if (found != NULL) return found;
  found = TRY_NEW(EVP_CIPHER_fetch, NULL, suites[suite].name, NULL);
  if (found == NULL || atomic_compare_exchange_strong(&ciphers[suite], &none, found)) return found;
  EVP_CIPHER_free(found);
  return none;
}

static const EVP_MD *the_digest(uint32_t suite) {
  EVP_MD *found = digests[suite], *none = NULL;
  if (found != NULL) return found;
  found = TRY_NEW(EVP_MD_fetch, NULL, suites[suite].digest, NULL);
  if (found == NULL || atomic_compare_exchange_strong(&digests[suite], &none, found)) return found;
  EVP_MD_free(found);
  return none;
}

// RFC 2104, for keys shorter than a block: setting up OpenSSL's own takes ten times as long.
static bool hmac(const struct sluice_tls_direction *direction, const uint8_t *text, size_t length, uint8_t *into) {
  const struct suite *suite = &suites[direction->suite];
  uint8_t inner[BLOCK_MAX + INFO_MAX], outer[BLOCK_MAX + EVP_MAX_MD_SIZE];
  const EVP_MD *digest = the_digest(direction->suite);
  for (uint32_t i = 0; i < suite->block_length; i++) {
    uint8_t octet = i < suite->secret_length ? direction->secret[i] : 0;
    inner[i] = octet ^ 0x36;
    outer[i] = octet ^ 0x5c;
  }
  memcpy(inner + suite->block_length, text, length);
  bool made = digest != NULL &&
              TRY(EVP_Digest, inner, suite->block_length + length, outer + suite->block_length, NULL, digest, NULL) == 1 &&
              TRY(EVP_Digest, outer, suite->block_length + suite->secret_length, into, NULL, digest, NULL) == 1;
  OPENSSL_cleanse(inner, sizeof inner);
  OPENSSL_cleanse(outer, sizeof outer);
  return made;
}

// HKDF-Expand-Label with an empty context, for at most the length of the digest.
static bool expand(const struct sluice_tls_direction *direction, const char *label, uint8_t *into, uint32_t length) {
  uint8_t info[INFO_MAX] = {0, (uint8_t)length, (uint8_t)(strlen(label) + 6), 't', 'l', 's', '1', '3', ' '};
  uint8_t out[EVP_MAX_MD_SIZE];
  size_t used = 9 + strlen(label);
  memcpy(info + 9, label, strlen(label));
  info[used++] = 0;
  info[used++] = 1;
  bool made = hmac(direction, info, used, out);
  if (made) memcpy(into, out, length);
  OPENSSL_cleanse(out, sizeof out);
  return made;
}

static bool derive(struct sluice_tls_direction *direction) {
  uint8_t key[KEY_MAX];
  const EVP_CIPHER *cipher = the_cipher(direction->suite);
  if (cipher == NULL || !expand(direction, "key", key, suites[direction->suite].key_length)) return false;
  direction->sequence = 0;
  bool made = expand(direction, "iv", direction->iv, sizeof direction->iv) &&
              TRY(EVP_CipherInit_ex, direction->cipher, cipher, NULL, key, NULL, direction->seals) == 1;
  OPENSSL_cleanse(key, sizeof key);
  return made;
}

bool sluice_tls_direction_begin(struct sluice_tls_direction *direction, uint32_t protocol_id, bool seals) {
  if (protocol_id < FIRST_SUITE || protocol_id >= FIRST_SUITE + SUITES) return false;
  direction->suite = (uint8_t)(protocol_id - FIRST_SUITE);
  direction->seals = seals;
  if (direction->secret_length != suites[direction->suite].secret_length) return false;
  direction->cipher = TRY_NEW(EVP_CIPHER_CTX_new);
  return direction->cipher != NULL && derive(direction);
}

bool sluice_tls_direction_update(struct sluice_tls_direction *direction) {
  // Half an update would leave the old key with sequence numbers already used: nothing is sealed or opened any more then.
  direction->broken = !expand(direction, "traffic upd", direction->secret, direction->secret_length) || !derive(direction);
  return !direction->broken;
}

static bool begin_record(struct sluice_tls_direction *direction, const uint8_t header[RECORD_HEADER]) {
  uint8_t nonce[sizeof direction->iv];
  int length;
  if (direction->broken) return false;
  memcpy(nonce, direction->iv, sizeof nonce);
  for (int i = 0; i < 8; i++) nonce[sizeof nonce - 1 - (size_t)i] ^= (uint8_t)(direction->sequence >> (8 * i));
  direction->sequence++;
  return TRY(EVP_CipherInit_ex, direction->cipher, NULL, NULL, NULL, nonce, -1) == 1 &&
         TRY(EVP_CipherUpdate, direction->cipher, NULL, &length, header, RECORD_HEADER) == 1;
}

size_t sluice_tls_seal(struct sluice_tls_direction *direction, uint8_t type, const uint8_t *payload, size_t length, uint8_t *into) {
  size_t inner = length + 1 + TAG;
  const uint8_t header[RECORD_HEADER] = {23, 3, 3, (uint8_t)(inner >> 8), (uint8_t)inner};
  uint8_t *at = into + RECORD_HEADER;
  int written, last;
  memcpy(into, header, sizeof header);
  if (!begin_record(direction, header) ||
      TRY(EVP_CipherUpdate, direction->cipher, at, &written, payload, (int)length) != 1 ||
      TRY(EVP_CipherUpdate, direction->cipher, at + length, &last, &type, 1) != 1 ||
      TRY(EVP_CipherFinal_ex, direction->cipher, at + length + 1, &last) != 1 ||
      TRY(EVP_CIPHER_CTX_ctrl, direction->cipher, EVP_CTRL_AEAD_GET_TAG, TAG, at + length + 1) != 1) {
    return 0;
  }
  return RECORD_HEADER + inner;
}

// The record and its destination both have two parts; the cipher processes them one after the other.
bool sluice_tls_open_record(struct sluice_tls_direction *direction, const uint8_t header[RECORD_HEADER],
                            struct sluice_tls_bytes from[2], struct sluice_tls_bytes into[2]) {
  uint8_t tag[TAG];
  size_t inner = into[0].length + into[1].length, in = 0, out = 0;
  if (!begin_record(direction, header)) return false;
  for (size_t done = 0; done < inner;) {
    while (from[0].length == in) {
      from[0] = from[1];
      from[1].length = 0;
      in = 0;
    }
    struct sluice_tls_bytes *place = out < into[0].length ? &into[0] : &into[1];
    size_t at = place == &into[0] ? out : out - into[0].length;
    size_t n = least(least(from[0].length - in, place->length - at), inner - done);
    int written;
    if (TRY(EVP_CipherUpdate, direction->cipher, place->at + at, &written, from[0].at + in, (int)n) != 1) return false;
    in += n;
    out += n;
    done += n;
  }
  for (size_t i = 0; i < TAG; i++) {
    if (from[0].length == in) {
      from[0] = from[1];
      in = 0;
    }
    tag[i] = from[0].at[in++];
  }
  int last;
  uint8_t none[TAG];
  return TRY(EVP_CIPHER_CTX_ctrl, direction->cipher, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
         TRY(EVP_CipherFinal_ex, direction->cipher, none, &last) == 1;
}

void sluice_tls_direction_end(struct sluice_tls_direction *direction) {
  EVP_CIPHER_CTX_free(direction->cipher);
  OPENSSL_cleanse(direction, sizeof *direction);
}

#endif
