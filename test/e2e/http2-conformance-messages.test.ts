// RFC 9113 section 8 and RFC 8441: requests and responses that are right pass whole, in whatever order their parts come.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_STREAM } from '../support/h2-frames.js';
import { fieldOf } from '../support/h2-inbox.js';
import type { H2Peer } from '../support/h2-peer.js';
import type { Pair } from '../support/naive-hpack.js';
import { type Bench, onEachExecutor, requestFields, WEBSOCKET } from './http2-conformance-support.js';

const STATUS_OK: Pair = [':status', '200'];

/** Octets of DATA, in however many frames. */
async function says(peer: H2Peer, stream: number, text: string): Promise<void> {
  let said = '';
  while (said.length < text.length) said += (await peer.expect('DATA', { stream })).payload.toString();
  assert.equal(said, text);
}

await onEachExecutor('HTTP/2 messages', {}, (bench) => {
  const test = (name: string, play: (bench: Bench) => Promise<void>): void => {
    it(name, () => bench().play(() => play(bench())));
  };

  test('8.1 content, trailers and their order pass both ways', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open', fields: { te: 'trailers' } });
    client.data(asked, 'question');
    client.headers(asked, { 'x-asked': 'yes', 'x-more': '1' }, END_STREAM);
    await says(endpoint, arrived, 'question');
    const { fields } = await endpoint.expect('HEADERS', { stream: arrived, endStream: true });
    assert.deepEqual(
      fields.map(({ name }) => name),
      ['x-asked', 'x-more'],
    );
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.data(arrived, 'answer');
    endpoint.headers(arrived, { 'x-answered': 'yes' }, END_STREAM);
    const response = await client.response(asked);
    assert.equal(response.body.toString(), 'answer');
    assert.equal(fieldOf(response.trailers, 'x-answered'), 'yes');
  });

  test('8.1 a response of trailers only', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange();
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.headers(arrived, { 'grpc-status': '0' }, END_STREAM);
    assert.equal(fieldOf((await client.response(asked)).trailers, 'grpc-status'), '0');
  });

  test('8.1 interim responses pass', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({
      body: 'open',
      fields: { expect: '100-continue' },
    });
    endpoint.headers(arrived, { ':status': '100' });
    endpoint.headers(arrived, { ':status': '103', link: '</a.css>' });
    endpoint.headers(arrived, { ':status': '103', link: '</b.css>' });
    client.data(asked, 'x', END_STREAM);
    endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
    const response = await client.response(asked);
    assert.equal(response.status, 200);
    assert.deepEqual(
      response.interim.filter((status) => status === 103),
      [103, 103],
    );
  });

  test('8.1 a whole response before the end of its request, and RST_STREAM with NO_ERROR', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
    endpoint.headers(arrived, { ':status': '413' });
    endpoint.data(arrived, 'too much', END_STREAM);
    endpoint.reset(arrived, 'NO_ERROR');
    const { status, body, reset } = await client.response(asked);
    assert.equal(reset, null);
    assert.equal(status, 413);
    assert.equal(body.toString(), 'too much');
    client.data(asked, 'still under way');
    assert.equal((await client.response(client.request())).status, 200);
    await endpoint.sync();
  });

  test('8.1 a whole response before the end of its request, which then ends', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.data(arrived, 'early', END_STREAM);
    const { status, body } = await client.response(asked);
    assert.equal(status, 200);
    assert.equal(body.toString(), 'early');
    client.data(asked, 'late', END_STREAM);
    await client.sync();
    assert.equal((await client.response(client.request())).status, 200);
  });

  for (const [what, fields, status] of [
    ['HEAD with content-length', { ':method': 'HEAD' }, '200'],
    ['304 with content-length', { ':method': 'GET' }, '304'],
  ] as const) {
    test(`8.1.1 ${what} has no content`, async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange({ fields });
      endpoint.headers(arrived, { ':status': status, 'content-length': '5' }, END_STREAM);
      const response = await client.response(asked);
      assert.equal(response.status, Number(status));
      assert.equal(response.field('content-length'), '5');
      assert.equal(response.body.length, 0);
    });
  }

  for (const [what, fields, status] of [
    ['HEAD', { ':method': 'HEAD' }, '200'],
    ['204', {}, '204'],
    ['304', { ':method': 'GET' }, '304'],
  ] as const) {
    test(`8.1.1 content in a response that has none (${what}) goes no further`, async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange({ fields });
      endpoint.headers(arrived, { ':status': status });
      endpoint.data(arrived, 'smuggled', END_STREAM);
      const { body } = await client.response(asked);
      assert.ok(!body.includes('smuggled'));
      await client.sync();
    });
  }

  test('8.2 fields of one name keep their order, and their number', async (on) => {
    const client = await on.client();
    client.headers(
      1,
      requestFields([
        ['x-a', '1'],
        ['x-b', '2'],
        ['x-a', '3'],
      ]).map(([name, value]): Pair => [name, name === ':path' ? '/order' : value]),
      END_STREAM,
    );
    const { peer, stream, fields } = await on.endpoint.request('/order');
    assert.deepEqual(
      fields.filter(({ name }) => name === 'x-a').map(({ value }) => value),
      ['1', '3'],
    );
    peer.headers(stream, [STATUS_OK, ['set-cookie', 'a=1'], ['x', 'y'], ['set-cookie', 'b=2']], END_STREAM);
    const response = await client.response(1);
    assert.deepEqual(
      response.fields.filter(({ name }) => name === 'set-cookie').map(({ value }) => value),
      ['a=1', 'b=2'],
    );
  });

  test('8.4 an endpoint is told that nothing may be pushed', async (on) => {
    const { endpoint } = await on.exchange();
    assert.equal(endpoint.theirs.get(2), 0);
  });

  test('8.5 CONNECT becomes a tunnel or is refused, cleanly', async (on) => {
    const client = await on.client();
    client.headers(1, [
      [':method', 'CONNECT'],
      [':authority', 'a.test:80'],
    ]);
    on.endpoint.request(null).then(
      ({ peer, stream }) => {
        peer.headers(stream, { ':status': '200' });
        peer.data(stream, '', END_STREAM);
      },
      () => undefined,
    );
    await client.response(1);
    client.reset(1);
    client.skipTo(3);
    assert.equal((await client.response(client.request())).status, 200);
  });

  test('8.7 a stream that the endpoint refused is tried again, or the client is told', async (on) => {
    const { client, asked, endpoint, arrived, path } = await on.exchange();
    endpoint.reset(arrived, 'REFUSED_STREAM');
    on.endpoint.request(path).then(
      ({ peer, stream }) => peer.headers(stream, { ':status': '200' }, END_STREAM),
      () => undefined,
    );
    const { status, reset } = await client.response(asked);
    assert.ok(status === 200 || status === 503 || reset === 'REFUSED_STREAM', `${status} ${reset}`);
  });

  test('8441-3 a client is told that it may use extended CONNECT', async (on) => {
    const client = await on.client();
    await client.sync();
    assert.equal(client.theirs.get(8), 1);
  });

  test('8441-3 extended CONNECT does not reach an endpoint that has not said it takes it', async (on) => {
    const client = await on.client();
    const before = on.endpoint.requests;
    client.headers(1, WEBSOCKET);
    const response = await client.response(1);
    assert.ok(response.reset !== null || response.status >= 500, `${response.status}`);
    assert.equal(on.endpoint.requests, before);
    client.skipTo(3);
    assert.equal((await client.response(client.request())).status, 200);
  });

  const takesTunnels = (name: string, play: (bench: Bench) => Promise<void>): void => {
    it(name, () =>
      bench().greeting(
        (peer) => void peer.settings({ ENABLE_CONNECT_PROTOCOL: 1 }),
        {},
        () => play(bench()),
      ),
    );
  };
  const webSocket = (path: string): readonly Pair[] =>
    WEBSOCKET.map(([name, value]): Pair => [name, name === ':path' ? path : value]);

  takesTunnels('8441-5 extended CONNECT to an endpoint that takes it is a tunnel', async (on) => {
    const client = await on.client();
    const path = on.path();
    client.headers(1, [...webSocket(path), ['sec-websocket-version', '13']]);
    const { peer, stream, fields: seen } = await on.endpoint.request(path);
    assert.equal(fieldOf(seen, ':protocol'), 'websocket');
    assert.equal(fieldOf(seen, 'sec-websocket-version'), '13');
    peer.headers(stream, { ':status': '200' });
    await client.expect('HEADERS', { stream: 1, endStream: false });
    for (let i = 0; i < 3; i++) {
      client.data(1, `ping ${i}`);
      await says(peer, stream, `ping ${i}`);
      peer.data(stream, `pong ${i}`);
      await says(client, 1, `pong ${i}`);
    }
    client.data(1, '', END_STREAM);
    await peer.expect('DATA', { stream, endStream: true });
    peer.data(stream, '', END_STREAM);
    await client.expect('DATA', { stream: 1, endStream: true });
  });

  takesTunnels('8441-5 a tunnel that is reset at one end is reset at the other', async (on) => {
    for (const first of ['client', 'endpoint'] as const) {
      const client = await on.client();
      const path = on.path();
      client.headers(1, webSocket(path));
      const { peer, stream } = await on.endpoint.request(path);
      peer.headers(stream, { ':status': '200' });
      await client.expect('HEADERS', { stream: 1 });
      if (first === 'client') {
        client.reset(1, 'CANCEL');
        await peer.expect('RST_STREAM', { stream });
      } else {
        peer.reset(stream, 'CANCEL');
        await client.expect('RST_STREAM', { stream: 1 });
      }
    }
  });

  test('afterwards serves others', (on) => on.serves());
});
