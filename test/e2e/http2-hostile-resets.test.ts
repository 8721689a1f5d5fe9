// Streams that are opened to be thrown away: rapid reset (CVE-2023-44487), resets that we are provoked into (CVE-2025-8671), and
// more streams than were allowed.
import assert from 'node:assert/strict';
import { END_HEADERS, END_STREAM, frame, u32 } from '../support/h2-frames.js';
import { type H2Peer, REQUEST } from '../support/h2-peer.js';
import { encodeBlock, literal, type Pair } from '../support/naive-hpack.js';
import { type Attack, declareAttacks, floodUntilCalm } from './http2-hostile-support.js';

/** Heads of requests that the endpoint leaves open. */
const HELD = encodeBlock(REQUEST.map(([name, value]): Pair => [name, name === ':path' ? '/held' : value]));
const MAX = 2 ** 31 - 1;

/** Opens a stream and has it reset; `play` says what follows its head, which ends the request if `ended`. */
const provoking = (
  name: string,
  ended: boolean,
  play: (id: number) => readonly Uint8Array[],
  more: Uint8Array = Buffer.alloc(0),
): Attack => ({
  name: `resets provoked by ${name}`,
  limit: 'h2-provoked-resets',
  play: async (on) => {
    const client = await on.client();
    const before = on.endpoint.requests;
    await floodUntilCalm(client, () => {
      const id = take(client);
      const flags = ended ? END_HEADERS | END_STREAM : END_HEADERS;
      return Buffer.concat([frame('HEADERS', flags, id, Buffer.concat([HELD, more])), ...play(id)]);
    });
    // A hundred are borne, and those that were on their way.
    assert.ok(client.counts.get('RST_STREAM') ?? 0 <= 200);
    assert.ok(on.endpoint.requests - before < 1000, `${on.endpoint.requests - before} requests at the endpoint`);
  },
});

function take(client: H2Peer): number {
  const id = client.next;
  client.skipTo(id + 2);
  return id;
}

const ATTACKS: readonly Attack[] = [
  {
    name: 'rapid reset',
    limit: 'h2-resets',
    play: async (on) => {
      const client = await on.client();
      const before = on.endpoint.requests;
      await floodUntilCalm(client, () =>
        Buffer.concat(
          Array.from({ length: 20 }, () => {
            const id = take(client);
            return Buffer.concat([
              frame('HEADERS', END_HEADERS | END_STREAM, id, HELD),
              frame('RST_STREAM', 0, id, u32(8)),
            ]);
          }),
        ),
      );
      assert.ok(on.endpoint.requests - before < 3000, `${on.endpoint.requests - before} requests at the endpoint`);
    },
  },
  {
    name: 'rapid reset of requests with bodies',
    limit: 'h2-resets',
    play: async (on) => {
      const client = await on.client();
      await floodUntilCalm(client, () =>
        Buffer.concat(
          Array.from({ length: 20 }, () => {
            const id = take(client);
            return Buffer.concat([
              frame('HEADERS', END_HEADERS, id, HELD),
              frame('DATA', 0, id, Buffer.alloc(100)),
              frame('RST_STREAM', 0, id, u32(8)),
            ]);
          }),
        ),
      );
    },
  },
  {
    name: 'a client that cancels one of three is served',
    limit: null,
    play: async (on) => {
      const client = await on.client();
      for (let i = 0; i < 600; i++) {
        const cancelled = client.request({ ':path': '/held' });
        client.reset(cancelled);
        const responses = [client.response(client.request()), client.response(client.request())];
        for (const { status } of await Promise.all(responses)) assert.equal(status, 200);
      }
      await client.sync();
    },
  },
  provoking('WINDOW_UPDATE of 0', true, (id) => [frame('WINDOW_UPDATE', 0, id, u32(0))]),
  provoking('a window above 2^31-1', true, (id) => [frame('WINDOW_UPDATE', 0, id, u32(MAX))]),
  provoking('DATA after END_STREAM', true, (id) => [frame('DATA', 0, id, Buffer.from('more'))]),
  provoking('END_STREAM after END_STREAM', true, (id) => [frame('DATA', END_STREAM, id)]),
  provoking('HEADERS after END_STREAM', true, (id) => [
    frame('HEADERS', END_HEADERS | END_STREAM, id, literal('x-end', 'again')),
  ]),
  provoking('PRIORITY of four octets', true, (id) => [frame('PRIORITY', 0, id, Buffer.alloc(4))]),
  provoking('trailers without END_STREAM', false, (id) => [frame('HEADERS', END_HEADERS, id, literal('x-end', 'no'))]),
  provoking(
    'more than content-length',
    false,
    (id) => [frame('DATA', 0, id, Buffer.from('much too much'))],
    literal('content-length', '3'),
  ),
  provoking('malformed requests', true, () => [], literal('Upper-Case', 'x')),
  {
    name: 'more streams than allowed',
    limit: 'h2-streams',
    play: async (on) => {
      const client = await on.client();
      const allowed = client.theirs.get(3) ?? 0;
      assert.equal(allowed, 128);
      const before = on.endpoint.requests;
      await floodUntilCalm(client, () => frame('HEADERS', END_HEADERS | END_STREAM, take(client), HELD));
      assert.ok(on.endpoint.requests - before <= allowed, `${on.endpoint.requests - before} requests at the endpoint`);
      for (const { code } of client.arrived('RST_STREAM')) assert.equal(code, 'REFUSED_STREAM');
    },
  },
];

await declareAttacks('HTTP/2 resets', {}, ATTACKS);
