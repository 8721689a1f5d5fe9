// Two ends of TLS connections in one thread, and certificates for them.
#ifndef SLUICE_TLS_ENDS_H
#define SLUICE_TLS_ENDS_H

#include "../tls.h"
#include "driver.h"

// PEM texts: an authority, and two leaves of it, with their keys.
struct pki {
  char *anchor, *first_chain, *first_key, *second_chain, *second_key;
};
struct pki *pki_make(void);
void pki_free(struct pki *pki);

struct end {
  struct sluice_tls *tls;
  uint32_t context;
  int32_t connection;
  int32_t status;       // of all calls
  int32_t reason, verify, alert;
  size_t plain;         // bytes received
  bool shut;
  uint8_t wire[1 << 18];  // to be sent
  size_t wire_length;
  size_t room;          // of the places that are given
};

// Two contexts that suit each other: mutual TLS, several certificates, ALPN. 0 where one can't be made.
uint32_t server_context(struct sluice_tls *tls, const struct pki *pki, bool tickets);
uint32_t client_context(struct sluice_tls *tls, const struct pki *pki);

bool end_open(struct end *end, struct sluice_tls *tls, uint32_t context, const char *name, const char *expected);
void end_close(struct end *end);
void end_receive(struct end *end, const uint8_t *bytes, size_t length);
void end_send(struct end *end, size_t bytes);
void end_shutdown(struct end *end);
// Passes on what the ends write, in pieces, until neither writes any more.
void ends_converse(struct end *client, struct end *server, size_t piece);

#endif
