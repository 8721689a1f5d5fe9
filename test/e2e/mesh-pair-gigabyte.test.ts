// A gigabyte each way through two Sluices by the opaque transport, every octet of it compared with what was sent.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { BLOCK_BYTES, slice } from '../support/content.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';
import { dial, listen, type TcpServer } from '../support/tcp.js';
import { FAR, Mesh, startFar, startNear, stopAll } from './mesh-support.js';

const BLOCKS = 1024;
const GIGABYTE = BLOCKS * BLOCK_BYTES;

/** Writes it, as fast as it is taken, and ends the direction. */
async function pour(socket: Socket, seed: number): Promise<void> {
  for (let block = 0; block < BLOCKS; block++) {
    if (!socket.write(slice(seed, block * BLOCK_BYTES, BLOCK_BYTES))) await once(socket, 'drain');
  }
  socket.end();
}

/** Reads until the direction ends; the octets that came as they should, up to the first that did not. */
function compare(socket: Socket, seed: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let at = 0;
    socket.on('data', (chunk: Buffer) => {
      for (let taken = 0; taken < chunk.length; ) {
        const within = at % BLOCK_BYTES;
        const length = Math.min(chunk.length - taken, BLOCK_BYTES - within);
        const wanted = slice(seed, at - within, BLOCK_BYTES);
        if (wanted.compare(chunk, taken, taken + length, within, within + length) !== 0) {
          reject(new Error(`other octets came behind ${at}`));
          socket.destroy();
          return;
        }
        at += length;
        taken += length;
      }
    });
    socket.once('end', () => resolve(at));
    socket.once('error', reject);
  });
}

// One of the pair on each executor, as it takes its time.
const executors = await availableExecutors();
const [nearIo, farIo = nearIo] = executors;

describe('a gigabyte each way through a pair of the mesh', () => {
  let mesh: Mesh;
  let server: TcpServer;
  let near: Sluice;
  let far: Sluice;

  before(async () => {
    mesh = await Mesh.make();
    server = await listen();
    const address = `127.0.0.1:${server.port}`;
    far = await startFar(mesh, farIo, { bytes: { address } });
    const endpoint = `identity: ${FAR}, proxy: { port: ${far.port('bytes')} }`;
    near = await startNear(mesh, nearIo, { bytes: { address, endpoint, service: 'protocol: opaque' } });
  });
  after(async () => {
    await stopAll();
    await server?.close();
    mesh?.remove();
  });

  it(`by the opaque transport, both at once (${nearIo}, ${farIo})`, async () => {
    const accepted = server.next();
    const client = await dial(near.port('bytes'));
    const peer = await accepted;
    const came = Promise.all([compare(peer, 7), compare(client, 8)]);
    await Promise.all([pour(client, 7), pour(peer, 8)]);
    assert.deepEqual(await came, [GIGABYTE, GIGABYTE]);
    assert.equal(await far.metric('sluice_transport_headers_total'), 1);
    assert.equal(await near.metric('sluice_tls_handshakes_total', { role: 'client' }), 1);
  });
});
