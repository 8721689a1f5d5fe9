// `protocol: auto` before an endpoint that speaks both versions of HTTP: whoever comes first, everybody is served in his own version.
import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import WebSocket from 'ws';
import { type DualEndpoint, dualEndpoint } from '../support/dual-endpoint.js';
import { tearDown } from '../support/gateway.js';
import { GrpcClient } from '../support/grpc.js';
import { exchange } from '../support/http.js';
import { Http2Client, hangUp } from '../support/http2.js';
import { availableExecutors, type Executor, type Sluice, startSluice } from '../support/sluice.js';

afterEach(hangUp);
after(tearDown);

const HOST = '127.0.0.1';
const UNAVAILABLE = 14;
const POST = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello';

/** Ways to ask, by a letter. Each says what it got. */
const ASK: Readonly<Record<string, (port: number) => Promise<string>>> = {
  h: async (port) => (await exchange(port, 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')).body.toString(),
  b: async (port) => (await exchange(port, POST)).body.toString(),
  p: async (port) => {
    const client = await Http2Client.open(port);
    const { text } = await client.ask({ ':path': '/' });
    client.close();
    return text;
  },
  g: async (port) => {
    const client = new GrpcClient(port);
    const { status, messages } = await client.unary(Buffer.from('call'));
    client.close();
    return status.code === 0 ? String(messages[0]) : `${status.code} ${status.details}`;
  },
  w: (port) =>
    new Promise((resolve) => {
      const socket = new WebSocket(`ws://${HOST}:${port}/`);
      socket.on('error', (error) => resolve(error.message));
      socket.on('open', () => socket.send('frame'));
      socket.on('message', (message) => {
        resolve(message.toString());
        socket.close();
      });
    }),
};
const GETS: Readonly<Record<string, string>> = {
  h: 'by HTTP/1',
  b: 'by HTTP/1',
  p: 'by HTTP/2',
  g: 'call',
  w: 'frame',
};

const orders = (letters: string): string[] =>
  letters.length < 2
    ? [letters]
    : [...letters].flatMap((first, i) =>
        orders(letters.slice(0, i) + letters.slice(i + 1)).map((rest) => first + rest),
      );

/** A Sluice with a service of its own for each name, all of them at the same endpoint: each service learns for itself. */
async function services(io: Executor, names: readonly string[], address: string): Promise<Sluice> {
  return startSluice(
    [
      'drain: { hold: 0 }',
      'workers: 1',
      'listeners:',
      ...names.map((name) => `  - { name: ${name}, listen: "${HOST}:0", service: ${name} }`),
      'services:',
      ...names.map((name) => `  ${name}: { endpoints: ["${address}"] }`),
      '',
    ].join('\n'),
    io,
  );
}

async function before(
  io: Executor,
  names: readonly string[],
  run: (sluice: Sluice, endpoint: DualEndpoint) => Promise<void>,
): Promise<void> {
  const endpoint = await dualEndpoint();
  const sluice = await services(io, names, endpoint.address);
  try {
    await run(sluice, endpoint);
  } finally {
    hangUp();
    await sluice.stop();
    await endpoint.close();
  }
}

for (const io of await availableExecutors()) {
  describe(`an endpoint of both versions on ${io}`, () => {
    const sequences = ['hgghg', 'ghwgw', 'gwgwh', 'wgwgp', 'bgbwp', 'pwhgb', ...orders('hpgw')];

    it(`serves everybody in his own version, in ${sequences.length} orders`, () =>
      before(io, sequences, async (sluice) => {
        for (const sequence of sequences) {
          const got: string[] = [];
          for (const letter of sequence) got.push(await (ASK[letter]?.(sluice.port(sequence)) ?? 'nobody'));
          assert.deepEqual(
            got,
            [...sequence].map((letter) => GETS[letter]),
            sequence,
          );
        }
      }));

    it('serves everybody at once, before anything is known', () =>
      before(io, ['web'], async (sluice) => {
        const letters = [...'hbpgw'.repeat(8)];
        const got = await Promise.all(letters.map((letter) => ASK[letter]?.(sluice.port('web'))));
        assert.deepEqual(
          got,
          letters.map((letter) => GETS[letter]),
        );
        for (const protocol of ['http1', 'http2'])
          assert.equal(await sluice.metric('sluice_endpoint_protocol', { protocol }), 1, protocol);
      }));

    it('is not misread for a while in which it ended connections of one version without a word', () =>
      before(io, ['web'], async (sluice, endpoint) => {
        const port = sluice.port('web');
        endpoint.speaks.http2 = false;
        // Translated, since nothing better is known; a call waits for better times.
        assert.equal(await ASK.p?.(port), 'by HTTP/1');
        assert.match((await ASK.g?.(port)) ?? '', new RegExp(`^${UNAVAILABLE} `));
        endpoint.speaks.http2 = true;
        assert.equal(await ASK.g?.(port), 'call');
        assert.equal(await ASK.p?.(port), 'by HTTP/2');
        assert.equal(await ASK.h?.(port), 'by HTTP/1');
      }));

    it('that speaks HTTP/1 alone gets no gRPC: another endpoint does, or the caller hears UNAVAILABLE', () =>
      before(io, ['web'], async (sluice, endpoint) => {
        endpoint.speaks.http2 = false;
        endpoint.refuse = (socket) => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
        const port = sluice.port('web');
        assert.equal(await ASK.h?.(port), 'by HTTP/1');
        assert.equal(await ASK.g?.(port), `${UNAVAILABLE} sluice: http2-refused`);
        assert.equal(await ASK.p?.(port), 'by HTTP/1');
        assert.equal(await ASK.h?.(port), 'by HTTP/1');
        assert.equal(await sluice.metric('sluice_proxy_response_total', { reason: 'http2-refused' }), 1);
        assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
      }));
  });
}
