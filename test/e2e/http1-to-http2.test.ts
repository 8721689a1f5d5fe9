// HTTP/1 clients of endpoints that speak HTTP/2.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as ask, type IncomingMessage, type RequestOptions } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { after, afterEach, before, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { client, exchange, metrics } from '../support/http.js';
import {
  content,
  type Digest,
  digestOf,
  type Http2Endpoint,
  http1Endpoint,
  http2Endpoint,
  quiet,
  sha1,
  startGateway,
} from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { listen } from '../support/tcp.js';

const HOST = '127.0.0.1';
const SIZES = [0, 1, 2047, 2048, 4096, 16_384, 65_535, 65_536, 1_000_003, 16 << 20];
const LARGE = 64 << 20;
const ONE = 'workers: 1';

// Of HTTP/2 frames, as a server without any library writes them.
const HEADERS = 1;
const SETTINGS = 4;
const GOAWAY = 7;
const END_STREAM = 1;
const END_HEADERS = 4;
/** `:status: 200` of the static table. */
const STATUS_200 = 0x88;
const frame = (type: number, flags: number, stream: number, payload: readonly number[]): Buffer =>
  Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, stream, ...payload]);

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly trailers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}

interface Sent extends RequestOptions {
  readonly body?: Uint8Array;
  readonly bodyTrailers?: Record<string, string>;
}

/** A request by Node's own client. A body without content-length goes in chunks. */
async function send(port: number, { body, bodyTrailers, ...options }: Sent): Promise<Answer> {
  const request = ask({ host: HOST, port, agent: false, ...options });
  if (bodyTrailers !== undefined) request.addTrailers(bodyTrailers);
  if (body !== undefined && (bodyTrailers !== undefined || options.headers === undefined)) {
    request.write(body);
    request.end();
  } else request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    trailers: response.trailers,
    body: Buffer.concat(pieces),
  };
}

