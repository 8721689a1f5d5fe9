// Wherever the network cuts the octets of a conversation, its outcome is the same: requests of a client, and responses of an endpoint.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  frame,
  MAGIC,
  PADDED,
  PRIORITY,
  padded,
  priorityFields,
  settingsPayload,
  u32,
} from '../support/h2-frames.js';
import { H2Peer, REQUEST } from '../support/h2-peer.js';
import { encodeBlock, indexed, literal, type Pair } from '../support/naive-hpack.js';
import { runs } from '../support/runs.js';
import { type Bench, onEachExecutor } from './http2-conformance-support.js';

const CONTENT = Buffer.from('0123456789abcdef'.repeat(40), 'latin1');
const half = CONTENT.length >> 1;

const head = (path: string, more: readonly Pair[] = []): Buffer =>
  encodeBlock([...REQUEST.map(([name, value]): Pair => [name, name === ':path' ? path : value]), ...more]);

/** Everything that a client says in one conversation of five requests. */
const ASKED = Buffer.concat([
  MAGIC,
  frame('SETTINGS', 0, 0, settingsPayload({ ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: 100_000 })),
  frame('WINDOW_UPDATE', 0, 0, u32(100_000)),
  // A head in pieces, one of them empty.
  frame('HEADERS', END_STREAM, 1, head('/ok').subarray(0, 3)),
  frame('CONTINUATION', 0, 1),
  frame('CONTINUATION', END_HEADERS, 1, head('/ok').subarray(3)),
  // Padding, priority, content in pieces, and the table.
  frame(
    'HEADERS',
    END_HEADERS | PADDED | PRIORITY,
    3,
    padded(Buffer.concat([priorityFields(), head('/echo'), literal('x-in', 'table', 'incremental')]), 9),
  ),
  frame('PING', 0, 0, Buffer.from('conversa')),
  frame('DATA', 0, 3, CONTENT.subarray(0, half)),
  frame(0x42, 0x42, 3, Buffer.from('unknown')),
  frame('DATA', PADDED, 3, padded(CONTENT.subarray(half), 33)),
  frame('DATA', END_STREAM, 3),
  // Trailers.
  frame('HEADERS', END_HEADERS, 5, Buffer.concat([head('/echo', [['te', 'trailers']]), indexed(62)])),
  frame('DATA', 0, 5, CONTENT),
  frame('HEADERS', END_HEADERS | END_STREAM, 5, literal('x-end', 'yes', 'plain', true)),
  frame('SETTINGS', ACK, 0),
  frame('PRIORITY', 0, 7, priorityFields(1)),
  // Malformed: content-length.
  frame('HEADERS', END_HEADERS, 9, head('/echo', [['content-length', '7']])),
  frame('DATA', END_STREAM, 9, Buffer.from('eight...')),
  frame('HEADERS', END_HEADERS | END_STREAM, 11, head('/ok')),
]);

/** Writes `octets`, cut at these positions. */
async function inPieces(peer: H2Peer, octets: Buffer, cuts: readonly number[]): Promise<void> {
  const positions = [...new Set(cuts)].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...positions, octets.length]) {
    if (to <= from) continue;
    await peer.written(octets.subarray(from, to));
    from = to;
    // Time for the other side to read what there is.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What became of the conversation, as text. */
async function conversation(on: Bench, cuts: readonly number[]): Promise<string> {
  const peer = await H2Peer.connect(on.port, { ackSettings: false, ackPings: false, credit: false });
  try {
    const outcome: string[] = [];
    await inPieces(peer, ASKED, cuts);
    for (const stream of [1, 3, 5, 9, 11]) {
      const { status, body, trailers, reset } = await peer.response(stream);
      // What was refused may have been answered in part already.
      outcome.push(
        stream === 9 ? `${reset ?? status}` : `${status} ${body.toString('latin1')} ${JSON.stringify(trailers)}`,
      );
    }
    const { payload } = await peer.expect('PING', { ack: true });
    outcome.push(payload.toString());
    return outcome.join('\n');
  } finally {
    peer.destroy();
  }
}

/** Everything that an endpoint says to a request on stream `id`. */
const answer = (id: number): Buffer =>
  Buffer.concat([
    frame(
      'HEADERS',
      END_HEADERS,
      id,
      encodeBlock([
        [':status', '103'],
        ['link', '</a>'],
      ]),
    ),
    frame('PING', 0, 0, Buffer.from('endpoint')),
    frame('HEADERS', 0, id, indexed(8)),
    frame('CONTINUATION', 0, id, literal('x-answer', 'split me', 'plain', true)),
    frame('CONTINUATION', END_HEADERS, id, literal('content-type', 'text/plain')),
    frame('DATA', 0, id, CONTENT.subarray(0, half)),
    frame('WINDOW_UPDATE', 0, id, u32(1000)),
    frame('DATA', PADDED, id, padded(CONTENT.subarray(half), 200)),
    frame('HEADERS', END_HEADERS | END_STREAM | PADDED, id, padded(literal('x-end', 'yes'), 3)),
    frame('WINDOW_UPDATE', 0, 0, u32(1000)),
  ]);

const seen = async (client: H2Peer, stream: number): Promise<string> => {
  const { status, interim, body, trailers, field } = await client.response(stream);
  return `${interim} ${status} ${field('x-answer')} ${body.toString('latin1')} ${trailers.map(({ name, value }) => name + value)}`;
};

await onEachExecutor('HTTP/2 split', {}, (bench) => {
  it('a conversation is the same wherever it is cut, from a client', async () => {
    const on = bench();
    const whole = await conversation(on, []);
    assert.match(whole, /^200 ok/);
    assert.match(whole, /conversa$/);
    assert.match(whole, /x-end/);
    // Every position where a frame begins or ends, and those beside it.
    const edges: number[] = [];
    for (let at = MAGIC.length; at < ASKED.length; at += 9 + ASKED.readUIntBE(at, 3)) {
      edges.push(at - 1, at, at + 1, at + 3, at + 8, at + 9, at + 10);
    }
    for (const at of edges) assert.equal(await conversation(on, [at]), whole, `cut at ${at}`);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: ASKED.length - 1 }), { minLength: 1, maxLength: 20 }),
        async (cuts) => {
          assert.equal(await conversation(on, cuts), whole);
        },
      ),
      { numRuns: runs(60) },
    );
  });

  it('octet by octet, from a client', async () => {
    const on = bench();
    const all = Array.from({ length: ASKED.length }, (_, i) => i);
    assert.equal(await conversation(on, all), await conversation(on, []));
  });

  it('a response is the same wherever it is cut, from an endpoint', () =>
    bench().play(async () => {
      const on = bench();
      const client = await on.client();
      const once = async (cuts: readonly number[]): Promise<string> => {
        const { asked, endpoint, arrived } = await on.exchange({ client });
        await inPieces(endpoint, answer(arrived), cuts);
        return seen(client, asked);
      };
      const whole = await once([]);
      assert.match(whole, /^103 200 split me 0123/);
      const { length } = answer(1);
      for (let at = 1; at < length; at += at < 200 ? 1 : 13) assert.equal(await once([at]), whole, `cut at ${at}`);
      assert.equal(await once(Array.from({ length }, (_, i) => i)), whole);
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: length - 1 }), { minLength: 1, maxLength: 20 }),
          async (cuts) => {
            assert.equal(await once(cuts), whole);
          },
        ),
        { numRuns: runs(60) },
      );
    }));
});
