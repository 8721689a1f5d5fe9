// The TLS functions of addon.c.
#ifndef SLUICE_TLS_CALL_H
#define SLUICE_TLS_CALL_H

#include "call.h"

#define TLS_FUNCTIONS 12
extern const struct function tls_functions[TLS_FUNCTIONS];
// The environment ends.
void tls_cleanup(struct thread *thread);

// addon.c: this thread's TLS, NULL until it is used, and its slab.
struct tls_thread;
struct tls_thread **tls_of(struct thread *thread);
uint8_t *slab_of(struct thread *thread, size_t *length);

#endif
