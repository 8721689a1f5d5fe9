// The tests of endpoints that refuse connections rest on this: a dead port stays dead while other tests ask for ports.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadPort, listen, refuses } from '../support/tcp.js';

test('a dead port refuses connections and goes to no other listener', async () => {
  const port = await deadPort();
  await assert.rejects(listen(undefined, port), { code: 'EADDRINUSE' });
  assert.equal(await refuses(port), true);
});
