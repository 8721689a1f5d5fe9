// Bodies both ways: every framing and size, whole or not at all, at the reader's pace.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import { settled, startEdge } from '../support/gateway.js';
import { client, metrics, OK, type Upstream, upstream, type Wire } from '../support/http.js';
import { availableExecutors, eventually, plainSockets, type Sluice } from '../support/sluice.js';

const MiB = 1024 * 1024;
const block = randomBytes(MiB);
const bigChunk = Buffer.concat([Buffer.from('100000\r\n'), block, Buffer.from('\r\n')]);
const sha = (data: Uint8Array): string => createHash('sha1').update(data).digest('hex');
const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;

/** `length` bytes that are the same every time. */
function bytesOf(length: number): Buffer {
  if (length <= MiB) return block.subarray(0, length);
  return Buffer.concat([
    ...Array.from({ length: Math.floor(length / MiB) }, () => block),
    block.subarray(0, length % MiB),
  ]);
}

async function drained(wire: Wire): Promise<void> {
  if (wire.socket.writableNeedDrain) await once(wire.socket, 'drain');
}

/** Writes in pieces of random size. */
async function dribble(wire: Wire, data: Buffer): Promise<void> {
  for (let at = 0; at < data.length; ) {
    const to = Math.min(data.length, at + 1 + Math.floor(Math.random() * 90_000));
    wire.write(data.subarray(at, to));
    at = to;
    await drained(wire);
    if (Math.random() < 0.3) await new Promise((resolve) => setImmediate(resolve));
  }
}

