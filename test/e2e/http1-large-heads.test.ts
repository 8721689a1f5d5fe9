// Heads of HTTP/1 that are larger than a buffer, as they come on the wire: in one segment with what goes before and behind, in pieces of any
// size, from many who never finish.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type Gateway, settled, startEdge, startGateway } from '../support/gateway.js';
import { answering, client, exchange, inChunks, OK, type Upstream, upstream, type Wire } from '../support/http.js';
import { availableExecutors, eventually, plainSockets, type Sluice } from '../support/sluice.js';

const BUFFER = 16_384;
const KiB = 1024;
/** Without the few octets that can end a head. */
const long = (length: number): string =>
  'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(length / 36 + 1).slice(0, length);
const get = (path: string, length: number): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nX-Long: ${long(length)}\r\n\r\n`;
/** Tells what has come. */
const telling = answering((request) => {
  const text = `${request.target} ${request.field('x-long')?.length ?? 0} ${request.body.length}`;
  return `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
});
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function dribble(wire: Wire, octets: Buffer, size: number): Promise<void> {
  for (let at = 0; at < octets.length; at += size) {
    await wire.sent(octets.subarray(at, at + size));
    await turn();
  }
}

for (const io of await availableExecutors()) {
  describe(`HTTP/1: large heads on ${io}`, () => {
    const origins: Upstream[] = [];
    after(async () => {
      for (const origin of origins) await origin.close();
    });

    async function against(
      setup: Gateway & { readonly origin?: Parameters<typeof upstream>[0] },
      play: (sluice: Sluice, origin: Upstream) => Promise<void>,
    ): Promise<void> {
      const origin = await upstream(setup.origin ?? telling);
      origins.push(origin);
      const sluice = await startEdge(io, [origin.address], setup);
      try {
        await play(sluice, origin);
        await settled(sluice);
      } finally {
        await sluice.stop();
      }
    }

    it('pipelined behind each other, with bodies, in one write', () =>
      against({}, async (sluice) => {
        const wire = await client(sluice.port('edge'));
        const post = (path: string, length: number, body: string): string =>
          `POST ${path} HTTP/1.1\r\nHost: a\r\nX-Long: ${long(length)}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
        const chunked = `POST /4 HTTP/1.1\r\nHost: a\r\nX-Long: ${long(40_000)}\r\nTransfer-Encoding: chunked\r\n\r\n`;
        wire.write(
          Buffer.concat([
            Buffer.from(get('/1', 40_000) + get('/2', 10) + post('/3', 30_000, long(100))),
            Buffer.from(chunked),
            inChunks(Buffer.from(long(50_000)), 3000, `x-trailer: ${long(30_000)}\r\n`),
            Buffer.from(post('/5', 20_000, long(100_000)) + get('/6', 60_000) + get('/7', 0)),
          ]),
        );
        const expected = ['/1 40000 0', '/2 10 0', '/3 30000 100', '/4 40000 50000', '/5 20000 100000', '/6 60000 0'];
        for (const text of [...expected, '/7 0 0']) assert.equal((await wire.message()).body.toString(), text);
        wire.destroy();
      }));

    it('in pieces of any size, each direction', () =>
      against(
        {
          origin: async (wire) => {
            for (const size of [7000, 1000, 97]) {
              await wire.message();
              const interim = `HTTP/1.1 103 Early Hints\r\nLink: ${long(20_000)}\r\n\r\n`;
              const head = `HTTP/1.1 200 OK\r\nX-Long: ${long(50_000)}\r\nTransfer-Encoding: chunked\r\n\r\n`;
              const body = inChunks(Buffer.from('some text'), 4, `x-trailer: ${long(30_000)}\r\n`);
              await dribble(wire, Buffer.concat([Buffer.from(interim + head), body]), size);
            }
          },
        },
        async (sluice) => {
          const wire = await client(sluice.port('edge'));
          for (const size of [7000, 1000, 97]) {
            await dribble(wire, Buffer.from(get('/', 40_000)), size);
            assert.equal((await wire.message()).status, 103);
            const { status, body, field, trailers } = await wire.message();
            assert.deepEqual([status, body.toString()], [200, 'some text']);
            assert.equal(field('x-long'), long(50_000));
            assert.equal(trailers[0]?.[1], long(30_000));
          }
          wire.destroy();
        },
      ));

    it('as the first thing that is said where the protocol is detected', () =>
      against({ listener: 'detect' }, async (sluice) => {
        for (const size of [16_384, 999]) {
          const wire = await client(sluice.port('edge'));
          await dribble(wire, Buffer.from(get('/', 50_000)), size);
          assert.equal((await wire.message()).body.toString(), '/ 50000 0');
          wire.destroy();
        }
      }));

    it('with the blank line cut at the end of a buffer', () =>
      against({}, async (sluice) => {
        for (let cut = 0; cut < 6; cut++) {
          const wire = await client(sluice.port('edge'));
          const octets = Buffer.from(get('/', 40_000));
          await wire.sent(octets.subarray(0, octets.length - cut));
          await turn();
          await wire.sent(octets.subarray(octets.length - cut));
          assert.equal((await wire.message()).body.toString(), '/ 40000 0');
          wire.destroy();
        }
      }));

    it('that break the rules behind the first buffer', () =>
      against({}, async (sluice, origin) => {
        const begin = `GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${long(20_000)}\r\n`;
        for (const rest of [
          'Host: b\r\n\r\n',
          'bad name: x\r\n\r\n',
          'A: b\n\n',
          'Content-Length: 1\r\nContent-Length: 1\r\n\r\n',
        ]) {
          const before = origin.received;
          assert.equal((await exchange(sluice.port('edge'), begin + rest)).status, 400, rest);
          assert.equal(origin.received, before);
        }
      }));

    it('beyond the limit are 431, also where the client is still sending, and its answer arrives', () =>
      against({}, async (sluice) => {
        const wire = await client(sluice.port('edge'));
        wire.write(get('/', 500_000));
        const { status, field } = await wire.message();
        assert.deepEqual([status, field('sluice-error')], [431, 'header-too-large']);
        assert.equal(await wire.closed(), 'fin');
        wire.destroy();
        assert.ok((await sluice.metric('sluice_limit_total', { limit: 'header-bytes' })) >= 1);
      }));

    it('of a response beyond the limit are 502 for whoever asked, and for nobody else', () =>
      against(
        {
          origin: answering(({ target }) =>
            target === '/large' ? `HTTP/1.1 200 OK\r\nX-Long: ${long(70_000)}\r\ncontent-length: 0\r\n\r\n` : OK,
          ),
          service: '    breaker: { failures: 2 }',
        },
        async (sluice) => {
          for (let i = 0; i < 5; i++) {
            const { status, field } = await exchange(sluice.port('edge'), get('/large', 0));
            assert.deepEqual([status, field('sluice-error')], [502, 'header-too-large']);
            assert.equal((await exchange(sluice.port('edge'), get('/', 0))).status, 200);
          }
        },
      ));

    it('of responses that are not read: a client gets no more answers than it has room for, and all of them once it reads', {
      skip: !plainSockets,
    }, async () => {
      const head = `HTTP/1.1 200 OK\r\nX-Long: ${long(50_000)}\r\ncontent-length: 0\r\n\r\n`;
      const origin = await upstream(answering(({ target }) => (target === '/' ? head : OK)));
      origins.push(origin);
      const top = 'limits: { slab: 8MiB, maxBuffered: 256KiB }';
      const sluice = await startGateway(io, [origin.address], { top, speaks: 'http1', listener: 'http1' });
      try {
        const deaf = await client(sluice.port('edge'));
        deaf.socket.pause();
        const requests = 600;
        for (let i = 0; i < requests; i++) await deaf.sent(get('/', 0));
        let asked = -1;
        // Until nothing moves any more.
        await eventually(async () => {
          const before = asked;
          asked = await sluice.metric('sluice_service_requests_total', { service: 'web' });
          return asked > 0 && asked === before;
        }, 'the client is held back');
        assert.ok(asked < requests, `${asked} requests are answered`);
        for (let i = 0; i < 20; i++)
          assert.equal((await exchange(sluice.port('edge'), get('/other', 40_000))).status, 200);
        deaf.socket.resume();
        for (let i = 0; i < requests; i++) assert.equal((await deaf.message()).field('x-long')?.length, 50_000);
        deaf.destroy();
        await settled(sluice);
      } finally {
        await sluice.stop();
      }
    });

    it('of many who never finish leave room for the rest', { skip: !plainSockets }, async () => {
      const origin = await upstream(answering(() => OK));
      origins.push(origin);
      // 512 buffers.
      const top = 'limits: { slab: 8MiB, http1: { maxHeaderBytes: 256KiB }, http2: { maxHeaderBytes: 256KiB } }';
      const sluice = await startGateway(io, [origin.address], { top, speaks: 'http1', listener: 'http1' });
      try {
        const slow: Wire[] = [];
        const begin = Buffer.from(get('/', 200 * KiB).slice(0, 200 * KiB));
        for (let i = 0; i < 60; i++) {
          const wire = await client(sluice.port('edge'));
          slow.push(wire);
          await wire.sent(begin);
        }
        await eventually(
          async () => (await sluice.metric('sluice_limit_total', { limit: 'slab' })) > 0,
          'some are refused',
        );
        let free = 0;
        // They are counted once in a while.
        const enough = async (): Promise<boolean> => {
          free = await sluice.metric('sluice_slab_free_buffers');
          return free > 100;
        };
        await eventually(enough, 'buffers are free').catch(() => assert.fail(`${free} buffers are free`));
        for (let i = 0; i < 20; i++) {
          // A head that fits in a buffer is as good as ever.
          assert.equal((await exchange(sluice.port('edge'), get('/', BUFFER - 2000))).status, 200);
        }
        const refused = slow.filter(({ text }) => text.startsWith('HTTP/1.1 503'));
        assert.ok(
          refused.length > 0 && refused.length < slow.length,
          `${refused.length} of ${slow.length} are refused`,
        );
        for (const wire of slow) wire.destroy();
        await settled(sluice);
        assert.equal((await exchange(sluice.port('edge'), get('/', 200 * KiB))).status, 200);
        await settled(sluice);
      } finally {
        await sluice.stop();
      }
    });
  });
}
