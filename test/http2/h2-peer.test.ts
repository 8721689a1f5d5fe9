// The tests' own peer, checked against Node's http2 on both sides, and its HPACK against RFC 7541 appendix C.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { H2Endpoint } from '../support/h2-endpoint.js';
import { END_STREAM } from '../support/h2-frames.js';
import { H2Peer, hangUpPeers } from '../support/h2-peer.js';
import {
  bitsToOctets,
  huffmanBits,
  indexed,
  literal,
  NaiveDecoder,
  NaiveError,
  naiveHuffman,
  naiveUnhuffman,
  sizeUpdate,
} from '../support/naive-hpack.js';

const pairs = (decoder: NaiveDecoder, hex: string): string[] =>
  decoder.decode(Buffer.from(hex, 'hex')).map(({ name, value }) => `${name}: ${value}`);

describe('the HPACK of the tests', () => {
  const first = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];

  it('decodes the requests of C.3 and C.4', () => {
    for (const blocks of [
      ['828684410f7777772e6578616d706c652e636f6d', '828684be58086e6f2d6361636865'],
      ['828684418cf1e3c2e5f23a6ba0ab90f4ff', '828684be5886a8eb10649cbf'],
    ]) {
      const decoder = new NaiveDecoder();
      assert.deepEqual(pairs(decoder, blocks[0] ?? ''), first);
      assert.deepEqual(pairs(decoder, blocks[1] ?? ''), [...first, 'cache-control: no-cache']);
      assert.equal(decoder.table.entries.length, 2);
    }
  });

  it('evicts as C.6 does', () => {
    const decoder = new NaiveDecoder(256);
    pairs(
      decoder,
      '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
    );
    assert.deepEqual(
      decoder.table.entries.map(({ name }) => name),
      ['location', 'date', 'cache-control', ':status'],
    );
    pairs(decoder, '4883640effc1c0bf');
    assert.deepEqual(
      decoder.table.entries.map(({ value }) => value),
      ['307', 'https://www.example.com', 'Mon, 21 Oct 2013 20:13:21 GMT', 'private'],
    );
  });

  it('encodes and decodes every octet with Huffman codes', () => {
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    assert.equal(naiveUnhuffman(naiveHuffman(all)), all);
    assert.equal(Buffer.from(naiveHuffman('www.example.com')).toString('hex'), 'f1e3c2e5f23a6ba0ab90f4ff');
  });

  it('refuses what RFC 7541 refuses', () => {
    const wrong = (what: string, block: Uint8Array, decoder = new NaiveDecoder()): void => {
      assert.throws(() => decoder.decode(block), NaiveError, what);
    };
    wrong('index 0', indexed(0));
    wrong('an index beyond the table', indexed(62));
    wrong('a table above the limit', sizeUpdate(4097));
    wrong('a third size update', Buffer.concat([sizeUpdate(0), sizeUpdate(1), sizeUpdate(2)]));
    wrong('a size update behind a field', Buffer.concat([indexed(2), sizeUpdate(0)]));
    wrong('EOS', Buffer.concat([Buffer.from([0x00, 0x84]), bitsToOctets(`${huffmanBits(256)}11`)]));
    wrong('padding of zeros', Buffer.from([0x00, 0x81, 0x18, 0x00]));
    wrong('a string that ends early', literal('a', 'bcd').subarray(0, 5));
    const lowered = new NaiveDecoder();
    lowered.announce(0);
    wrong('no size update where one is owed', indexed(2), lowered);
    assert.equal(lowered.decode(Buffer.concat([sizeUpdate(0), indexed(2)])).length, 1);
  });
});

describe("the raw peer and Node's http2", () => {
  let server: Http2Server;
  let port = 0;

  before(async () => {
    server = createServer();
    server.on('stream', (stream, headers) => {
      if (headers[':path'] === '/trailers') {
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
        stream.end('body');
        return;
      }
      stream.respond({ ':status': 200, 'x-method': String(headers[':method']) });
      stream.pipe(stream);
    });
    server.on('sessionError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo);
  });
  after(() => {
    hangUpPeers();
    server.close();
  });

  it('talks to it as a client', async () => {
    const peer = await H2Peer.greeted(port, { INITIAL_WINDOW_SIZE: 100_000, HEADER_TABLE_SIZE: 0 });
    const stream = peer.request({ ':method': 'POST', 'x-a': 'b' }, 0);
    peer.data(stream, 'x'.repeat(16_384));
    peer.data(stream, 'end', END_STREAM);
    const response = await peer.response(stream);
    assert.equal(response.status, 200);
    assert.equal(response.field('x-method'), 'POST');
    assert.equal(response.body.length, 16_387);
    const { body, trailers } = await peer.response(peer.request({ ':path': '/trailers' }));
    assert.equal(body.toString(), 'body');
    assert.deepEqual(
      trailers.map(({ name, value }) => `${name}: ${value}`),
      ['x-end: yes'],
    );
    await peer.sync();
    // Node ends the session over it with a code of its own choosing.
    peer.frame('PING', 0, 1, Buffer.alloc(8));
    await peer.expect('GOAWAY', { code: ['PROTOCOL_ERROR', 'INTERNAL_ERROR'] });
    await peer.closed();
  });

  it('is told so where a thing cannot come', async () => {
    const peer = await H2Peer.greeted(port);
    peer.frame('DATA', 0, 0, Buffer.from('x'));
    await assert.rejects(peer.response(1), /GOAWAY|ended/);
    peer.destroy();
  });

  it('serves it as an endpoint', async () => {
    const endpoint = await H2Endpoint.listen();
    const session = connect(`http://${endpoint.address}`);
    const ask = (path: string, body?: string) => {
      const request = session.request({ ':path': path, ':method': body === undefined ? 'GET' : 'POST' });
      request.end(body);
      return request;
    };
    const ok = ask('/ok').setEncoding('utf8');
    assert.deepEqual(await ok.toArray(), ['ok']);
    const echo = ask('/echo', 'hello').setEncoding('utf8');
    assert.equal((await echo.toArray()).join(''), 'hello');
    const scripted = ask('/scripted', 'hello');
    const { peer, stream } = await endpoint.request('/scripted');
    await peer.expect('DATA', { stream });
    peer.headers(stream, { ':status': '204', 'x-by': 'hand' }, END_STREAM);
    const [headers] = await once(scripted, 'response');
    assert.equal(headers[':status'], 204);
    assert.equal(headers['x-by'], 'hand');
    assert.equal(endpoint.requests, 3);
    await peer.sync();
    const gone = ask('/reset');
    const arrival = await endpoint.request('/reset');
    arrival.peer.reset(arrival.stream, 'ENHANCE_YOUR_CALM');
    const [error] = await once(gone, 'error');
    assert.match(String(error), /ENHANCE_YOUR_CALM/);
    session.close();
    await peer.closed();
    await endpoint.close();
  });
});
