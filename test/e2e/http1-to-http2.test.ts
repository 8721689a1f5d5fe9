// HTTP/1 clients of endpoints that speak HTTP/2: what arrives on either side.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { after, afterEach, before, describe, it } from 'node:test';
import { type Behaviour, content, digestOf, sha1, usual } from '../support/content.js';
import { quiet, startGateway, tearDown } from '../support/gateway.js';
import { client, exchange, inChunks, type Message, metrics, type Wire } from '../support/http.js';
import { type Http2Endpoint, http1Endpoint, http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

const SIZES = [0, 1, 2047, 2048, 4096, 16_384, 65_535, 65_536, 1_000_003, 16 << 20];
const LARGE = 64 << 20;
const HOST = 'Host: a.test\r\n';

after(tearDown);

/** A request on `wire`, and its response. */
async function ask(wire: Wire, start: string, fields = '', body: Uint8Array | string = ''): Promise<Message> {
  wire.write(`${start} HTTP/1.1\r\n${HOST}${fields}\r\n`);
  if (body.length > 0) wire.write(body);
  return wire.message({ method: start.split(' ')[0] });
}

const CHUNKED = 'Transfer-Encoding: chunked\r\n';

for (const io of await availableExecutors()) {
  describe(`HTTP/1 to HTTP/2 on ${io}`, () => {
    describe('with an endpoint of the usual behaviour', () => {
      let endpoint: Http2Endpoint;
      let sluice: Sluice;
      let wire: Wire;
      before(async () => {
        endpoint = await http2Endpoint();
        sluice = await startGateway(io, [endpoint.address], { halfClose: true });
      });
      after(async () => {
        await sluice.stop();
        await endpoint.close();
      });
      afterEach(async () => {
        wire.destroy();
        await quiet(sluice);
      });
      const dial = async (): Promise<Wire> => {
        wire = await client(sluice.port('edge'));
        return wire;
      };

      it('passes on request bodies of any size, of known length and in chunks', async () => {
        await dial();
        for (const size of SIZES) {
          const body = content(size);
          for (const [framing, fields, octets] of [
            ['length', `Content-Length: ${size}\r\n`, body],
            ['chunks', CHUNKED, inChunks(body, 50_021)],
            ['one chunk', CHUNKED, inChunks(body, Math.max(1, size))],
          ] as const) {
            const { status, body: digest } = await ask(wire, 'POST /digest', fields, octets);
            assert.equal(status, 200);
            assert.deepEqual(JSON.parse(digest.toString()), digestOf(body), `${size} octets by ${framing}`);
          }
        }
      });

      it('passes on response bodies of any size, of known length and in chunks', async () => {
        await dial();
        for (const size of SIZES) {
          for (const [query, wanted] of [
            ['', 'length'],
            ['?unknown', 'chunked'],
          ] as const) {
            const { status, body, framing, field } = await ask(wire, `GET /bytes/${size}${query}`);
            assert.deepEqual([status, body.length, sha1(body)], [200, size, sha1(content(size))]);
            if (size > 0 || query === '') assert.equal(framing, wanted);
            if (query === '') assert.equal(field('content-length'), String(size));
          }
        }
      });

      it('sends a body back while it comes', async () => {
        await dial();
        const body = content(16 << 20);
        assert.equal(sha1((await ask(wire, 'POST /echo', CHUNKED, inChunks(body, 65_521))).body), sha1(body));
      });

      it('passes on trailers both ways', async () => {
        await dial();
        const body = content(70_001);
        const trailers = { 'x-check': 'abc', 'x-other': 'd' };
        const sent = inChunks(body, 9999, 'X-Check: abc\r\nX-Other: d\r\n');
        for (const announced of ['', 'Trailer: x-check, x-other\r\n', 'TE: trailers\r\nConnection: TE\r\n']) {
          const there = await ask(wire, 'POST /digest?trailers', CHUNKED + announced, sent);
          assert.deepEqual(JSON.parse(there.body.toString()), digestOf(body, trailers));
          assert.deepEqual(Object.fromEntries(there.trailers), { 'x-sum': sha1(there.body), 'x-last': 'yes' });
        }
      });

      it('answers HEAD without a body and keeps its length', async () => {
        await dial();
        const head = await ask(wire, 'HEAD /bytes/1000');
        assert.deepEqual([head.status, head.field('content-length')], [200, '1000']);
        assert.equal((await ask(wire, 'GET /')).body.toString(), 'hello');
      });

      it('answers pipelined requests in order on one connection', async () => {
        await dial();
        const count = 50;
        let text = '';
        for (let i = 0; i < count; i++) {
          const body = content(i * 37).toString('latin1');
          text += `POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
        }
        wire.write(text);
        for (let i = 0; i < count; i++) {
          assert.equal(sha1((await wire.message()).body), sha1(content(i * 37)), `answer ${i}`);
        }
      });

      it('serves HTTP/1.0: no chunks, and keep-alive where it is asked for', async () => {
        const plain = await exchange(sluice.port('edge'), 'GET /bytes/5000?unknown HTTP/1.0\r\n\r\n');
        assert.equal(sha1(plain.body), sha1(content(5000)));
        assert.equal(plain.field('transfer-encoding'), null);
        await dial();
        for (let i = 0; i < 3; i++) {
          wire.write('GET /bytes/10 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
          const kept = await wire.message();
          assert.equal(kept.field('connection'), 'keep-alive');
          assert.equal(kept.body.length, 10);
        }
      });

      it('ends the connection that a client wants ended, after its answer', async () => {
        await dial();
        assert.equal((await ask(wire, 'GET /', 'Connection: close\r\n')).field('connection'), 'close');
        assert.equal(await wire.closed(), 'fin');
      });

      it('still answers a client that has ended its direction', async () => {
        await dial();
        wire.write('GET /bytes/100000 HTTP/1.1\r\nhost: a\r\n\r\n');
        wire.fin();
        assert.equal((await wire.message()).body.length, 100_000);
      });

      it('holds an endpoint back for a client that does not read', async () => {
        await dial();
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
      });

      it('uses few connections for many clients, and counts each request once', async () => {
        const before = await metrics(sluice);
        const opened = endpoint.connections;
        const agent = new Agent({ keepAlive: true, maxSockets: 32 });
        const port = sluice.port('edge');
        const one = async (path: string): Promise<number> => {
          const [response] = (await once(get({ host: '127.0.0.1', port, path, agent }), 'response')) as [
            IncomingMessage,
          ];
          let length = 0;
          for await (const piece of response) length += (piece as Buffer).length;
          return response.statusCode === 200 ? length : -1;
        };
        const total = 4000;
        for (let done = 0; done < total; done += 100) {
          const sizes = Array.from({ length: 100 }, (_, i) => ((done + i) % 7) * 1000);
          assert.deepEqual(await Promise.all(sizes.map((size) => one(`/bytes/${size}`))), sizes);
        }
        agent.destroy();
        // As many clients that come once.
        const strangers = await Promise.all(
          Array.from({ length: 40 }, () => exchange(port, `GET / HTTP/1.1\r\n${HOST}\r\n`)),
        );
        for (const { status, body } of strangers) assert.deepEqual([status, body.toString()], [200, 'hello']);
        await quiet(sluice);
        const value = await metrics(sluice);
        const grown = (name: string, ...labels: string[]): number => value(name, ...labels) - before(name, ...labels);
        assert.equal(grown('request_total'), total + 40);
        assert.equal(grown('response_total', 'status_code="200"'), total + 40);
        assert.equal(grown('response_latency_ms_count'), total + 40);
        assert.equal(grown('sluice_http2_streams_total', 'role="client"'), total + 40);
        assert.equal(grown('sluice_endpoint_failures_total'), 0);
        assert.equal(grown('sluice_endpoint_abandoned_total'), 0);
        assert.ok(endpoint.connections - opened <= 4, `${endpoint.connections - opened} connections`);
      });
    });

    describe('heads', () => {
      let endpoint: Http2Endpoint;
      let sluice: Sluice;
      let seen: Record<string, string | string[] | undefined>;

      before(async () => {
        endpoint = await http2Endpoint(null);
        endpoint.server.on('stream', (stream, headers) => {
          seen = headers;
          const path = String(headers[':path']);
          if (path.startsWith('/status/')) {
            const status = Number(path.slice(8));
            const length = status === 304 ? { 'content-length': '5' } : {};
            stream.respond({ ':status': status, 'x-a': 'b', ...length }, { endStream: true });
          } else if (path === '/early') {
            stream.additionalHeaders({ ':status': 103, link: '</a.css>' });
            stream.respond({ ':status': 200, 'content-length': '2' });
            stream.end('ok');
          } else {
            if (headers.expect === '100-continue') stream.additionalHeaders({ ':status': 100 });
            stream.respond({ ':status': 200, 'set-cookie': ['a=1; Path=/', 'b=2'], 'x-lower': 'yes' });
            stream.pipe(stream);
          }
        });
        sluice = await startGateway(io, [endpoint.address]);
      });
      afterEach(() => quiet(sluice));
      after(async () => {
        assert.equal(await sluice.stop(), 0);
        await endpoint.close();
      });

      it('become an HTTP/2 request: pseudo fields, lower case, nothing hop-by-hop', async () => {
        await exchange(
          sluice.port('edge'),
          'GET /path?query=1 HTTP/1.1\r\nHost: name.test:8080\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\nCookie: a=1; b=2\r\nX-Own: Value\r\n\r\n',
        );
        assert.equal(seen[':method'], 'GET');
        assert.equal(seen[':path'], '/path?query=1');
        assert.equal(seen[':scheme'], 'http');
        assert.equal(seen[':authority'] ?? seen.host, 'name.test:8080');
        assert.equal(seen['x-own'], 'Value');
        assert.equal(seen.cookie, 'a=1; b=2');
        for (const name of ['connection', 'keep-alive', 'x-hop', 'transfer-encoding', 'upgrade']) {
          assert.equal(seen[name], undefined, name);
        }
        assert.ok(seen.te === undefined || seen.te === 'trailers');
      });

      it('become an HTTP/1.1 response, with cookies apart and in order', async () => {
        const body = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nok';
        const message = await exchange(sluice.port('edge'), body);
        assert.match(message.start, /^HTTP\/1\.1 200/);
        assert.deepEqual(
          message.fields.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value),
          ['a=1; Path=/', 'b=2'],
        );
        assert.equal(message.field('x-lower'), 'yes');
        assert.equal(message.body.toString(), 'ok');
        assert.ok(message.fields.every(([name]) => !name.startsWith(':')));
      });

      it('that have no content are known by their status, and the connection goes on', async () => {
        const wire = await client(sluice.port('edge'));
        const lengths = { 204: null, 304: '5', 200: '0', 404: '0', 410: '0' };
        const statuses = [404, 204, 304, 200, 410] as const;
        // All at once: they are answered in their order.
        wire.write(statuses.map((status) => `GET /status/${status} HTTP/1.1\r\n${HOST}\r\n`).join(''));
        for (const status of statuses) {
          const answer = await wire.message();
          assert.deepEqual(
            [answer.status, answer.field('x-a'), answer.field('content-length')],
            [status, 'b', lengths[status]],
          );
          if (status === 204 || status === 304) assert.equal(answer.framing, 'none');
        }
        assert.equal((await ask(wire, 'POST /', 'Content-Length: 2\r\n', 'ok')).body.toString(), 'ok');
        wire.destroy();
      });

      it('that are interim come before their response, but not to HTTP/1.0', async () => {
        const wire = await client(sluice.port('edge'));
        const hint = await ask(wire, 'GET /early');
        assert.deepEqual([hint.status, hint.field('link')], [103, '</a.css>']);
        assert.equal((await wire.message()).body.toString(), 'ok');
        wire.destroy();
        const old = await exchange(sluice.port('edge'), 'GET /early HTTP/1.0\r\n\r\n');
        assert.deepEqual([old.status, old.body.toString()], [200, 'ok']);
      });

      it('let the endpoint say whether a body is wanted', async () => {
        const wire = await client(sluice.port('edge'));
        assert.equal((await ask(wire, 'POST /', 'Expect: 100-continue\r\nContent-Length: 4\r\n')).status, 100);
        wire.write('body');
        assert.equal((await wire.message()).body.toString(), 'body');
        wire.destroy();
      });
    });

    for (const speaks of ['http1', 'http2'] as const) {
      it(`a large body that arrives before its turn is read to its end (${speaks} endpoint)`, async () => {
        let release: () => void = () => undefined;
        const behaviour: Behaviour = (asked, answer) => {
          if (asked.url !== '/first') return usual('later')(asked, answer);
          release = () => answer.end('first');
          return undefined;
        };
        const endpoint = await (speaks === 'http1' ? http1Endpoint(behaviour) : http2Endpoint(behaviour));
        const sluice = await startGateway(io, [endpoint.address], { speaks });
        const wire = await client(sluice.port('edge'));
        const body = content(4_000_037);
        wire.write(`GET /first HTTP/1.1\r\n${HOST}\r\n`);
        wire.write(`POST /digest HTTP/1.1\r\n${HOST}${CHUNKED}\r\n`);
        wire.write(inChunks(body, 50_021));
        // What is read ahead has a limit, at which the client is stopped.
        await eventually(
          async () => (await sluice.metric('sluice_limit_total', { limit: 'pipelined-bytes' })) > 0,
          'the client is stopped',
        );
        release();
        assert.equal((await wire.message()).body.toString(), 'first');
        assert.deepEqual(JSON.parse((await wire.message()).body.toString()), digestOf(body));
        wire.destroy();
        await quiet(sluice);
        assert.equal(await sluice.stop(), 0);
        await endpoint.close();
      });
    }
  });
}
