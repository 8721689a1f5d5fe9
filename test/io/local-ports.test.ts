import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { lowestLocalPort } from '../../src/io/local-ports.js';
import { listen } from '../support/tcp.js';

test('the kernel gives no port below the lowest to a connection', async () => {
  const server = await listen();
  const client = connect(server.port, '127.0.0.1');
  const { remotePort } = await server.next();
  assert.ok(Number(remotePort) >= lowestLocalPort());
  assert.ok(lowestLocalPort() > 0);
  client.destroy();
  await server.close();
});

test('where the range is unknown, no port that needs no privilege is ruled out', () => {
  assert.equal(lowestLocalPort('/proc/nothing'), 1024);
  assert.equal(lowestLocalPort('/proc/self/comm'), 1024);
});
