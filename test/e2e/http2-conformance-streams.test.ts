// RFC 9113 sections 3.4, 5.1, 5.4, 6.4 and 6.8: how connections begin and end, and what streams may be open between.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ACK, END_HEADERS, END_STREAM, frame, MAGIC, u32 } from '../support/h2-frames.js';
import { H2Peer, REQUEST } from '../support/h2-peer.js';
import { encodeBlock, literal } from '../support/naive-hpack.js';
import { type Bench, onEachExecutor } from './http2-conformance-support.js';

const GET = encodeBlock(REQUEST);

/** A connection of a client that has said nothing yet. */
async function silent(on: Bench, play: (peer: H2Peer) => Promise<void>): Promise<void> {
  const peer = await H2Peer.connect(on.port);
  try {
    await play(peer);
  } finally {
    peer.destroy();
  }
}

/** Ends with GOAWAY or, where section 3.4 leaves it out, without; and nothing has reached the endpoint. */
async function turnedAway(on: Bench, octets: Uint8Array): Promise<void> {
  const before = on.endpoint.requests;
  await silent(on, async (peer) => {
    peer.write(octets);
    await peer.closed();
    for (const { code } of peer.arrived('GOAWAY')) assert.equal(code, 'PROTOCOL_ERROR');
  });
  assert.equal(on.endpoint.requests, before);
}

const SETTINGS_FIRST: readonly (readonly [what: string, octets: Buffer])[] = [
  ['HEADERS', frame('HEADERS', END_HEADERS | END_STREAM, 1, GET)],
  ['PING', frame('PING', 0, 0, Buffer.alloc(8))],
  ['an acknowledgement', frame('SETTINGS', ACK, 0)],
  ['WINDOW_UPDATE', frame('WINDOW_UPDATE', 0, 0, u32(1))],
  ['GOAWAY', frame('GOAWAY', 0, 0, Buffer.alloc(8))],
  ['a frame of an unknown type', frame(0x42, 0, 0)],
];

