// Header blocks made to cost: bombs that unfold, tables that are turned over, blocks that never end.
import assert from 'node:assert/strict';
import { END_HEADERS, END_STREAM, frame, MAGIC } from '../support/h2-frames.js';
import { H2Peer, REQUEST } from '../support/h2-peer.js';
import { encodeBlock, indexed, integer, literal, type Pair, sizeUpdate } from '../support/naive-hpack.js';
import { type Attack, declareAttacks } from './http2-hostile-support.js';

const GET = encodeBlock(REQUEST);
const times = (count: number, octets: Uint8Array): Buffer => Buffer.concat(Array.from({ length: count }, () => octets));

/** Sends a request with `block` behind the usual head; resolves with the status, 0 for a stream that was reset. */
async function ask(client: H2Peer, block: Uint8Array): Promise<number> {
  const id = client.next;
  client.skipTo(id + 2);
  client.block(id, Buffer.concat([GET, block]), END_STREAM);
  return (await client.response(id)).status;
}

const ATTACKS: readonly Attack[] = [
  {
    name: 'an HPACK bomb',
    limit: 'h2-header-bytes',
    play: async (on) => {
      const client = await on.client();
      const before = on.endpoint.requests;
      assert.equal(await ask(client, literal('x-bomb', 'b'.repeat(3900), 'incremental')), 200);
      // 12 KiB on the wire, 48 MiB unfolded.
      for (let i = 0; i < 50; i++) assert.ok([0, 431].includes(await ask(client, times(12_000, indexed(62)))));
      assert.equal(await ask(client, Buffer.alloc(0)), 200);
      assert.equal(on.endpoint.requests, before + 2);
    },
  },
  {
    name: 'an HPACK bomb of nothing: ever so many empty fields',
    limit: 'h2-header-bytes',
    play: async (on) => {
      const client = await on.client();
      for (let i = 0; i < 20; i++) assert.ok([0, 431].includes(await ask(client, times(4000, literal('x', '')))));
      assert.equal(await ask(client, Buffer.alloc(0)), 200);
    },
  },
  {
    name: 'an HPACK bomb in trailers',
    limit: 'h2-header-bytes',
    play: async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
      const bomb = Buffer.concat([literal('x-bomb', 'b'.repeat(3900), 'incremental'), times(1000, indexed(62))]);
      client.frame('HEADERS', END_HEADERS | END_STREAM, asked, bomb);
      const { status, reset } = await client.response(asked);
      assert.ok(status === 431 || reset !== null, `${status}`);
      await endpoint.expect('RST_STREAM', { stream: arrived });
      assert.equal(await ask(client, Buffer.alloc(0)), 200);
    },
  },
  {
    name: 'an HPACK bomb in a response',
    limit: 'h2-header-bytes',
    play: async (on) => {
      const client = await on.client();
      for (let i = 0; i < 10; i++) {
        const { asked, endpoint, arrived } = await on.exchange({ client });
        const bomb = Buffer.concat([
          indexed(8),
          literal('x-bomb', 'b'.repeat(3900), 'incremental'),
          times(5000, indexed(62)),
        ]);
        endpoint.frame('HEADERS', END_HEADERS | END_STREAM, arrived, bomb);
        const { status, reset } = await client.response(asked);
        assert.ok(status === 502 || reset !== null, `${status}`);
      }
    },
  },
  {
    name: 'a table that is turned over with each request',
    limit: null,
    play: async (on) => {
      const client = await on.client();
      for (let i = 0; i < 300; i++) {
        const fields = Array.from({ length: 20 }, (_, k) =>
          literal(`x-${i}-${k}`, `value ${i} ${k} `.padEnd(180, 'v').trim(), 'incremental'),
        );
        const block = Buffer.concat(fields);
        // Twice: what is seen again may be remembered.
        assert.equal(await ask(client, block), 200);
        assert.equal(await ask(client, block), 200);
      }
    },
  },
  {
    name: 'a table that is emptied and filled with each request',
    limit: null,
    play: async (on) => {
      const client = await on.client();
      const fill = times(100, literal('x', 'y', 'incremental'));
      for (let i = 0; i < 200; i++) {
        const id = client.next;
        client.skipTo(id + 2);
        const updates = Buffer.concat([sizeUpdate(0), sizeUpdate(4096)]);
        client.frame('HEADERS', END_HEADERS | END_STREAM, id, Buffer.concat([updates, GET, fill]));
        assert.equal((await client.response(id)).status, 200);
      }
    },
  },
  {
    name: 'fields by the thousand',
    limit: 'h2-header-bytes',
    play: async (on) => {
      const client = await on.client();
      for (let i = 0; i < 20; i++) assert.ok([0, 431].includes(await ask(client, times(4000, indexed(16)))));
    },
  },
  {
    name: 'a string that is said to be larger than any',
    limit: null,
    play: async (on) => {
      for (const length of [2 ** 20, 2 ** 28, 2 ** 31 - 1]) {
        const client = await on.client();
        const block = Buffer.concat([GET, Buffer.from([0x00, 0x01, 0x61]), integer(length, 7), Buffer.alloc(100)]);
        client.frame('HEADERS', END_HEADERS | END_STREAM, 1, block);
        await client.expect('GOAWAY', { code: 'COMPRESSION_ERROR' });
      }
    },
  },
  {
    name: 'a header block that dribbles',
    limit: 'h2-header-time',
    play: async (on) => {
      const client = await on.client();
      client.frame('HEADERS', END_STREAM, 1, GET);
      await client.expect('GOAWAY', { code: 'ENHANCE_YOUR_CALM' });
      await client.closed();
    },
  },
  {
    name: 'a frame that never ends',
    limit: 'h2-header-time',
    play: async (on) => {
      const { client, asked } = await on.exchange({ body: 'open' });
      client.write(frame('HEADERS', END_HEADERS | END_STREAM, asked, literal('x-end', 'soon')).subarray(0, 12));
      await client.expect('GOAWAY', { code: 'ENHANCE_YOUR_CALM' });
      await client.closed();
    },
  },
  {
    name: 'a preface that never ends',
    limit: 'h2-header-time',
    play: async (on) => {
      const peer = await H2Peer.connect(on.port, { ackSettings: false });
      peer.write(MAGIC.subarray(0, 20));
      await peer.closed();
      peer.destroy();
    },
  },
  {
    name: 'a preface without SETTINGS',
    limit: 'h2-header-time',
    play: async (on) => {
      const peer = await H2Peer.connect(on.port, { ackSettings: false });
      peer.preface();
      await peer.closed();
      peer.destroy();
    },
  },
  {
    name: 'requests that are too large, one after the other',
    limit: 'h2-header-bytes',
    play: async (on) => {
      const client = await on.client();
      const large = encodeBlock(Array.from({ length: 75 }, (_, i): Pair => [`x-${i}`, 'z'.repeat(1000)]));
      for (let i = 0; i < 200; i++) assert.ok([0, 431].includes(await ask(client, large)));
      assert.equal(await ask(client, Buffer.alloc(0)), 200);
    },
  },
];

await declareAttacks('HTTP/2 header blocks', { limits: 'headerTimeout: 300ms, bodyTimeout: 500ms' }, ATTACKS);