/** An endpoint of which each stream is the test's own. */
type OnStream = (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void;

for (const io of await availableExecutors()) {
  describe(`HTTP/1 clients of HTTP/2 endpoints on ${io}`, () => {
    describe('with an endpoint of the usual behaviour', () => {
      let endpoint: Http2Endpoint;
      let sluice: Sluice;
      before(async () => {
        endpoint = await http2Endpoint();
        sluice = await startGateway(io, [endpoint.address]);
      });
      after(async () => {
        await sluice.stop();
        await endpoint.close();
      });
      afterEach(() => quiet(sluice));

      it('passes on request bodies of any size, of known length and in chunks', async () => {
        for (const size of SIZES) {
          const body = content(size);
          const known = { 'content-length': String(size) };
          const one = await send(sluice.port('edge'), { method: 'POST', path: '/digest', body, headers: known });
          assert.deepEqual(JSON.parse(one.body.toString()) as Digest, digestOf(body), `known ${size}`);
          const two = await send(sluice.port('edge'), { method: 'POST', path: '/digest', body });
          assert.deepEqual(JSON.parse(two.body.toString()) as Digest, digestOf(body), `chunked ${size}`);
        }
      });

      it('passes on response bodies of any size, of known length and in chunks', async () => {
        for (const size of SIZES) {
          const known = await send(sluice.port('edge'), { path: `/bytes/${size}` });
          assert.equal(known.headers['content-length'], String(size));
          assert.equal(sha1(known.body), sha1(content(size)), `known ${size}`);
          const chunked = await send(sluice.port('edge'), { path: `/bytes/${size}?unknown` });
          if (size > 0) assert.equal(chunked.headers['transfer-encoding'], 'chunked');
          assert.equal(sha1(chunked.body), sha1(content(size)), `chunked ${size}`);
        }
      });

      it('sends a body back while it comes', async () => {
        const body = content(16 << 20);
        const back = await send(sluice.port('edge'), { method: 'POST', path: '/echo', body });
        assert.equal(sha1(back.body), sha1(body));
      });

      it('passes on trailers both ways', async () => {
        const body = content(70_001);
        const there = await send(sluice.port('edge'), {
          method: 'POST',
          path: '/digest?trailers',
          body,
          bodyTrailers: { 'x-check': 'abc', 'x-other': 'd' },
        });
        assert.deepEqual(
          JSON.parse(there.body.toString()) as Digest,
          digestOf(body, { 'x-check': 'abc', 'x-other': 'd' }),
        );
        assert.deepEqual({ ...there.trailers }, { 'x-sum': sha1(there.body), 'x-last': 'yes' });
      });

      it('answers HEAD without a body and keeps its length', async () => {
        const wire = await client(sluice.port('edge'));
        wire.write('HEAD /bytes/1000 HTTP/1.1\r\nhost: a\r\n\r\n');
        const head = await wire.message({ method: 'HEAD' });
        assert.equal(head.status, 200);
        assert.equal(head.field('content-length'), '1000');
        wire.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
        assert.equal((await wire.message()).body.toString(), 'hello');
        wire.destroy();
      });

      it('answers pipelined requests in order on one connection', async () => {
        const wire = await client(sluice.port('edge'));
        const count = 50;
        let text = '';
        for (let i = 0; i < count; i++) {
          const body = content(i * 37).toString('latin1');
          text += `POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
        }
        wire.write(text);
        for (let i = 0; i < count; i++) {
          const answer = await wire.message();
          assert.equal(sha1(answer.body), sha1(content(i * 37)), `answer ${i}`);
        }
        wire.destroy();
      });

      it('serves HTTP/1.0: no chunks, and keep-alive where it is asked for', async () => {
        const plain = await exchange(sluice.port('edge'), 'GET /bytes/5000?unknown HTTP/1.0\r\n\r\n');
        assert.equal(sha1(plain.body), sha1(content(5000)));
        assert.equal(plain.field('transfer-encoding'), null);
        const wire = await client(sluice.port('edge'));
        for (let i = 0; i < 3; i++) {
          wire.write('GET /bytes/10 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
          const kept = await wire.message();
          assert.equal(kept.field('connection'), 'keep-alive');
          assert.equal(kept.body.length, 10);
        }
        wire.destroy();
      });

      it('ends the connection that a client wants ended, after its answer', async () => {
        const wire = await client(sluice.port('edge'));
        wire.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
        const answer = await wire.message();
        assert.equal(answer.field('connection'), 'close');
        assert.equal(await wire.closed(), 'fin');
        wire.destroy();
      });

      it('still answers a client that has ended its direction', async () => {
        const wire = await client(sluice.port('edge'));
        wire.write('GET /bytes/100000 HTTP/1.1\r\nhost: a\r\n\r\n');
        wire.fin();
        assert.equal((await wire.message()).body.length, 100_000);
        wire.destroy();
      });

      it('holds an endpoint back for a client that does not read', async () => {
        const wire = await client(sluice.port('edge'));
        wire.socket.pause();
        wire.write(`GET /bytes/${LARGE}?unknown HTTP/1.1\r\nhost: a\r\n\r\n`);
        await eventually(
          async () => (await sluice.metric('sluice_backpressure_total')) > 0,
          'the endpoint is held back',
        );
        const value = await metrics(sluice);
        const used = value('sluice_slab_buffers') - value('sluice_slab_free_buffers');
        assert.ok(used * 16_384 < 8 << 20, `${used} buffers for one slow client`);
        wire.socket.resume();
        await wire.until(() => wire.total >= LARGE, 'the rest');
        wire.destroy();
      });

      it('uses few connections for many clients, and counts each request once', async () => {
        const before = await metrics(sluice);
        const opened = endpoint.connections;
        const agent = new Agent({ keepAlive: true, maxSockets: 32 });
        const total = 4000;
        const get = async (i: number): Promise<void> => {
          const size = (i % 7) * 1000;
          const { status, body } = await send(sluice.port('edge'), { path: `/bytes/${size}`, agent });
          assert.equal(status, 200);
          assert.equal(body.length, size);
        };
        for (let done = 0; done < total; done += 100) {
          await Promise.all(Array.from({ length: 100 }, (_, i) => get(done + i)));
        }
        agent.destroy();
        await quiet(sluice);
        const value = await metrics(sluice);
        const grown = (name: string, ...labels: string[]): number => value(name, ...labels) - before(name, ...labels);
        assert.equal(grown('request_total'), total);
        assert.equal(grown('response_total', 'status_code="200"'), total);
        assert.equal(grown('response_latency_ms_count'), total);
        assert.equal(grown('sluice_http2_streams_total', 'role="client"'), total);
        assert.equal(grown('sluice_endpoint_failures_total'), 0);
        assert.equal(grown('sluice_endpoint_abandoned_total'), 0);
        assert.ok(endpoint.connections - opened <= 4, `${endpoint.connections - opened} connections`);
      });
    });

    describe('with endpoints of their own', () => {
      let sluice: Sluice | undefined;
      const endpoints: { close(): Promise<void> }[] = [];
      const start = async (onStream: OnStream, settings = {}, service = '', top = ''): Promise<Sluice> => {
        const endpoint = await http2Endpoint(null, { settings });
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

      it('passes on responses that have no content, and keeps the connection', async () => {
        const { port } = await start((stream, headers) => {
          const status = Number(String(headers[':path']).slice(1));
          stream.respond(
            { ':status': status, ...(status === 304 ? { 'content-length': '5' } : {}) },
            { endStream: true },
          );
        });
        const wire = await client(port('edge'));
        for (const status of [204, 304, 200, 404]) {
          wire.write(`GET /${status} HTTP/1.1\r\nhost: a\r\n\r\n`);
          const answer = await wire.message();
          assert.equal(answer.status, status);
          assert.equal(answer.field('content-length'), { 204: null, 304: '5', 200: '0', 404: '0' }[status]);
        }
        wire.destroy();
      });

      it('passes on interim responses, but not to HTTP/1.0', async () => {
        const { port } = await start((stream) => {
          stream.additionalHeaders({ ':status': 103, link: '</a.css>' });
          stream.respond({ ':status': 200, 'content-length': '2' });
          stream.end('ok');
        });
        const wire = await client(port('edge'));
        wire.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
        const hint = await wire.message();
        assert.equal(hint.status, 103);
        assert.equal(hint.field('link'), '</a.css>');
        assert.equal((await wire.message()).body.toString(), 'ok');
        wire.destroy();
        assert.equal((await exchange(port('edge'), 'GET / HTTP/1.0\r\n\r\n')).status, 200);
      });

      it('lets the endpoint say whether a body is wanted', async () => {
        const { port } = await start((stream, headers) => {
          if (headers.expect === '100-continue') stream.additionalHeaders({ ':status': 100 });
          stream.respond({ ':status': 200 });
          stream.pipe(stream);
        });
        const wire = await client(port('edge'));
        wire.write('POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n');
        assert.equal((await wire.message()).status, 100);
        wire.write('body');
        assert.equal((await wire.message()).body.toString(), 'body');
        wire.destroy();
      });

      it('keeps cookies apart, and in order', async () => {
        const { port } = await start((stream, headers) => {
          stream.respond({ ':status': 200, 'set-cookie': ['a=1; Path=/', 'b=2'], 'x-cookie': String(headers.cookie) });
          stream.end();
        });
        const answer = await send(port('edge'), { path: '/', headers: { cookie: 'x=1; y=2' } });
        assert.deepEqual(answer.headers['set-cookie'], ['a=1; Path=/', 'b=2']);
        assert.equal(answer.headers['x-cookie'], 'x=1; y=2');
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
        const answer = await send(port('edge'), { method: 'POST', path: '/', body });
        assert.equal(answer.status, 200);
        assert.equal(sha1(answer.body), sha1(body));
        assert.equal(await sluice?.metric('sluice_endpoint_failures_total'), 0);
      });

      it('sends what a GOAWAY leaves out again', async () => {
        let first = true;
        const server = await listen((socket) => {
          socket.on('error', () => undefined);
          socket.write(frame(SETTINGS, 0, 0, []));
          let seen = Buffer.alloc(0);
          socket.on('data', (bytes: Buffer) => {
            seen = Buffer.concat([seen, bytes]);
            if (!seen.includes(Buffer.from([HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 1]))) return;
            seen = Buffer.alloc(0);
            if (first) socket.end(frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0]));
            else socket.write(frame(HEADERS, END_STREAM | END_HEADERS, 1, [STATUS_200]));
            first = false;
          });
        });
        endpoints.push(server);
        sluice = await startGateway(io, [`${HOST}:${server.port}`]);
        const answer = await exchange(sluice.port('edge'), 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
        assert.equal(answer.status, 200);
        assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
      });

      it('tells the endpoint at once when a client has gone', async () => {
        const code = new Promise<number>((resolve) => {
          void start((stream) => {
            stream.on('aborted', () => undefined);
            stream.once('close', () => resolve(stream.rstCode));
            stream.respond({ ':status': 200 });
            stream.write('begun');
          }).then(async ({ port }) => {
            const wire = await client(port('edge'));
            wire.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
            await wire.until(() => wire.text.includes('begun'), 'the beginning');
            wire.reset();
          });
        });
        assert.equal(await code, 8);
        assert.equal(await sluice?.metric('sluice_endpoint_failures_total'), 0);
      });

      it('answers 504 for an endpoint that does not answer in time', async () => {
        const { port } = await start(() => undefined, {}, '    responseTimeout: 100ms');
        const answer = await exchange(port('edge'), 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
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
          {},
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

      it('opens a WebSocket by extended CONNECT, and carries it both ways', async () => {
        const seen: string[] = [];
        const { port } = await start(
          (stream, headers) => {
            seen.push(`${String(headers[':method'])} ${String(headers[':protocol'])} ${String(headers[':path'])}`);
            stream.respond({ ':status': 200 });
            serveWebSocket(stream);
          },
          { enableConnectProtocol: true },
        );
        const socket = new WebSocket(`ws://${HOST}:${port('edge')}/chat`, { perMessageDeflate: false });
        await once(socket, 'open');
        for (const size of [0, 1, 125, 126, 70_000, 1_000_000]) {
          const echoed = once(socket, 'message');
          socket.send(content(size));
          const [back] = (await echoed) as [Buffer];
          assert.equal(sha1(back), sha1(content(size)), `${size} bytes`);
        }
        assert.deepEqual(seen, ['CONNECT websocket /chat']);
        const closed = once(socket, 'close');
        socket.close(1000);
        assert.equal((await closed)[0], 1000);
      });

      it('passes on the refusal of a WebSocket', async () => {
        const { port } = await start(
          (stream) => {
            stream.respond({ ':status': 403, 'content-length': '2' });
            stream.end('no');
          },
          { enableConnectProtocol: true },
        );
        const socket = new WebSocket(`ws://${HOST}:${port('edge')}/`);
        const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
        const { socket: connection } = response;
        assert.equal(response.statusCode, 403);
        response.resume();
        await once(response, 'end');
        connection.destroy();
      });

      it('answers 501 for a WebSocket where the endpoint takes none', async () => {
        const { port } = await start((stream) => stream.respond({ ':status': 200 }));
        for (let i = 0; i < 2; i++) {
          const socket = new WebSocket(`ws://${HOST}:${port('edge')}/`);
          const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
          assert.equal(response.statusCode, 501);
          assert.equal(response.headers['sluice-error'], 'not-implemented');
          response.resume();
          await once(response, 'end');
        }
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

    describe('where it is not said what endpoints speak', () => {
      let sluice: Sluice | undefined;
      afterEach(async () => {
        if (sluice !== undefined) await quiet(sluice);
        await sluice?.stop();
        sluice = undefined;
      });

      it('learns HTTP/2 from the first answer, which the client never sees', async () => {
        const endpoint = await http2Endpoint();
        sluice = await startGateway(io, [endpoint.address], { speaks: 'auto', top: ONE });
        const gone = await Promise.all(
          Array.from({ length: 8 }, (_, i) =>
            exchange(
              sluice?.port('edge') ?? 0,
              i % 2 === 0
                ? 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
                : 'POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello',
            ),
          ),
        );
        for (const answer of gone) assert.equal(answer.body.toString(), 'hello');
        assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
        const body = content(200_000);
        const large = await send(sluice.port('edge'), { method: 'POST', path: '/digest', body });
        assert.deepEqual(JSON.parse(large.body.toString()) as Digest, digestOf(body));
        await sluice.stop();
        sluice = undefined;
        await endpoint.close();
      });

      it('learns HTTP/1 too, and follows an endpoint that changes', async () => {
        let endpoint = await http1Endpoint();
        const { port: at } = endpoint;
        const get = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
        sluice = await startGateway(io, [endpoint.address], { speaks: 'auto', top: ONE });
        assert.equal((await exchange(sluice.port('edge'), get)).status, 200);
        assert.equal(await sluice.metric('sluice_endpoint_protocol', { protocol: 'http1' }), 1);
        await endpoint.close();
        endpoint = await http2Endpoint(undefined, {}, at);
        assert.equal((await exchange(sluice.port('edge'), get)).body.toString(), 'hello');
        assert.equal(await sluice.metric('sluice_endpoint_protocol', { protocol: 'http2' }), 1);
        await endpoint.close();
        endpoint = await http1Endpoint(undefined, at);
        const port = sluice.port('edge');
        await eventually(async () => (await exchange(port, get)).status === 200, 'HTTP/1 is learned again');
        assert.equal(await sluice.metric('sluice_endpoint_protocol', { protocol: 'http1' }), 1);
        await endpoint.close();
      });

      it('serves a client that is silent at first', async () => {
        const endpoint = await http2Endpoint();
        sluice = await startGateway(io, [endpoint.address], { speaks: 'auto', top: ONE });
        for (let i = 0; i < 2; i++) {
          const wire = await client(sluice.port('edge'));
          await new Promise((resolve) => setTimeout(resolve, 150));
          wire.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
          assert.equal((await wire.message()).body.toString(), 'hello');
          wire.destroy();
        }
        await quiet(sluice);
        await endpoint.close();
      });
    });

    it('answers 502 where no endpoint can be reached', async () => {
      const endpoint = await http2Endpoint();
      await endpoint.close();
      const sluice = await startGateway(io, [endpoint.address]);
      const answer = await exchange(sluice.port('edge'), 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
      assert.ok(answer.status === 502 || answer.status === 503, String(answer.status));
      await quiet(sluice);
      await sluice.stop();
    });
  });
}

/** The server's side of a WebSocket on a stream: it echoes messages, and answers the close. */
function serveWebSocket(stream: ServerHttp2Stream): void {
  let held = Buffer.alloc(0);
  stream.on('error', () => undefined);
  stream.on('data', (piece: Buffer) => {
    held = Buffer.concat([held, piece]);
    for (;;) {
      if (held.length < 6) return;
      let length = (held[1] ?? 0) & 0x7f;
      let at = 2;
      if (length === 126) {
        if (held.length < 8) return;
        length = held.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (held.length < 14) return;
        length = Number(held.readBigUInt64BE(2));
        at = 10;
      }
      if (held.length < at + 4 + length) return;
      const mask = held.subarray(at, at + 4);
      const payload = Buffer.from(held.subarray(at + 4, at + 4 + length));
      for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
      const head = Buffer.from(held.subarray(0, at));
      head[1] = (head[1] ?? 0) & 0x7f;
      const close = ((held[0] ?? 0) & 15) === 8;
      held = held.subarray(at + 4 + length);
      stream.write(Buffer.concat([head, payload]));
      if (close) stream.end();
    }
  });
  stream.on('end', () => stream.end());
}