await onEachExecutor('HTTP/2 connections and streams', {}, (bench) => {
  const test = (name: string, play: (bench: Bench) => Promise<void>): void => {
    it(name, () => bench().play(() => play(bench())));
  };

  test('3.4 a client may send before it has heard anything', (on) =>
    silent(on, async (peer) => {
      peer.write(Buffer.concat([MAGIC, frame('SETTINGS', 0, 0), frame('HEADERS', END_HEADERS | END_STREAM, 1, GET)]));
      assert.equal((await peer.response(1)).status, 200);
    }));

  test('3.4 the preface is SETTINGS, before anything else, and SETTINGS are acknowledged', (on) =>
    silent(on, async (peer) => {
      peer.preface();
      const done = peer.settings();
      const { ack } = await peer.expect('SETTINGS');
      assert.equal(ack, false);
      await done;
    }));

  for (let wrong = 0; wrong < MAGIC.length; wrong += 5) {
    test(`3.4 a preface that is wrong at octet ${wrong}`, (on) => {
      const octets = Buffer.concat([
        MAGIC,
        frame('SETTINGS', 0, 0),
        frame('HEADERS', END_HEADERS | END_STREAM, 1, GET),
      ]);
      octets[wrong] = '~'.charCodeAt(0);
      return turnedAway(on, octets);
    });
  }

  for (const [what, octets] of SETTINGS_FIRST) {
    test(`3.4 ${what} instead of SETTINGS, from a client`, (on) => turnedAway(on, Buffer.concat([MAGIC, octets])));

    it(`3.4 ${what} instead of SETTINGS, from an endpoint`, () =>
      bench().greeting(
        (peer) => {
          peer.write(octets);
          peer.frame('SETTINGS', 0, 0);
        },
        {},
        async () => {
          const on = bench();
          const client = await on.client();
          const { status, reset } = await client.response(client.request({ ':method': 'POST', ':path': '/never' }));
          assert.ok(reset !== null || status >= 500, `${status}`);
          const peer = await on.endpoint.connection(on.endpoint.peers.length - 1);
          await peer.closed();
          assert.deepEqual(
            peer.arrived('GOAWAY').map(({ code }) => code),
            ['PROTOCOL_ERROR'],
          );
        },
      ));
  }

  for (const [what, octets] of [
    ['HTTP/1.1', 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'],
    ['another protocol', '220 mail.test ESMTP ready\r\n'],
    ['nothing, and ends', ''],
  ] as const) {
    it(`3.4 an endpoint that speaks ${what}`, () =>
      bench().greeting(
        (peer) => {
          peer.write(Buffer.from(octets));
          if (octets === '') peer.socket.end();
        },
        {},
        async () => {
          const client = await bench().client();
          const response = await client.response(client.request({ ':method': 'POST', ':path': '/never' }));
          assert.ok(response.status === 502 || response.status === 503, `${response.status}`);
          assert.notEqual(response.field('sluice-error'), null);
          await client.sync();
        },
      ));
  }

  test('5.1 what comes for a stream after RST_STREAM goes no further, and costs at most that stream', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
    client.reset(asked);
    await endpoint.expect('RST_STREAM', { stream: arrived });
    client.data(asked, 'late', END_STREAM);
    // Nothing, RST_STREAM or GOAWAY: all are allowed.
    await client.sync().catch(() => undefined);
    for (const { code } of [...client.arrived('RST_STREAM'), ...client.arrived('GOAWAY')]) {
      assert.equal(code, 'STREAM_CLOSED');
    }
    await endpoint.sync();
    assert.equal(endpoint.arrived('DATA', arrived).length, 0);
  });

  test('5.1 what comes for a stream that has ended goes no further', async (on) => {
    for (const play of [
      (peer: H2Peer) => peer.data(1, 'late'),
      (peer: H2Peer) => peer.frame('HEADERS', END_HEADERS | END_STREAM, 1, GET),
      (peer: H2Peer) => peer.frame('HEADERS', END_HEADERS | END_STREAM, 1, literal('x-end', 'late')),
    ]) {
      const client = await on.client();
      const before = on.endpoint.requests;
      assert.equal((await client.response(client.request())).status, 200);
      play(client);
      // Section 5.1 lets it be an error of the stream or of the connection.
      await client.when(
        () => client.arrived('RST_STREAM', 1).length > 0 || client.arrived('GOAWAY').length > 0,
        'RST_STREAM or GOAWAY',
      );
      for (const { code } of [...client.arrived('RST_STREAM'), ...client.arrived('GOAWAY')]) {
        assert.ok(code === 'STREAM_CLOSED' || code === 'PROTOCOL_ERROR', code);
      }
      assert.equal(on.endpoint.requests, before + 1);
    }
  });

  test('5.1 WINDOW_UPDATE, RST_STREAM and PRIORITY for a stream that has ended are borne', async (on) => {
    const client = await on.client();
    assert.equal((await client.response(client.request())).status, 200);
    client.frame('WINDOW_UPDATE', 0, 1, u32(100));
    client.reset(1);
    client.frame('PRIORITY', 0, 1, Buffer.from([0, 0, 0, 3, 1]));
    await client.sync();
    assert.equal((await client.response(client.request())).status, 200);
    const { client: other, asked, endpoint, arrived } = await on.exchange();
    endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
    await other.response(asked);
    endpoint.frame('WINDOW_UPDATE', 0, arrived, u32(100));
    endpoint.reset(arrived, 'NO_ERROR');
    await endpoint.sync();
  });

  test('5.1 what an endpoint sends for a stream that was cancelled is borne', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange();
    client.reset(asked);
    await endpoint.expect('RST_STREAM', { stream: arrived, code: 'CANCEL' });
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.data(arrived, 'too late');
    endpoint.frame('WINDOW_UPDATE', 0, arrived, u32(100));
    endpoint.headers(arrived, { 'x-end': 'yes' }, END_STREAM);
    await endpoint.sync();
    assert.equal(endpoint.arrived('RST_STREAM', arrived).length, 0);
    const next = await on.exchange({ client });
    assert.equal(next.endpoint, endpoint, 'the connection was given up');
    assert.equal(client.arrived('DATA').length, 0);
  });

  test('5.4.1 GOAWAY tells the last stream that was dealt with', async (on) => {
    const client = await on.client();
    for (let i = 0; i < 3; i++) await client.response(client.request());
    const { asked } = await on.exchange({ client });
    client.data(0, 'x');
    await client.expect('GOAWAY', { code: 'PROTOCOL_ERROR', lastStream: asked });
    await client.closed();
  });

  test('5.4.2 RST_STREAM is not answered with RST_STREAM, and reaches the endpoint', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
    client.reset(asked, 'CANCEL');
    await endpoint.expect('RST_STREAM', { stream: arrived, code: 'CANCEL' });
    await client.sync();
    assert.equal(client.arrived('RST_STREAM').length, 0);
  });

  test("5.4.2 an endpoint's RST_STREAM is not answered with RST_STREAM, and is told to the client", async (on) => {
    for (const begun of [false, true]) {
      const { client, asked, endpoint, arrived } = await on.exchange();
      if (begun) {
        endpoint.headers(arrived, { ':status': '200' });
        endpoint.data(arrived, 'half');
        await client.expect('DATA', { stream: asked });
      }
      endpoint.reset(arrived, 'INTERNAL_ERROR');
      const { status, reset } = await client.response(asked);
      if (begun) assert.ok(reset !== null && reset !== 'NO_ERROR', `${reset}`);
      else assert.ok(status === 502 || reset !== null, `${status}`);
      await endpoint.sync();
      assert.equal(endpoint.arrived('RST_STREAM', arrived).length, 0);
    }
  });

  test('7 unknown error codes are borne', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
    client.frame('RST_STREAM', 0, asked, u32(0xfedcba98));
    await endpoint.expect('RST_STREAM', { stream: arrived });
    const next = await on.exchange({ client });
    next.endpoint.frame('RST_STREAM', 0, next.arrived, u32(0x12345678));
    const { status, reset } = await client.response(next.asked);
    assert.ok(status === 502 || reset !== null);
    await client.sync();
  });

  test("6.8 a client's GOAWAY lets what is under way end, and then the connection ends", async (on) => {
    for (const code of ['NO_ERROR', 'ENHANCE_YOUR_CALM'] as const) {
      const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
      client.goaway(0, code);
      client.data(asked, 'x', END_STREAM);
      await endpoint.expect('DATA', { stream: arrived, endStream: true });
      endpoint.headers(arrived, { ':status': '200' });
      endpoint.data(arrived, 'whole', END_STREAM);
      const { status, body } = await client.response(asked);
      assert.equal(status, 200);
      assert.equal(body.toString(), 'whole');
      await client.closed();
    }
  });

  test("6.8 after an endpoint's GOAWAY nothing new is opened there; what it takes ends, what it does not is tried again", async (on) => {
    await on.endpoint.quiet();
    const first = await on.exchange();
    const second = await on.exchange({ client: first.client });
    assert.equal(second.endpoint, first.endpoint);
    first.endpoint.goaway(first.arrived, 'NO_ERROR');
    const again = await on.endpoint.request(second.path);
    assert.notEqual(again.peer, first.endpoint);
    again.peer.headers(again.stream, { ':status': '201' }, END_STREAM);
    assert.equal((await first.client.response(second.asked)).status, 201);
    const third = await on.exchange({ client: first.client });
    assert.notEqual(third.endpoint, first.endpoint);
    first.endpoint.headers(first.arrived, { ':status': '200' });
    first.endpoint.data(first.arrived, 'whole', END_STREAM);
    const { status, body } = await first.client.response(first.asked);
    assert.equal(status, 200);
    assert.equal(body.toString(), 'whole');
    await first.endpoint.closed();
  });

  test('6.8 GOAWAY in two steps, with debug data', async (on) => {
    await on.endpoint.quiet();
    const { client, asked, endpoint, arrived } = await on.exchange();
    const debug = Buffer.from('max_age');
    endpoint.frame('GOAWAY', 0, 0, Buffer.concat([u32(2 ** 31 - 1), u32(0), debug]));
    await endpoint.sync();
    const next = await on.exchange({ client });
    assert.notEqual(next.endpoint, endpoint);
    endpoint.goaway(arrived);
    endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
    assert.equal((await client.response(asked)).status, 200);
    await endpoint.closed();
  });

  test('5.1 the end of a connection ends its streams, for clients and endpoints', async (on) => {
    const { client, endpoint, arrived } = await on.exchange({ body: 'open' });
    client.destroy();
    await endpoint.expect('RST_STREAM', { stream: arrived });
    for (const begun of [false, true]) {
      const next = await on.exchange();
      if (begun) {
        next.endpoint.headers(next.arrived, { ':status': '200' });
        await next.client.expect('HEADERS', { stream: next.asked });
      }
      next.endpoint.destroy();
      const { status, reset } = await next.client.response(next.asked);
      if (begun) assert.ok(reset !== null && reset !== 'NO_ERROR', `${reset}`);
      else assert.ok(status === 502 || reset !== null, `${status}`);
      await next.client.sync();
    }
  });

  test('6.5.3 many settings at once: the last of each counts', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange();
    await client.settings([
      [4, 0],
      [4, 5],
      [4, 2],
    ]);
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.data(arrived, 'hello', END_STREAM);
    let heard = '';
    while (heard.length < 2) heard += (await client.expect('DATA', { stream: asked })).payload.toString();
    assert.equal(heard, 'he');
  });

  test('afterwards serves others', (on) => on.serves());
});