function chunked(data: Buffer, trailer = ''): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < data.length; ) {
    const to = Math.min(data.length, at + 1 + Math.floor(Math.random() * 60_000));
    parts.push(Buffer.from(`${(to - at).toString(16)}\r\n`), data.subarray(at, to), Buffer.from('\r\n'));
    at = to;
  }
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailer}\r\n`)]);
}

for (const io of await availableExecutors()) {
  describe(`HTTP/1 bodies by hand on ${io}`, () => {
    let origin: Upstream;
    let sluice: Sluice;

    before(async () => {
      origin = await upstream();
      sluice = await startEdge(io, [origin.address], {
        service: '    pool: { idleTimeout: 50ms }\n    breaker: { failures: 0 }',
      });
    });
    afterEach(async () => {
      await settled(sluice);
      await eventually(async () => (await metrics(sluice))('sluice_endpoint_pool_idle') === 0, 'an empty pool');
    });
    after(async () => {
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    it('serves the next request on the same connections after a spliced body', async () => {
      const data = bytesOf(2 * MiB);
      origin.script(async (side) => {
        for (;;) {
          const { target, body } = await side.message();
          side.write(`HTTP/1.1 200 OK\r\ncontent-length: ${target === '/big' ? data.length : body.length}\r\n\r\n`);
          if (target === '/big') await dribble(side, data);
          else side.write(body);
        }
      });
      // A pool of its own: that of the other tests forgets a connection sooner than a busy machine hashes a body.
      const own = await startEdge(io, [origin.address]);
      const first = origin.connections.length;
      const wire = await client(own.port('edge'));
      for (let i = 0; i < 3; i++) {
        wire.write(get('/big'));
        assert.equal(sha((await wire.message()).body), sha(data));
        wire.write(`POST /echo HTTP/1.1\r\nHost: a\r\ncontent-length: ${data.length}\r\n\r\n`);
        await dribble(wire, data);
        assert.equal(sha((await wire.message()).body), sha(data));
        wire.write(`POST /echo HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\n\r\nabc`);
        assert.equal((await wire.message()).body.toString(), 'abc');
      }
      assert.equal(origin.connections.length - first, 1);
      if (plainSockets) assert.ok((await metrics(own))('sluice_spliced_bytes_total') > 6 * MiB);
      wire.destroy();
      assert.equal(await own.stop(), 0);
    });

    it('takes a request that follows a spliced body in the same segments', async () => {
      const data = bytesOf(MiB);
      origin.script(async (side) => {
        for (;;) {
          const { body } = await side.message();
          const hash = sha(body);
          side.write(`HTTP/1.1 200 OK\r\ncontent-length: ${hash.length}\r\n\r\n${hash}`);
        }
      });
      const wire = await client(sluice.port('edge'));
      const head = `POST /echo HTTP/1.1\r\nHost: a\r\ncontent-length: ${data.length}\r\n\r\n`;
      await dribble(wire, Buffer.concat(Array.from({ length: 4 }, () => [Buffer.from(head), data]).flat()));
      for (let i = 0; i < 4; i++) assert.equal((await wire.message()).body.toString(), sha(data));
      wire.destroy();
    });

    it('carries trailers both ways, without those that may not be any', async () => {
      const data = bytesOf(70_000);
      origin.script(async (side) => {
        const message = await side.message();
        assert.deepEqual(message.trailers, [['X-Sum', '1']]);
        assert.equal(sha(message.body), sha(data));
        side.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n');
        await dribble(side, chunked(data, 'X-T: yes\r\nContent-Length: 7\r\n'));
      });
      const wire = await client(sluice.port('edge'));
      wire.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
      await dribble(wire, chunked(data, 'X-Sum: 1\r\nTransfer-Encoding: chunked\r\n'));
      const response = await wire.message();
      assert.equal(sha(response.body), sha(data));
      assert.deepEqual(response.trailers, [['X-T', 'yes']]);
      wire.destroy();
    });

    it('reads a response that is split at every byte', async () => {
      const text =
        'HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;e=f\r\npedia\r\n0\r\nX-T: 1\r\n\r\n';
      origin.script(async (side) => {
        for (;;) {
          const { target } = await side.message();
          const at = Number(target.slice(1));
          await side.sent(text.slice(0, at));
          await new Promise((resolve) => setImmediate(resolve));
          side.write(text.slice(at));
        }
      });
      await Promise.all(
        Array.from({ length: 4 }, async (_, lane) => {
          const wire = await client(sluice.port('edge'));
          for (let at = 1 + lane; at < text.length; at += 4) {
            wire.write(get(`/${at}`));
            assert.equal((await wire.message()).status, 103);
            const response = await wire.message();
            assert.equal(response.field('x-a'), 'b');
            assert.equal(response.body.toString(), 'wikipedia', `split at ${at}`);
            assert.deepEqual(response.trailers, [['X-T', '1']]);
          }
          wire.destroy();
        }),
      );
    });

    it('reads a large response head that arrives in pieces, with a body right behind it', async () => {
      const data = bytesOf(40_000);
      const head = `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789abcdef\r\n'.repeat(120)}Content-Length: ${data.length}\r\n\r\n`;
      let cut = 0;
      origin.script(async (side) => {
        for (;;) {
          await side.message();
          const all = Buffer.concat([Buffer.from(head), data]);
          await side.sent(all.subarray(0, cut));
          await new Promise((resolve) => setTimeout(resolve, 5));
          side.write(all.subarray(cut));
        }
      });
      const wire = await client(sluice.port('edge'));
      for (cut of [1, 100, head.length - 1, head.length, head.length + 1, head.length + 30_000]) {
        wire.write(get('/'));
        const response = await wire.message();
        assert.equal(sha(response.body), sha(data));
        assert.equal(response.fields.length, 121);
      }
      wire.destroy();
    });

    /** What a client of `version` sees of a response that its endpoint cuts off with `how`. */
    async function truncated(
      version: string,
      response: string,
      how: 'fin' | 'reset',
      fields = '',
    ): Promise<{ text: string; end: string }> {
      origin.script(async (side) => {
        await side.message();
        await side.sent(response);
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (how === 'fin') side.fin();
        else side.reset();
      });
      const wire = await client(sluice.port('edge'));
      wire.write(`GET / HTTP/${version}\r\nHost: a\r\n${fields}\r\n`);
      const end = await wire.closed();
      wire.destroy();
      return { text: wire.text, end };
    }

    it('never lets a truncated body look complete', async () => {
      for (const how of ['fin', 'reset'] as const) {
        const length = await truncated('1.1', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart', how);
        assert.match(length.text, /content-length: 100\r\n\r\npart$/);
        const chunks = await truncated(
          '1.1',
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n',
          how,
        );
        assert.match(chunks.text, /4\r\npart\r\n$/);
        const trailer = await truncated(
          '1.1',
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\nX: 1\r\n',
          how,
        );
        assert.match(trailer.text, /4\r\npart\r\n$/);
        // A body that ends with the connection can only be cut off by a reset.
        const old = await truncated('1.0', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n', how);
        assert.equal(old.end, 'reset');
      }
      const close = await truncated('1.1', 'HTTP/1.1 200 OK\r\n\r\npart', 'reset');
      assert.doesNotMatch(close.text, /0\r\n\r\n$/);
      const oldClose = await truncated('1.0', 'HTTP/1.1 200 OK\r\n\r\npart', 'reset');
      assert.equal(oldClose.end, 'reset');
      const big = await truncated(
        '1.1',
        `HTTP/1.1 200 OK\r\nContent-Length: ${8 * MiB}\r\n\r\n${'x'.repeat(MiB)}`,
        'fin',
      );
      assert.ok(big.text.length > MiB && big.text.length < 8 * MiB);
    });

    it('answers 502 where the response head is cut off or makes no sense', async () => {
      for (const [response, reason] of [
        ['', 'upstream-reset'],
        ['HTTP/1.1 200 OK\r\nContent-Le', 'upstream-reset'],
        ['nonsense\r\n\r\n', 'upstream-protocol'],
        ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 'upstream-protocol'],
        ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 'upstream-protocol'],
        ['HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', 'upstream-protocol'],
        ['HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n', 'upstream-protocol'],
        [`HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(5000)}\r\n`, 'header-too-large'],
      ] as const) {
        // An answer of the proxy's own keeps a connection that is clean.
        const { text } = await truncated('1.1', response, 'fin', 'Connection: close\r\n');
        assert.match(text, /^HTTP\/1.1 502 /, response.slice(0, 60));
        assert.match(text, new RegExp(`sluice-error: ${reason}\r\n`), response.slice(0, 60));
      }
    });

    it('drops what follows a response, and the connection with it', async () => {
      origin.script(async (side) => {
        await side.message();
        side.write(`${OK}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`);
      });
      const before = origin.connections.length;
      const wire = await client(sluice.port('edge'));
      for (let i = 0; i < 3; i++) {
        wire.write(get('/'));
        assert.equal((await wire.message()).body.toString(), 'ok');
      }
      assert.equal(origin.connections.length - before, 3);
      wire.destroy();
    });

    it('passes on a response that comes before the request is complete, and reads the rest of it', async () => {
      for (const ending of ['fin', 'reset', 'stay'] as const) {
        origin.script(async (side) => {
          await side.until(() => side.text.includes('\r\n\r\n'), 'a head');
          await side.sent('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig');
          if (ending === 'fin') side.fin();
          if (ending === 'reset') {
            await new Promise((resolve) => setTimeout(resolve, 30));
            side.reset();
          }
        });
        const wire = await client(sluice.port('edge'));
        wire.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${64 * MiB}\r\n\r\n`);
        for (let i = 0; i < 8; i++) wire.write(block.subarray(0, 65_536));
        const response = await wire.message();
        assert.equal(response.status, 413);
        assert.equal(response.field('connection'), 'close');
        assert.equal(response.body.toString(), 'big');
        wire.destroy();
        await settled(sluice);
      }
    });

    it('does not use the endpoint connection again after the client left in the middle of a body', async () => {
      let whole = 0;
      origin.script(async (side) => {
        for (;;) {
          const { target } = await side.message();
          whole++;
          if (target === '/slow') {
            side.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n');
            for (let i = 0; i < 50 && side.end === undefined; i++) {
              side.write('some');
              await new Promise((resolve) => setTimeout(resolve, 5));
            }
          } else side.write(OK);
        }
      });
      const first = origin.connections.length;
      const sender = await client(sluice.port('edge'));
      await sender.sent('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345');
      await eventually(() => (origin.connections[first]?.total ?? 0) > 0, 'half a request');
      sender.destroy();
      await (await origin.connection(first)).closed();
      assert.equal(whole, 0);
      const reader = await client(sluice.port('edge'));
      reader.write(get('/slow'));
      await reader.until(() => reader.text.includes('some'), 'some body');
      reader.reset();
      await (await origin.connection(first + 1)).closed();
    });

    it('holds a bounded amount for a slow reader, and goes on when it reads', async () => {
      const size = 48 * MiB;
      let written = 0;
      for (const framing of ['length', 'chunked'] as const) {
        origin.script(async (side) => {
          await side.message();
          side.write(
            `HTTP/1.1 200 OK\r\nConnection: close\r\n${framing === 'length' ? `Content-Length: ${size}` : 'Transfer-Encoding: chunked'}\r\n\r\n`,
          );
          for (written = 0; written < size; written += MiB) {
            side.write(framing === 'length' ? block : bigChunk);
            await drained(side);
          }
          if (framing === 'chunked') side.write('0\r\n\r\n');
        });
        const wire = await client(sluice.port('edge'));
        wire.socket.pause();
        wire.write(get('/'));
        let last = -1;
        await eventually(async () => {
          const stands = written === last && written > 0;
          last = written;
          await new Promise((resolve) => setTimeout(resolve, 300));
          return stands;
        }, 'the endpoint held back');
        assert.ok(written < size, 'not everything is taken');
        const value = await metrics(sluice);
        const held = value('sluice_slab_buffers') - value('sluice_slab_free_buffers');
        assert.ok(held < 128, `${held} buffers held`);
        wire.socket.resume();
        assert.equal((await wire.message()).body.length, size);
        wire.destroy();
      }
    });

    it('holds a bounded amount for a slow endpoint, and goes on when it reads', async () => {
      const size = 48 * MiB;
      for (const framing of ['length', 'chunked'] as const) {
        origin.script(async (side) => {
          side.socket.pause();
          await new Promise<void>((resolve) => {
            resume = () => {
              side.socket.resume();
              resolve();
            };
          });
          const { body } = await side.message();
          side.write(`HTTP/1.1 200 OK\r\nconnection: close\r\nx-size: ${body.length}\r\ncontent-length: 0\r\n\r\n`);
        });
        let resume: () => void = () => undefined;
        const wire = await client(sluice.port('edge'));
        wire.write(
          `POST / HTTP/1.1\r\nHost: a\r\n${framing === 'length' ? `Content-Length: ${size}` : 'Transfer-Encoding: chunked'}\r\n\r\n`,
        );
        let sent = 0;
        const sending = (async () => {
          for (; sent < size; sent += MiB) {
            wire.write(framing === 'length' ? block : bigChunk);
            await drained(wire);
          }
          if (framing === 'chunked') wire.write('0\r\n\r\n');
        })();
        let last = -1;
        await eventually(async () => {
          const stands = sent === last && sent > 0;
          last = sent;
          await new Promise((resolve) => setTimeout(resolve, 300));
          return stands;
        }, 'the client held back');
        const value = await metrics(sluice);
        const held = value('sluice_slab_buffers') - value('sluice_slab_free_buffers');
        assert.ok(held < 128, `${held} buffers held`);
        resume();
        await sending;
        assert.equal((await wire.message()).field('x-size'), String(size));
        wire.destroy();
      }
    });
  });
}
