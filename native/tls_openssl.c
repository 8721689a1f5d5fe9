// Which OpenSSL is available, and its error messages.
#include "tls_openssl.h"

#include <stdio.h>
#include <string.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

#define ADDRESS(name) (const void *)name,
static bool is_complete(void) {
  const void *const addresses[] = {SLUICE_OPENSSL_SYMBOLS(ADDRESS)};
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    if (addresses[i] == NULL) return false;
  }
  return true;
}

// BoringSSL has most of the symbols, and reports version 1.1.1.
bool sluice_tls_usable(void) {
  static _Atomic int known;
  if (known == 0) known = is_complete() && OpenSSL_version_num() >= 0x30000000UL ? 1 : 2;
  return known == 1;
}

static const char *own_reason(int32_t reason) {
  switch (reason) {
    case SLUICE_TLS_NO_MEMORY:
      return "out of memory";
    case SLUICE_TLS_HELLO_TOO_LARGE:
      return "client hello too large";
    case SLUICE_TLS_EMPTY_RECORD:
      return "empty handshake record";
    case SLUICE_TLS_FLOODED:
      return "too many messages without payload";
    case SLUICE_TLS_OUTPUT_TOO_LARGE:
      return "handshake too large";
    case SLUICE_TLS_NO_CONNECTION:
      return "no such connection";
    default:
      return "";
  }
}

void sluice_tls_reason(int32_t reason, char text[SLUICE_TLS_MESSAGE]) {
  const char *known = NULL;
  text[0] = '\0';
  if (reason == 0) return;
  if (reason < 0) {
    known = own_reason(reason);
  } else if (sluice_tls_usable()) {
    unsigned long packed = (unsigned long)reason;
    known = ERR_reason_error_string(packed < 1 << ERR_LIB_OFFSET ? ERR_PACK(ERR_LIB_SSL, 0, packed) : packed);
  }
  if (known != NULL) snprintf(text, SLUICE_TLS_MESSAGE, "%s", known);
  else snprintf(text, SLUICE_TLS_MESSAGE, "error %d", reason);
}

const char *sluice_tls_verify_reason(int32_t verify) {
  return verify == 0 || !sluice_tls_usable() ? "" : X509_verify_cert_error_string(verify);
}

#endif
