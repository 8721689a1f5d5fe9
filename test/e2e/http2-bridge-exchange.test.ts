// Requests that change their version on the way: HTTP/2 clients with HTTP/1.1 endpoints, and HTTP/1.1 clients with HTTP/2 endpoints.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { type Behaviour, content, type Digest, digestOf, sha1, usual } from '../support/content.js';
import { quiet, startGateway, tearDown } from '../support/gateway.js';
import {
  answering,
  client as dialHttp1,
  exchange,
  type Message,
  OK,
  type Upstream,
  upstream,
  type Wire,
} from '../support/http.js';
import {
  type Endpoint,
  Http2Client,
  type Http2Endpoint,
  hangUp,
  http1Endpoint,
  http2Endpoint,
} from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

const SIZES = [0, 1, 16_384, 65_535, 65_536, 1_000_003, 16 << 20];

afterEach(hangUp);
after(tearDown);

const chunked = (bytes: Buffer, step: number, trailers = ''): Buffer => {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    const piece = bytes.subarray(at, at + step);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  parts.push(Buffer.from(`0\r\n${trailers}\r\n`));
  return Buffer.concat(parts);
};

for (const io of await availableExecutors()) {
  describe(`HTTP/2 client, HTTP/1.1 endpoint on ${io}`, () => {
    describe('bodies', () => {
      let endpoint: Endpoint;
      let sluice: Sluice;

      before(async () => {
        endpoint = await http1Endpoint();
        sluice = await startGateway(io, [endpoint.address], { speaks: 'http1' });
      });
      after(async () => {
        hangUp();
        await quiet(sluice);
        assert.equal(await sluice.stop(), 0);
        await endpoint.close();
      });

      it('of 0 B to 16 MiB reach the endpoint, with and without a length', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        for (const size of SIZES) {
          const body = content(size);
          for (const length of [{}, { 'content-length': String(size) }]) {
            const { status, text } = await client.ask({ ':method': 'POST', ':path': '/digest', ...length }, { body });
            assert.equal(status, 200, text);
            assert.deepEqual(JSON.parse(text), digestOf(body));
          }
        }
      });

      it('of 0 B to 16 MiB come back, with and without a length', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        for (const size of SIZES) {
          for (const query of ['', '?unknown']) {
            const { status, headers, body } = await client.ask({ ':path': `/bytes/${size}${query}` });
            assert.deepEqual([status, body.length, sha1(body)], [200, size, sha1(content(size))]);
            assert.equal(headers['content-length'], query === '' ? String(size) : undefined);
            assert.equal(headers['transfer-encoding'], undefined);
            assert.equal(headers.connection, undefined);
          }
        }
      });

      it('of many streams go their way side by side', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        const sizes = Array.from({ length: 60 }, (_, i) => (i * 7919) % 200_003);
        const replies = await Promise.all(
          sizes.map((size) => client.ask({ ':method': 'POST', ':path': '/echo' }, { body: content(size) })),
        );
        assert.deepEqual(
          replies.map(({ body }) => sha1(body)),
          sizes.map((size) => sha1(content(size))),
        );
      });

      it('pass trailers both ways', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        const trailers = { 'x-check': 'sum', 'x-end': 'yes' };
        const { text } = await client.ask(
          { ':method': 'POST', ':path': '/digest', trailer: 'x-check, x-end', te: 'trailers' },
          { body: content(70_000), trailers },
        );
        assert.deepEqual(JSON.parse(text), digestOf(content(70_000), trailers));
        const got = await client.ask({ ':path': '/bytes/70000?trailers', te: 'trailers' });
        assert.equal(sha1(got.body), sha1(content(70_000)));
        assert.deepEqual(Object.entries(got.trailers), [
          ['x-sum', sha1(content(70_000))],
          ['x-last', 'yes'],
        ]);
      });
    });

    describe('heads', () => {
      let origin: Upstream;
      let sluice: Sluice;

      before(async () => {
        origin = await upstream();
        sluice = await startGateway(io, [origin.address], { speaks: 'http1', service: '    pool: { maxIdle: 0 }' });
      });
      after(async () => {
        hangUp();
        await quiet(sluice);
        assert.equal(await sluice.stop(), 0);
        await origin.close();
      });

      /** What the endpoint saw of a request, and what the client got. */
      const ask = async (
        headers: Record<string, string | string[]>,
        answer = OK,
        body?: Buffer,
      ): Promise<[Message, Awaited<ReturnType<Http2Client['ask']>>]> => {
        let seen: Message | undefined;
        origin.script(
          answering((request) => {
            seen = request;
            return answer;
          }),
        );
        const client = await Http2Client.open(sluice.port('edge'));
        const reply = await client.ask(headers, body === undefined ? {} : { body });
        client.close();
        assert.ok(seen !== undefined);
        return [seen, reply];
      };

      it('become an HTTP/1.1 request: the line, Host, cookies in one field, no TE', async () => {
        const [seen] = await ask({
          ':path': '/path?query=1',
          ':authority': 'name.test:8080',
          cookie: ['a=1', 'b=2', 'c=3'],
          te: 'trailers',
          'x-own': 'value',
        });
        assert.equal(seen.start, 'GET /path?query=1 HTTP/1.1');
        assert.equal(seen.field('host'), 'name.test:8080');
        assert.equal(seen.field('cookie'), 'a=1; b=2; c=3');
        assert.equal(seen.field('x-own'), 'value');
        for (const name of ['transfer-encoding', 'content-length', ':authority']) assert.equal(seen.field(name), null);
      });

      it('become an HTTP/2 response: no hop-by-hop field, several fields of a name in their order', async () => {
        const [, { status, headers, text }] = await ask(
          {},
          'HTTP/1.1 404 Nothing Here\r\nContent-Length: 4\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nX-Mixed-Case: Yes\r\nSet-Cookie: b=2\r\n\r\nnone',
        );
        assert.deepEqual([status, text], [404, 'none']);
        assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
        assert.equal(headers['x-mixed-case'], 'Yes');
        for (const name of ['connection', 'keep-alive', 'x-hop', 'transfer-encoding']) {
          assert.equal(headers[name], undefined, name);
        }
      });

      it('HEAD, 204 and 304 have no body, whatever length they name', async () => {
        const head = await ask({ ':method': 'HEAD' }, 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n');
        assert.equal(head[0].method, 'HEAD');
        assert.deepEqual([head[1].status, head[1].headers['content-length'], head[1].body.length], [200, '1000', 0]);
        const none = await ask({}, 'HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n');
        assert.deepEqual([none[1].status, none[1].body.length, none[1].headers['x-a']], [204, 0, 'b']);
        const same = await ask({}, 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n');
        assert.deepEqual([same[1].status, same[1].body.length, same[1].headers.etag], [304, 0, '"x"']);
      });

      it('a 103 comes before its response', async () => {
        const [, reply] = await ask({}, `HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n${OK}`);
        assert.deepEqual(
          reply.informational.map((fields) => [fields[':status'], fields.link]),
          [[103, '</a.css>']],
        );
        assert.equal(reply.text, 'ok');
      });

      it('Expect: 100-continue waits for the endpoint', async () => {
        origin.script(async (wire) => {
          const head = await wire.until(() => wire.text.includes('\r\n\r\n') && wire.text, 'the head');
          assert.match(head, /\r\nexpect: 100-continue\r\n/i);
          assert.ok(!head.includes('body'));
          wire.write('HTTP/1.1 100 Continue\r\n\r\n');
          const request = await wire.message();
          assert.equal(request.body.toString(), 'the body');
          wire.write(OK);
        });
        const client = await Http2Client.open(sluice.port('edge'));
        const stream = client.start({ ':method': 'POST', expect: '100-continue', 'content-length': '8' });
        await new Promise((resolve) => stream.once('continue', resolve));
        stream.end('the body');
        const [headers] = await new Promise<[Record<string, unknown>]>((resolve) =>
          stream.once('response', (fields) => resolve([fields])),
        );
        assert.equal(headers[':status'], 200);
        stream.resume();
        await new Promise((resolve) => stream.once('close', resolve));
      });

      it('a body that is not what content-length says is an error for the endpoint, never a whole request', async () => {
        let whole = 0;
        origin.script(async (wire) => {
          await wire.message();
          whole++;
          wire.write(OK);
        });
        const client = await Http2Client.open(sluice.port('edge'));
        const post = (length: string, body: string) =>
          client.ask({ ':method': 'POST', 'content-length': length }, { body });
        await assert.rejects(post('10', 'short'));
        await assert.rejects(post('2', 'too long'));
        assert.equal(whole, 0);
      });

      it('a response that breaks off is an error, never a whole one', async () => {
        origin.script(async (wire) => {
          await wire.message();
          wire.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
          wire.fin();
        });
        const client = await Http2Client.open(sluice.port('edge'));
        await assert.rejects(client.ask());
        origin.script(async (wire) => {
          await wire.message();
          wire.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n');
          wire.fin();
        });
        await assert.rejects(client.ask());
        origin.script(async (wire) => {
          await wire.message();
          wire.write('HTTP/1.1 200 OK\r\n\r\nuntil the end');
          wire.fin();
        });
        assert.equal((await client.ask()).text, 'until the end');
      });

      it('a client that leaves takes its request along', async () => {
        let wire: Wire | undefined;
        origin.script(async (side) => {
          await side.message();
          wire = side;
        });
        const client = await Http2Client.open(sluice.port('edge'));
        const stream = client.start({}, true);
        await eventually(() => wire !== undefined, 'the request has arrived');
        stream.close(8);
        await wire?.closed();
        assert.ok(!client.closed);
        origin.script(answering(() => OK));
        assert.equal((await client.ask()).text, 'ok');
      });
    });
  });

  for (const speaks of ['http1', 'http2'] as const) {
    it(`a large body that arrives before its turn is read to its end (${speaks} endpoint, ${io})`, async () => {
      let release: () => void = () => undefined;
      const behaviour: Behaviour = (asked, answer) => {
        if (asked.url !== '/first') return usual('later')(asked, answer);
        release = () => answer.end('first');
        return undefined;
      };
      const endpoint = await (speaks === 'http1' ? http1Endpoint(behaviour) : http2Endpoint(behaviour));
      const sluice = await startGateway(io, [endpoint.address], { speaks });
      const wire = await dialHttp1(sluice.port('edge'));
      const body = content(4_000_037);
      wire.write('GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n');
      wire.write('POST /digest HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n');
      wire.write(chunked(body, 50_021));
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

  describe(`HTTP/1.1 client, HTTP/2 endpoint on ${io}`, () => {
    let endpoint: Http2Endpoint;
    let sluice: Sluice;

    before(async () => {
      endpoint = await http2Endpoint();
      sluice = await startGateway(io, [endpoint.address], { speaks: 'http2' });
    });
    after(async () => {
      await quiet(sluice);
      assert.equal(await sluice.stop(), 0);
      await endpoint.close();
    });

    it('bodies of 0 B to 16 MiB reach the endpoint, with a length and in chunks', async () => {
      const wire = await dialHttp1(sluice.port('edge'));
      for (const size of SIZES) {
        const body = content(size);
        for (const framing of ['length', 'chunked']) {
          const length = framing === 'length' ? `Content-Length: ${size}` : 'Transfer-Encoding: chunked';
          wire.write(`POST /digest HTTP/1.1\r\nHost: a.test\r\n${length}\r\n\r\n`);
          wire.write(framing === 'length' ? body : chunked(body, 50_021));
          const message = await wire.message({ method: 'POST' });
          assert.equal(message.status, 200);
          assert.deepEqual(JSON.parse(message.body.toString()), digestOf(body));
        }
      }
      wire.destroy();
    });

    it('bodies of 0 B to 16 MiB come back, with a length and in chunks', async () => {
      const wire = await dialHttp1(sluice.port('edge'));
      for (const size of SIZES) {
        for (const query of ['', '?unknown']) {
          wire.write(`GET /bytes/${size}${query} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
          const { status, body, framing } = await wire.message();
          assert.deepEqual([status, body.length, sha1(body)], [200, size, sha1(content(size))]);
          if (query === '') assert.equal(framing, 'length');
        }
      }
      wire.destroy();
    });

    it('trailers pass both ways', async () => {
      const wire = await dialHttp1(sluice.port('edge'));
      wire.write('POST /digest HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-check\r\n\r\n');
      wire.write(chunked(content(70_000), 9999, 'X-Check: sum\r\n'));
      const posted = await wire.message({ method: 'POST' });
      assert.deepEqual(JSON.parse(posted.body.toString()) as Digest, digestOf(content(70_000), { 'x-check': 'sum' }));
      wire.write('GET /bytes/70000?trailers HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n');
      const got = await wire.message();
      assert.equal(sha1(got.body), sha1(content(70_000)));
      assert.deepEqual(new Map(got.trailers).get('x-sum'), sha1(content(70_000)));
      wire.destroy();
    });

    it('many clients share few connections', async () => {
      const before_ = endpoint.connections;
      const replies = await Promise.all(
        Array.from({ length: 40 }, () => exchange(sluice.port('edge'), 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')),
      );
      for (const { status, body } of replies) assert.deepEqual([status, body.toString()], [200, 'hello']);
      assert.ok(endpoint.connections - before_ <= 2, `${endpoint.connections - before_} more connections`);
    });

    describe('heads', () => {
      let raw: Http2Endpoint;
      let edge: Sluice;
      let seen: Record<string, string | string[] | undefined>;

      before(async () => {
        raw = await http2Endpoint(null);
        raw.server.on('stream', (stream, headers) => {
          seen = headers;
          stream.resume();
          const path = String(headers[':path']);
          if (path === '/early') stream.additionalHeaders({ ':status': 103, link: '</a.css>' });
          if (path.startsWith('/status/')) {
            stream.respond({ ':status': Number(path.slice(8)), 'x-a': 'b' }, { endStream: true });
          } else if (headers[':method'] === 'HEAD') {
            stream.respond({ ':status': 200, 'content-length': '1000' }, { endStream: true });
          } else if (path === '/broken') {
            stream.respond({ ':status': 200 });
            stream.write('half', () => stream.destroy(new Error('broken')));
          } else {
            stream.respond({ ':status': 200, 'set-cookie': ['a=1', 'b=2'], 'x-lower': 'yes' });
            stream.end('ok');
          }
        });
        edge = await startGateway(io, [raw.address], { speaks: 'http2' });
      });
      after(async () => {
        await quiet(edge);
        assert.equal(await edge.stop(), 0);
        await raw.close();
      });

      const ask = (head: string, method = 'GET'): Promise<Message> => exchange(edge.port('edge'), head, method);

      it('become an HTTP/2 request: pseudo fields, lower case, nothing hop-by-hop', async () => {
        const { start } = await ask(
          'GET /path?query=1 HTTP/1.1\r\nHost: name.test:8080\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\nCookie: a=1; b=2\r\nX-Own: Value\r\n\r\n',
        );
        assert.match(start, /^HTTP\/1\.1 200/);
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

      it('become an HTTP/1.1 response', async () => {
        const message = await ask('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
        assert.deepEqual(
          message.fields.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value),
          ['a=1', 'b=2'],
        );
        assert.equal(message.field('x-lower'), 'yes');
        assert.equal(message.body.toString(), 'ok');
        assert.ok(message.fields.every(([name]) => !name.startsWith(':')));
      });

      it('HEAD, 204 and 304 have no body, and the connection goes on', async () => {
        const wire = await dialHttp1(edge.port('edge'));
        wire.write('HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n');
        const head = await wire.message({ method: 'HEAD' });
        assert.deepEqual([head.status, head.field('content-length')], [200, '1000']);
        for (const status of [204, 304]) {
          wire.write(`GET /status/${status} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
          const message = await wire.message();
          assert.deepEqual([message.status, message.field('x-a'), message.framing], [status, 'b', 'none']);
        }
        wire.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
        assert.equal((await wire.message()).body.toString(), 'ok');
        wire.destroy();
      });

      it('a 103 comes before its response, and not to HTTP/1.0', async () => {
        const wire = await dialHttp1(edge.port('edge'));
        wire.write('GET /early HTTP/1.1\r\nHost: a.test\r\n\r\n');
        const early = await wire.message();
        assert.deepEqual([early.status, early.field('link')], [103, '</a.css>']);
        assert.equal((await wire.message()).status, 200);
        wire.destroy();
        const old = await ask('GET /early HTTP/1.0\r\nHost: a.test\r\n\r\n');
        assert.deepEqual([old.status, old.body.toString()], [200, 'ok']);
      });

      it('a response that breaks off is not taken for a whole one', async () => {
        const wire = await dialHttp1(edge.port('edge'));
        wire.write('GET /broken HTTP/1.1\r\nHost: a.test\r\n\r\n');
        await assert.rejects(wire.message());
        wire.destroy();
      });

      it('pipelined requests are answered in their order', async () => {
        const wire = await dialHttp1(edge.port('edge'));
        const one = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`;
        wire.write(one('/status/404') + one('/') + one('/status/410'));
        const statuses: number[] = [];
        for (let i = 0; i < 3; i++) statuses.push((await wire.message()).status);
        assert.deepEqual(statuses, [404, 200, 410]);
        wire.destroy();
      });
    });

    it('Expect: 100-continue waits for the endpoint', async () => {
      // Node's compatible server says 100 by itself.
      const wire = await dialHttp1(sluice.port('edge'));
      wire.write('POST /digest HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n');
      assert.equal((await wire.message()).status, 100);
      wire.write('the body');
      const message = await wire.message();
      assert.deepEqual(JSON.parse(message.body.toString()), digestOf(Buffer.from('the body')));
      wire.destroy();
    });
  });
}
