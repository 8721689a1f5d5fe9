// Every call into OpenSSL that may fail, and every allocation, fails once: the engine says so, leaks nothing, and what it said before
// holds.
#include <stdio.h>

#include "faults.h"
#include "tls_ends.h"

#define EVERYTHING 1000000

static struct end client, server;
static bool was_light;

static void names(void *data, const char *name, size_t length) {
  (void)name;
  *(size_t *)data += length;
}

// Returns whether everything worked.
static bool scenario(const struct pki *pki, const char *name, const char *expected, bool tickets, size_t room,
                     size_t piece) {
  struct sluice_tls *tls = sluice_tls_create();
  if (tls == NULL) return false;
  uint32_t served = server_context(tls, pki, tickets), asked = client_context(tls, pki);
  bool near = end_open(&client, tls, asked, name, expected), far = end_open(&server, tls, served, NULL, NULL);
  client.room = server.room = room;
  // Connections live on without their contexts' numbers.
  sluice_tls_context_free(tls, served);
  sluice_tls_context_free(tls, asked);
  size_t octets = 0;
  bool light = false;
  struct sluice_tls_peer peer;
  if (near && far) {
    ends_converse(&client, &server, piece);
    sluice_tls_peer(tls, (uint32_t)client.connection, &peer, names, &octets);
    sluice_tls_peer(tls, (uint32_t)server.connection, &peer, names, &octets);
    end_send(&client, 40000);
    end_send(&server, 10);
    // OpenSSL's connections have been freed: the records are ours.
    light = !sluice_tls_peer(tls, (uint32_t)client.connection, &peer, names, &octets) &&
            !sluice_tls_peer(tls, (uint32_t)server.connection, &peer, names, &octets);
    ends_converse(&client, &server, piece);
    end_shutdown(&client);
    ends_converse(&client, &server, piece);
    end_send(&server, 20000);
    end_shutdown(&server);
    ends_converse(&client, &server, piece);
  }
  bool all = near && far && server.plain == 40000 && client.plain == 20010 && octets > 0 &&
             (client.status & server.status & SLUICE_TLS_END) != 0 &&
             ((client.status | server.status) & SLUICE_TLS_FAILED) == 0;
  was_light = light;
  // Half of the connections are closed here, half with everything else.
  if (piece % 2 == 0) end_close(&client);
  sluice_tls_destroy(tls);
  return all;
}

static int with_every_fault(const struct pki *pki, const char *name, bool tickets, size_t room, size_t piece) {
  fault_plan(0, 0);
  CHECK(scenario(pki, name, name, tickets, room, piece));
  CHECK(was_light);
  int calls = fault_count(), failures = 0;
  for (int at = 1; at <= calls; at++) {
    fault_plan(at, 0);
    if (!scenario(pki, name, name, tickets, room, piece)) failures++;
  }
  fault_plan(0, 0);
  return failures;
}

struct asked {
  const char *name, *expected;
};

static void names_are_compared(const struct pki *pki) {
  const struct asked right[] = {
      {"FIRST.test", "First.Test"},   {"a.wild.test", "a.wild.test"},         {"second.test", "127.0.0.1"},
      {NULL, "spiffe://test/first"},  {"none.test", "SPIFFE://TEST/first"},   {"127.0.0.1", "first.test"},
      {"a.b.wild.test", NULL},        {"wild.test", "first.test"},            {".wild.test", "first.test"},
  };
  const struct asked wrong[] = {
      {NULL, "third.test"},           {"a.wild.test", "a.b.wild.test"},       {"a.wild.test", "wild.test"},
      {NULL, "spiffe://test/First"},  {NULL, "spiffe://test/first/"},         {NULL, "spiffe://test"},
      {NULL, "127.0.0.1"},            {"second.test", "127.0.0.2"},           {"second.test", "first.test"},
      {NULL, "first"},                {NULL, "first.test.test"},              {NULL, ""},
      {NULL, "spiffe://"},            {"second.test", "spiffe://test/first"}, {NULL, "root"},
  };
  for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
    CHECK(scenario(pki, right[i].name, right[i].expected, false, 16384, EVERYTHING));
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    CHECK(!scenario(pki, wrong[i].name, wrong[i].expected, false, 16384, EVERYTHING));
    CHECK(client.verify == 62 && (client.alert == 42 + SLUICE_TLS_ALERT_SENT) && server.alert == 42);
  }
}

int main(void) {
  struct pki *pki = pki_make();
  int failures = with_every_fault(pki, "first.test", false, 16384, EVERYTHING);
  failures += with_every_fault(pki, "x.wild.test", true, 400, 1000);
  names_are_compared(pki);
  printf("tls: %d injected failures\n", failures);
  pki_free(pki);
  return 0;
}
