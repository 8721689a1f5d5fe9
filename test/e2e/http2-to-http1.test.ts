// HTTP/2 clients of endpoints that speak HTTP/1: what arrives on either side.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import { content, digestOf, sha1, usual } from '../support/content.js';
import { across, quiet, startGateway, tearDown } from '../support/gateway.js';
import { answering, exchange, type Message, OK, type Upstream, upstream, type Wire } from '../support/http.js';
import { type Endpoint, Http2Client, hangUp, http1Endpoint, type Reply, reply } from '../support/http2.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';

const SIZES = [0, 1, 100, 16_384, 65_535, 65_536, 300_000, 1_000_003, 16 << 20];

afterEach(hangUp);
after(tearDown);

for (const io of await availableExecutors()) {
  describe(`HTTP/2 to HTTP/1 on ${io}`, () => {
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
            assert.deepEqual(JSON.parse(text), digestOf(body), `${size} octets, ${JSON.stringify(length)}`);
          }
        }
      });

      it('of 0 B to 16 MiB come back, with and without a length, and before trailers', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        for (const size of SIZES) {
          for (const query of ['', '?unknown', '?trailers']) {
            const { status, headers, body, trailers } = await client.ask({ ':path': `/bytes/${size}${query}` });
            assert.deepEqual([status, body.length, sha1(body)], [200, size, sha1(content(size))], query);
            assert.equal(headers['content-length'], query === '' ? String(size) : undefined);
            assert.equal(headers['transfer-encoding'], undefined);
            assert.equal(headers.connection, undefined);
            assert.equal(trailers['x-last'], query === '?trailers' ? 'yes' : undefined);
          }
        }
      });

      it('of 0 B to 16 MiB come back while they go', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        for (const size of SIZES) {
          const { body } = await client.ask({ ':method': 'POST', ':path': '/echo' }, { body: content(size) });
          assert.deepEqual([body.length, sha1(body)], [size, sha1(content(size))]);
        }
      });

      it('of many streams go their way side by side, over as many connections, which are kept', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        const opened = endpoint.connections;
        const sizes = Array.from({ length: 60 }, (_, i) => (i * 7919) % 200_003);
        for (let round = 0; round < 3; round++) {
          const replies = await Promise.all(
            sizes.map((size) => client.ask({ ':method': 'POST', ':path': '/echo' }, { body: content(size) })),
          );
          assert.deepEqual(
            replies.map(({ body }) => sha1(body)),
            sizes.map((size) => sha1(content(size))),
          );
        }
        assert.ok(endpoint.connections - opened <= sizes.length, `${endpoint.connections - opened} connections`);
      });

      it('pass trailers both ways', async () => {
        const client = await Http2Client.open(sluice.port('edge'));
        const trailers = { 'x-check': 'sum', 'x-end': 'yes' };
        for (const size of [0, 10, 70_000, 200_000]) {
          for (const announced of [{}, { trailer: 'x-check, x-end', te: 'trailers' }]) {
            const { text } = await client.ask(
              { ':method': 'POST', ':path': '/digest', ...announced },
              { body: content(size), trailers },
            );
            assert.deepEqual(JSON.parse(text), digestOf(content(size), trailers));
          }
        }
        const got = await client.ask({ ':path': '/bytes/70000?trailers', te: 'trailers' });
        assert.equal(sha1(got.body), sha1(content(70_000)));
        // Fields of different names may change places.
        assert.deepEqual(Object.entries(got.trailers).sort(), [
          ['x-last', 'yes'],
          ['x-sum', sha1(content(70_000))],
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
      ): Promise<[Message, Reply]> => {
        let seen: Message | undefined;
        origin.script(
          answering((request) => {
            seen = request;
            return answer;
          }),
        );
        const client = await Http2Client.open(sluice.port('edge'));
        const got = await client.ask(headers, body === undefined ? {} : { body });
        client.close();
        assert.ok(seen !== undefined);
        return [seen, got];
      };

      it('become an HTTP/1.1 request: the line, Host, cookies in one field, no TE', async () => {
        const fields = {
          ':path': '/path?query=1',
          ':authority': 'name.test:8080',
          cookie: ['a=1', 'b=2', 'c=3'],
          te: 'trailers',
          'x-own': 'value',
        };
        const [seen] = await ask(fields);
        assert.equal(seen.start, 'GET /path?query=1 HTTP/1.1');
        assert.equal(seen.field('host'), 'name.test:8080');
        assert.equal(seen.field('cookie'), 'a=1; b=2; c=3');
        assert.equal(seen.field('x-own'), 'value');
        for (const name of ['transfer-encoding', 'content-length', ':authority']) assert.equal(seen.field(name), null);
        const [posted] = await ask({ ...fields, ':method': 'POST' }, OK, Buffer.from('abc'));
        assert.equal(posted.start, 'POST /path?query=1 HTTP/1.1');
        assert.deepEqual(posted.fields[0], ['Host', 'name.test:8080']);
        assert.deepEqual([posted.framing, posted.field('transfer-encoding')], ['chunked', 'chunked']);
        assert.equal(posted.body.toString(), 'abc');
      });

      it('put a body of unknown length in chunks, one for each piece', async () => {
        let text = '';
        origin.script(async (wire) => {
          text = await wire.until(() => wire.text.endsWith('0\r\n\r\n') && wire.text, 'the last chunk');
          wire.write(OK);
        });
        const client = await Http2Client.open(sluice.port('edge'));
        await client.ask({ ':method': 'POST' }, { body: 'abc' });
        assert.equal(text.slice(text.indexOf('\r\n\r\n') + 4), '3\r\nabc\r\n0\r\n\r\n');
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

      it('pass on interim responses, and what dribbles in', async () => {
        const pieces = [
          'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n',
          '\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 2',
          '00 OK\r\nX-A: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nTransfer-Enc',
          'oding: chunked\r\n\r\n5\r\nhel',
          'lo\r\n6\r\n world\r\n0\r\n',
          'X-Trailer: t\r\n',
          '\r\n',
        ];
        origin.script(async (wire) => {
          await wire.message();
          for (const piece of pieces) {
            await wire.sent(piece);
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        });
        const client = await Http2Client.open(sluice.port('edge'));
        const answer = await client.ask();
        assert.deepEqual(
          answer.informational.map((fields) => fields[':status']),
          [103, 102],
        );
        assert.equal(answer.informational[0].link, '</a.css>');
        assert.equal(answer.text, 'hello world');
        assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2']);
        assert.equal(answer.trailers['x-trailer'], 't');
      });

      for (const length of [{}, { 'content-length': '8' }]) {
        it(`wait for 100 (Continue) together with the client: ${JSON.stringify(length)}`, async () => {
          origin.script(async (wire) => {
            const head = await wire.until(() => wire.text.includes('\r\n\r\n') && wire.text, 'the head');
            assert.match(head, /\r\nexpect: 100-continue\r\n/i);
            assert.ok(head.endsWith('\r\n\r\n'), head);
            wire.write('HTTP/1.1 100 Continue\r\n\r\n');
            const { body } = await wire.message();
            wire.write(body.toString() === 'the body' ? OK : 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
          });
          const client = await Http2Client.open(sluice.port('edge'));
          const stream = client.start({ ':method': 'POST', expect: '100-continue', ...length });
          await once(stream, 'continue');
          const answer = reply(stream);
          stream.end('the body');
          assert.equal((await answer).status, 200);
        });
      }

      it('that promise another length than comes are an error for the endpoint, never a whole request', async () => {
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
    });

    it('knows responses that have no body, whatever length they name, and keeps their connection', async () => {
      const answers: Readonly<Record<string, string>> = {
        '/204': 'HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n',
        '/304': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\nETag: "x"\r\n\r\n',
        '/': 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n',
      };
      const methods: string[] = [];
      const script = async (wire: Wire): Promise<void> => {
        for (;;) {
          const { method, target } = await wire.message();
          methods.push(method);
          wire.write(answers[target] ?? '');
        }
      };
      await across(io, await upstream(script), { speaks: 'http1' }, async (sluice, origin) => {
        const client = await Http2Client.open(sluice.port('edge'));
        const none = await client.ask({ ':path': '/204' });
        assert.deepEqual([none.status, none.body.length, none.headers['x-a']], [204, 0, 'b']);
        const same = await client.ask({ ':path': '/304' });
        assert.deepEqual([same.status, same.body.length, same.headers.etag], [304, 0, '"x"']);
        const head = await client.ask({ ':method': 'HEAD', ':path': '/' });
        assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '1234', 0]);
        assert.deepEqual(methods, ['GET', 'GET', 'HEAD']);
        assert.equal(origin.connections.length, 1);
      });
    });

    it('shares its connections with HTTP/1 clients', async () => {
      // A client that is late, on a busy machine, would be raced: with a connection of its own.
      const gateway = { speaks: 'http1', top: 'detect: { race: off }' } as const;
      await across(io, await http1Endpoint(usual('hello')), gateway, async (sluice, endpoint) => {
        const client = await Http2Client.open(sluice.port('edge'));
        for (let i = 0; i < 5; i++) {
          assert.equal((await client.ask({ ':path': '/' })).text, 'hello');
          const { body } = await exchange(sluice.port('edge'), 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
          assert.equal(body.toString(), 'hello');
        }
        assert.equal(endpoint.connections, 1);
      });
    });
  });
}
