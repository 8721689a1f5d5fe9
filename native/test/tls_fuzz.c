// Octets of a conversation, changed on their way: whatever comes, the engine neither crashes nor leaks, goes on or fails, and no payload
// arrives that was not sent.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls_ends.h"

#define SECONDS 4

static struct end client, server;
static uint64_t state;

static uint32_t dice(uint32_t sides) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % sides;
}

// Changes `bytes` a little, or a lot; returns the new length.
static size_t change(uint8_t *bytes, size_t length, size_t capacity) {
  size_t at = length == 0 ? 0 : dice((uint32_t)length);
  switch (dice(8)) {
    case 0:
      if (length > 0) bytes[at] ^= (uint8_t)(1u << dice(8));
      return length;
    case 1:
      if (length > 0) bytes[at] = (uint8_t)dice(256);
      return length;
    case 2:
      return at;
    case 3:  // a part is missing
      if (length > at + 1) memmove(bytes + at, bytes + at + 1, length - at - 1);
      return length == 0 ? 0 : length - 1;
    case 4: {  // a record of our own in front: any type, any length, any octets
      size_t size = dice(40), all = size + 5;
      if (length + all > capacity) return length;
      memmove(bytes + all, bytes, length);
      const uint8_t header[5] = {(uint8_t)(19 + dice(6)), 3, (uint8_t)dice(5), (uint8_t)(dice(20) == 0 ? dice(256) : 0), (uint8_t)size};
      memcpy(bytes, header, sizeof header);
      for (size_t i = 0; i < size; i++) bytes[5 + i] = (uint8_t)(dice(3) == 0 ? dice(256) : dice(4));
      return length + all;
    }
    case 5:  // twice
      if (2 * length > capacity) return length;
      memcpy(bytes + length, bytes, length);
      return 2 * length;
    case 6:  // the lengths of records and messages
      if (length > 9) bytes[3 + dice(6)] = (uint8_t)(dice(2) == 0 ? dice(256) : dice(2));
      return length;
    default:
      for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)dice(256);
      return length;
  }
}

static void pass(struct end *from, struct end *to, bool changed) {
  static uint8_t bytes[2 * sizeof from->wire];
  size_t length = from->wire_length;
  memcpy(bytes, from->wire, length);
  from->wire_length = 0;
  if (changed) length = change(bytes, length, sizeof bytes);
  size_t piece = dice(3) == 0 ? 1 + dice(100) : 1 + dice(20000);
  for (size_t at = 0; at < length; at += piece) end_receive(to, bytes + at, length - at < piece ? length - at : piece);
}

static void conversation(struct sluice_tls *tls, uint32_t asked, uint32_t served) {
  size_t sent = 0;
  CHECK(end_open(&client, tls, asked, "first.test", "first.test") && end_open(&server, tls, served, NULL, NULL));
  if (dice(3) == 0) client.room = server.room = 100 + dice(2000);
  uint32_t when = dice(8);
  end_receive(&client, NULL, 0);
  for (uint32_t turn = 0; turn < 8; turn++) {
    pass(&client, &server, turn == when && dice(2) == 0);
    pass(&server, &client, turn == when);
    if (turn > 1 && dice(2) == 0) {
      size_t size = dice(20000);
      if (!client.shut) sent += size;
      end_send(&client, size);
    }
    if (turn > 4 && dice(4) == 0) end_shutdown(dice(2) == 0 ? &client : &server);
  }
  CHECK(server.plain <= sent && client.plain == 0);
  end_close(&client);
  end_close(&server);
}

int main(int count, char **arguments) {
  struct pki *pki = pki_make();
  struct sluice_tls *tls = sluice_tls_create();
  uint32_t strict = server_context(tls, pki, false), lenient = server_context(tls, pki, true), asked = client_context(tls, pki);
  uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 10) : (uint64_t)time(NULL);
  int rounds = 0;
  for (time_t end = time(NULL) + SECONDS; time(NULL) < end && rounds < 100000; rounds++) {
    state = seed + (uint64_t)rounds;
    conversation(tls, asked, rounds % 2 == 0 ? strict : lenient);
  }
  printf("tls: %d conversations with changed octets, seed %llu\n", rounds, (unsigned long long)seed);
  sluice_tls_destroy(tls);
  pki_free(pki);
  return 0;
}
