// HTTP/1 clients of endpoints that speak HTTP/2: what is left when things go wrong, and tunnels.
import assert from 'node:assert/strict';
import type { ServerHttp2Stream } from 'node:http2';
import { after, afterEach, describe, it } from 'node:test';
import { content, sha1 } from '../support/content.js';
import { across, quiet, startGateway, tearDown } from '../support/gateway.js';
import { H2Endpoint } from '../support/h2-endpoint.js';
import { END_STREAM } from '../support/h2-frames.js';
import { client, exchange } from '../support/http.js';
import { http2Endpoint } from '../support/http2.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';

const LARGE = 64 << 20;
const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';

/** An endpoint of which each stream is the test's own. */
type OnStream = (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void;

after(tearDown);

for (const io of await availableExecutors()) {
  describe(`HTTP/1 to HTTP/2 in trouble on ${io}`, () => {
    let sluice: Sluice | undefined;
    const endpoints: { close(): Promise<void> }[] = [];
    const start = async (onStream: OnStream, service = '', top = ''): Promise<Sluice> => {
      const endpoint = await http2Endpoint(null);
      endpoint.server.on('stream', onStream as never);
      endpoints.push(endpoint);
      sluice = await startGateway(io, [endpoint.address], { service, top });
      return sluice;
    };
    afterEach(async () => {
      if (sluice !== undefined) await quiet(sluice);
      await sluice?.stop();
      sluice = undefined;
      for (const endpoint of endpoints.splice(0)) await endpoint.close();
    });

    it('passes on an answer that comes before the request is whole', async () => {
      const { port } = await start((stream) => {
        stream.respond({ ':status': 413, 'content-length': '9' });
        stream.end('too large');
      });
      const wire = await client(port('edge'));
      wire.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${LARGE}\r\n\r\n`);
      wire.write(content(100_000));
      const answer = await wire.message();
      assert.equal(answer.status, 413);
      assert.equal(answer.field('connection'), 'close');
      assert.equal(answer.body.toString(), 'too large');
      wire.destroy();
    });

    it('answers 502 for a stream that is reset before its head, and cuts the response off after it', async () => {
      const { port } = await start((stream, headers) => {
        if (headers[':path'] === '/before') {
          stream.close(2);
          return;
        }
        stream.respond({ ':status': 200, ...(headers[':path'] === '/length' ? { 'content-length': '1000' } : {}) });
        stream.write('half', () => setTimeout(() => stream.destroy(new Error('a fault of its own')), 20));
      });
      const answer = await exchange(port('edge'), 'GET /before HTTP/1.1\r\nhost: a\r\n\r\n');
      assert.equal(answer.status, 502);
      assert.equal(answer.field('sluice-error'), 'upstream-reset');
      for (const path of ['/length', '/chunked']) {
        const wire = await client(port('edge'));
        wire.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
        await assert.rejects(wire.message(), /before the end of a message/);
        wire.destroy();
      }
      assert.equal(await sluice?.metric('sluice_endpoint_failures_total'), 3);
    });

    it('sends a refused request again, body and all, unseen by the client', async () => {
      let refused = 0;
      const { port } = await start((stream) => {
        if (refused++ < 1) {
          stream.close(7);
          return;
        }
        stream.respond({ ':status': 200 });
        stream.pipe(stream);
      });
      const body = content(30_000);
      const head = Buffer.from(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n`);
      const answer = await exchange(port('edge'), Buffer.concat([head, body]));
      assert.equal(answer.status, 200);
      assert.equal(sha1(answer.body), sha1(body));
      assert.equal(await sluice?.metric('sluice_endpoint_failures_total'), 0);
    });

    it('sends what a GOAWAY leaves out again', async () => {
      await across(io, await H2Endpoint.listen(), {}, async (gateway, endpoint) => {
        const answer = exchange(gateway.port('edge'), 'GET /left-out HTTP/1.1\r\nhost: a\r\n\r\n');
        const first = await endpoint.request('/left-out');
        first.peer.goaway(0);
        first.peer.socket.end();
        const second = await endpoint.request('/left-out');
        assert.notEqual(second.peer, first.peer);
        second.peer.headers(second.stream, { ':status': '200' }, END_STREAM);
        assert.equal((await answer).status, 200);
        assert.equal(await gateway.metric('sluice_endpoint_failures_total'), 0);
      });
    });

    it('tells the endpoint at once when a client has gone', async () => {
      let closed: (code: number) => void = () => undefined;
      const code = new Promise<number>((resolve) => {
        closed = resolve;
      });
      const { port } = await start((stream) => {
        stream.on('aborted', () => undefined);
        stream.once('close', () => closed(stream.rstCode));
        stream.respond({ ':status': 200 });
        stream.write('begun');
      });
      const wire = await client(port('edge'));
      wire.write(GET);
      await wire.until(() => wire.text.includes('begun'), 'the beginning');
      wire.reset();
      assert.equal(await code, 8);
      assert.equal(await sluice?.metric('sluice_endpoint_failures_total'), 0);
    });

    it('answers 504 for an endpoint that does not answer in time', async () => {
      const { port } = await start(() => undefined, '    responseTimeout: 100ms');
      const answer = await exchange(port('edge'), GET);
      assert.equal(answer.status, 504);
      assert.equal(answer.field('sluice-error'), 'response-timeout');
    });

    it('ends bodies on which nobody moves', async () => {
      const { port } = await start(
        (stream, headers) => {
          if (headers[':path'] === '/answer') {
            stream.respond({ ':status': 200, 'content-length': '10' });
            stream.write('half');
          }
        },
        '',
        'limits: { http1: { bodyTimeout: 200ms } }',
      );
      const wire = await client(port('edge'));
      wire.write('POST /request HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf');
      const answer = await wire.message();
      assert.equal(answer.status, 408);
      assert.equal(answer.field('sluice-error'), 'body-timeout');
      wire.destroy();
      const other = await client(port('edge'));
      other.write('GET /answer HTTP/1.1\r\nhost: a\r\n\r\n');
      await assert.rejects(other.message(), /before the end of a message/);
      other.destroy();
    });

    it('answers 502 where no endpoint can be reached', async () => {
      const { address, close } = await http2Endpoint();
      await close();
      sluice = await startGateway(io, [address]);
      const answer = await exchange(sluice.port('edge'), GET);
      assert.ok(answer.status === 502 || answer.status === 503, String(answer.status));
    });

    it('makes a tunnel of CONNECT, each direction with an end of its own', async () => {
      const { port } = await start((stream) => {
        stream.respond({ ':status': 200 });
        const pieces: Buffer[] = [];
        stream.on('data', (piece: Buffer) => pieces.push(piece));
        stream.on('end', () => stream.end(sha1(Buffer.concat(pieces))));
      });
      const wire = await client(port('edge'));
      wire.write('CONNECT there:1 HTTP/1.1\r\nhost: there:1\r\n\r\n');
      await wire.until(() => wire.text.includes('\r\n\r\n'), 'the head');
      assert.match(wire.text, /^HTTP\/1.1 200 /);
      wire.take(wire.bytes.length);
      const bytes = content(3_000_000);
      wire.write(bytes);
      wire.fin();
      await wire.closed();
      assert.equal(wire.text, sha1(bytes));
      wire.destroy();
    });

    it('resets the client of a tunnel whose stream is reset', async () => {
      const { port } = await start((stream) => {
        stream.respond({ ':status': 200 });
        stream.once('data', () => stream.destroy(new Error('a fault of its own')));
      });
      const wire = await client(port('edge'));
      wire.write('CONNECT there:1 HTTP/1.1\r\nhost: there:1\r\n\r\n');
      await wire.until(() => wire.text.includes('\r\n\r\n'), 'the head');
      wire.write('x');
      assert.equal(await wire.closed(), 'reset');
      wire.destroy();
    });
  });
}
