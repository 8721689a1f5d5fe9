// A thread's contexts and connections, by number.
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls_internal.h"

#ifdef SLUICE_HAS_OPENSSL

// Pointers by number; a free entry is NULL and on the stack.
struct table {
  void **entries;
  uint32_t *free;
  uint32_t count, capacity, free_count;
};

struct sluice_tls {
  struct table contexts, connections;
  struct sluice_tls_trust *trusts;
  int32_t page[SLUICE_TLS_PAGE];
};

static bool table_add(struct table *table, void *entry, uint32_t *number) {
  if (table->free_count > 0) {
    *number = table->free[--table->free_count];
    table->entries[*number] = entry;
    return true;
  }
  if (table->count == table->capacity) {
    uint32_t capacity = table->capacity == 0 ? 16 : 2 * table->capacity;
    if (capacity > INT32_MAX / 2) return false;
    void **entries = SYS_ALLOC(realloc, table->entries, capacity * sizeof *entries);
    if (entries == NULL) return false;
    table->entries = entries;
    uint32_t *places = SYS_ALLOC(realloc, table->free, capacity * sizeof *places);
    if (places == NULL) return false;
    table->free = places;
    table->capacity = capacity;
  }
  *number = table->count++;
  table->entries[*number] = entry;
  return true;
}

static void *table_get(const struct table *table, uint32_t number) {
  return number < table->count ? table->entries[number] : NULL;
}

static void table_remove(struct table *table, uint32_t number) {
  table->entries[number] = NULL;
  table->free[table->free_count++] = number;
}

static void table_free(struct table *table) {
  free(table->entries);
  free(table->free);
}

const char *sluice_tls_version(void) { return sluice_tls_usable() ? OpenSSL_version(OPENSSL_VERSION) : ""; }

struct sluice_tls *sluice_tls_create(void) { return SYS_ALLOC(calloc, 1, sizeof(struct sluice_tls)); }

void sluice_tls_destroy(struct sluice_tls *tls) {
  if (tls == NULL) return;
  for (uint32_t i = 0; i < tls->connections.count; i++) {
    if (tls->connections.entries[i] != NULL) sluice_tls_connection_free(tls->connections.entries[i]);
  }
  for (uint32_t i = 0; i < tls->contexts.count; i++) {
    if (tls->contexts.entries[i] != NULL) sluice_tls_context_release(tls->contexts.entries[i]);
  }
  table_free(&tls->connections);
  table_free(&tls->contexts);
  free(tls);
}

int32_t *sluice_tls_page(struct sluice_tls *tls) { return tls->page; }

uint32_t sluice_tls_context(struct sluice_tls *tls, const struct sluice_tls_options *options,
                            char message[SLUICE_TLS_MESSAGE]) {
  if (!sluice_tls_usable()) {
    snprintf(message, SLUICE_TLS_MESSAGE, "this Node.js exports no OpenSSL 3");
    return 0;
  }
  struct sluice_tls_context *context = sluice_tls_context_make(&tls->trusts, options, message);
  uint32_t number = 0;
  if (context == NULL) return 0;
  if (table_add(&tls->contexts, context, &number)) return number + 1;
  snprintf(message, SLUICE_TLS_MESSAGE, "out of memory");
  sluice_tls_context_release(context);
  return 0;
}

void sluice_tls_context_free(struct sluice_tls *tls, uint32_t number) {
  struct sluice_tls_context *context = number == 0 ? NULL : table_get(&tls->contexts, number - 1);
  if (context == NULL) return;
  table_remove(&tls->contexts, number - 1);
  sluice_tls_context_release(context);
}

int32_t sluice_tls_open(struct sluice_tls *tls, uint32_t number, const char *server_name, const char *expected) {
  struct sluice_tls_context *context = number == 0 ? NULL : table_get(&tls->contexts, number - 1);
  if (context == NULL) return -EBADF;
  struct sluice_tls_connection *connection = sluice_tls_connection_make(context, server_name, expected);
  uint32_t place = 0;
  if (connection == NULL) return -ENOMEM;
  if (table_add(&tls->connections, connection, &place)) return (int32_t)place;
  sluice_tls_connection_free(connection);
  return -ENOMEM;
}

static int32_t no_connection(struct sluice_tls *tls) {
  memset(tls->page, 0, sizeof tls->page);
  tls->page[SLUICE_TLS_REASON] = SLUICE_TLS_NO_CONNECTION;
  return SLUICE_TLS_FAILED;
}

int32_t sluice_tls_receive(struct sluice_tls *tls, uint32_t number, struct sluice_tls_bytes in,
                           struct sluice_tls_bytes plain, struct sluice_tls_bytes wire) {
  struct sluice_tls_connection *connection = table_get(&tls->connections, number);
  return connection == NULL ? no_connection(tls) : sluice_tls_connection_receive(connection, in, plain, wire, tls->page);
}

int32_t sluice_tls_send(struct sluice_tls *tls, uint32_t number, struct sluice_tls_bytes plain,
                        struct sluice_tls_bytes wire) {
  struct sluice_tls_connection *connection = table_get(&tls->connections, number);
  return connection == NULL ? no_connection(tls) : sluice_tls_connection_send(connection, plain, wire, tls->page);
}

int32_t sluice_tls_shutdown(struct sluice_tls *tls, uint32_t number, struct sluice_tls_bytes wire) {
  struct sluice_tls_connection *connection = table_get(&tls->connections, number);
  return connection == NULL ? no_connection(tls) : sluice_tls_connection_shutdown(connection, wire, tls->page);
}

void sluice_tls_close(struct sluice_tls *tls, uint32_t number) {
  struct sluice_tls_connection *connection = table_get(&tls->connections, number);
  if (connection == NULL) return;
  table_remove(&tls->connections, number);
  sluice_tls_connection_free(connection);
}

bool sluice_tls_peer(struct sluice_tls *tls, uint32_t number, struct sluice_tls_peer *peer, sluice_tls_on_name *on_name,
                     void *data) {
  struct sluice_tls_connection *connection = table_get(&tls->connections, number);
  if (connection == NULL || !connection->done || connection->ssl == NULL) return false;
  sluice_tls_connection_peer(connection, peer, on_name, data);
  return true;
}

#endif
