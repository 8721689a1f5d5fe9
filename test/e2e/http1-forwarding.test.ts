// What a request and a response become on their way through: start lines, fields, hop-by-hop, versions, persistence.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { settled, startEdge } from '../support/gateway.js';
import { answering, client, exchange, type Message, metrics, OK, type Upstream, upstream } from '../support/http.js';
import { availableExecutors, plainSockets, type Sluice } from '../support/sluice.js';

const names = (message: Message): string[] => message.fields.map(([name]) => name.toLowerCase());

for (const io of await availableExecutors()) {
  describe(`HTTP/1 forwarding on ${io}`, () => {
    let origin: Upstream;
    let sluice: Sluice;
    let seen: Message[] = [];
    let answer: (request: Message) => string = () => OK;

    const plain = answering((request) => {
      seen.push(request);
      return answer(request);
    });

    before(async () => {
      origin = await upstream(plain);
      sluice = await startEdge(io, [origin.address], { halfClose: true });
    });
    afterEach(async () => {
      await settled(sluice);
      seen = [];
      answer = () => OK;
    });
    after(async () => {
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    const ask = (request: string, method = 'GET'): Promise<Message> => exchange(sluice.port('edge'), request, method);

    it('passes a request and its response on unchanged where nothing is hop-by-hop', async () => {
      answer = () =>
        'HTTP/1.1 201 Made Here\r\nX-One: 1\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 3\r\n\r\nyes';
      const response = await ask(
        'GET /p?q=%20 HTTP/1.1\r\nHost: example.test:81\r\nX-Custom:  spaced \r\nAccept: */*\r\n\r\n',
      );
      assert.equal(response.start, 'HTTP/1.1 201 Made Here');
      assert.deepEqual(
        response.fields.filter(([name]) => name === 'Set-Cookie').map(([, value]) => value),
        ['a=b', 'c=d'],
      );
      assert.equal(response.body.toString(), 'yes');
      assert.equal(seen[0]?.start, 'GET /p?q=%20 HTTP/1.1');
      assert.deepEqual(seen[0]?.fields, [
        ['Host', 'example.test:81'],
        ['X-Custom', 'spaced'],
        ['Accept', '*/*'],
      ]);
    });

    it('removes hop-by-hop fields and what Connection names, both ways', async () => {
      answer = () =>
        'HTTP/1.1 200 OK\r\nConnection: x-mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2\r\nX-Yours: 2\r\nContent-Length: 0\r\n\r\n';
      const response = await ask(
        'GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop , close\r\nx-hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nX-End: 2\r\n\r\n',
      );
      assert.deepEqual(names(response), ['x-yours', 'connection', 'content-length']);
      assert.equal(response.field('connection'), 'close');
      assert.deepEqual(names(seen[0] as Message), ['host', 'x-end']);
    });

    it('forwards TE: trailers with its own Connection option, and no other TE', async () => {
      await ask('GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n');
      assert.equal(seen[0]?.field('te'), 'trailers');
      assert.equal(seen[0]?.field('connection'), 'te');
    });

    it('refuses a Connection that names an end-to-end field', async () => {
      const response = await ask('GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nConnection: authorization\r\n\r\n');
      assert.equal(response.status, 400);
      assert.equal(seen.length, 0);
    });

    it('makes Host anew from an absolute-form target, whatever Host said', async () => {
      await ask('GET http://real.test:8080/x?y HTTP/1.1\r\nHost: other.test\r\nA: b\r\n\r\n');
      assert.equal(seen[0]?.start, 'GET /x?y HTTP/1.1');
      assert.equal(seen[0]?.field('host'), 'real.test:8080');
      await ask('GET http://real.test?q HTTP/1.1\r\nHost: real.test\r\n\r\n');
      assert.equal(seen[1]?.target, '/?q');
      await ask('OPTIONS http://real.test HTTP/1.1\r\nHost: real.test\r\n\r\n');
      assert.equal(seen[2]?.start, 'OPTIONS * HTTP/1.1');
      await ask('OPTIONS * HTTP/1.1\r\nHost: real.test\r\n\r\n');
      assert.equal(seen[3]?.start, 'OPTIONS * HTTP/1.1');
    });

    it('speaks 1.1 to the endpoint for an HTTP/1.0 client, gives it a Host, and closes', async () => {
      const wire = await client(sluice.port('edge'));
      wire.write('GET /old HTTP/1.0\r\n\r\n');
      const response = await wire.message();
      assert.equal(response.field('connection'), 'close');
      assert.equal(response.field('content-length'), '2');
      assert.equal(await wire.closed(), 'fin');
      wire.destroy();
      assert.equal(seen[0]?.start, 'GET /old HTTP/1.1');
      assert.equal(seen[0]?.field('host'), 'web');
      assert.equal(seen[0]?.field('connection'), null);
    });

    it('keeps an HTTP/1.0 connection that asked for keep-alive', async () => {
      const wire = await client(sluice.port('edge'));
      for (let i = 0; i < 3; i++) {
        wire.write('GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: a\r\n\r\n');
        const response = await wire.message();
        assert.equal(response.field('connection'), 'keep-alive');
        assert.equal(response.body.toString(), 'ok');
      }
      wire.destroy();
    });

    it('gives an HTTP/1.0 client an unchunked body that ends with the connection', async () => {
      answer = () =>
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\nT: 1\r\n\r\n';
      const wire = await client(sluice.port('edge'));
      wire.write('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      const response = await wire.message();
      assert.equal(response.framing, 'close');
      assert.equal(response.field('transfer-encoding'), null);
      assert.equal(response.field('connection'), 'close');
      assert.equal(response.body.toString(), 'wikipedia');
      wire.destroy();
    });

    it('chunks a body of unknown length for an HTTP/1.1 client and keeps its connection', async () => {
      await drainPool();
      origin.script(async (side) => {
        await side.message();
        await side.sent('HTTP/1.0 200 OK\r\nX-I: 1\r\n\r\nuntil the ');
        side.write('end');
        side.fin();
      });
      const wire = await client(sluice.port('edge'));
      for (let i = 0; i < 3; i++) {
        wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        const response = await wire.message();
        assert.equal(response.start, 'HTTP/1.1 200 OK');
        assert.equal(response.framing, 'chunked');
        assert.equal(response.body.toString(), 'until the end');
      }
      wire.destroy();
      origin.script(plain);
    });

    it('sends no body after HEAD, 204 and 304, and keeps both connections in step', async () => {
      const wire = await client(sluice.port('edge'));
      answer = ({ target }) => {
        if (target === '/head') return 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n';
        if (target === '/head-chunked') return 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
        if (target === '/204') return 'HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n';
        if (target === '/304') return 'HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\nETag: "x"\r\n\r\n';
        return OK;
      };
      const lengths: (string | null)[] = [];
      for (const [method, target] of [
        ['HEAD', '/head'],
        ['HEAD', '/head-chunked'],
        ['GET', '/204'],
        ['GET', '/304'],
        ['GET', '/'],
      ] as const) {
        wire.write(`${method} ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
        const response = await wire.message({ method });
        lengths.push(response.field('content-length'));
        assert.equal(response.field('transfer-encoding'), null, target);
      }
      assert.deepEqual(lengths, ['1000', null, null, '70', '2']);
      wire.destroy();
    });

    it('answers a client that ended its direction after the request', async () => {
      const wire = await client(sluice.port('edge'));
      wire.write('GET /a HTTP/1.1\r\nHost: a\r\n\r\n');
      wire.fin();
      const response = await wire.message();
      assert.equal(response.body.toString(), 'ok');
      // A transport may report the end after the response has begun.
      if (plainSockets) assert.equal(response.field('connection'), 'close');
      assert.equal(await wire.closed(), 'fin');
      wire.destroy();
    });

    it('answers every request that was pipelined before the client ended its direction', async () => {
      answer = ({ target }) => `HTTP/1.1 200 OK\r\ncontent-length: ${target.length}\r\n\r\n${target}`;
      const wire = await client(sluice.port('edge'));
      wire.socket.end(
        'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n',
      );
      for (const target of ['/1', '/2', '/3']) assert.equal((await wire.message()).body.toString(), target);
      assert.equal(await wire.closed(), 'fin');
      wire.destroy();
    });

    it('refuses the half of a request that the client ended with', async () => {
      const wire = await client(sluice.port('edge'));
      wire.socket.end('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab');
      assert.equal((await wire.message()).status, 200);
      const second = await wire.message();
      assert.equal(second.status, 400);
      assert.equal(second.field('sluice-error'), 'bad-request');
      wire.destroy();
      assert.equal(await wire.closed(), 'fin');
    });

    it('closes after the response that answers Connection: close', async () => {
      const wire = await client(sluice.port('edge'));
      wire.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.equal((await wire.message()).field('connection'), 'close');
      assert.equal(await wire.closed(), 'fin');
      wire.destroy();
    });

    it('does not pass on that the endpoint closes, and does not use that connection again', async () => {
      answer = () => 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
      const wire = await client(sluice.port('edge'));
      const before = origin.connections.length;
      for (let i = 0; i < 3; i++) {
        wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.equal((await wire.message()).field('connection'), null);
      }
      assert.ok(origin.connections.length - before >= 2);
      wire.destroy();
    });

    it('forwards Expect: 100-continue, 100 and 103 in order, and no 1xx to an HTTP/1.0 client', async () => {
      const wire = await client(sluice.port('edge'));
      const play = async (side: Awaited<ReturnType<typeof client>>): Promise<void> => {
        await side.until(() => side.text.includes('\r\n\r\n'), 'a head');
        side.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
        seen.push(await side.message());
        side.write(
          'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok',
        );
        side.fin();
      };
      await drainPool();
      origin.script(play);
      wire.write('POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
      assert.equal((await wire.message()).status, 100);
      const hints = await wire.message();
      assert.equal(hints.status, 103);
      assert.equal(hints.field('link'), '</a>');
      wire.write('hello');
      assert.equal((await wire.message()).status, 102);
      assert.equal((await wire.message()).status, 200);
      assert.equal(seen.at(-1)?.field('expect'), '100-continue');
      assert.equal(seen.at(-1)?.body.toString(), 'hello');
      const old = await client(sluice.port('edge'));
      old.write('POST /e HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello');
      assert.equal((await old.message()).status, 200);
      old.destroy();
      wire.destroy();
      origin.script(plain);
    });

    /** Has the endpoint close its connections, so that the next request makes a new one. */
    async function drainPool(): Promise<void> {
      answer = () => 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
      for (;;) {
        if ((await metrics(sluice))('sluice_endpoint_pool_idle') === 0) return;
        await ask('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      }
    }

    it('counts and names the errors that it answers itself', async () => {
      const before = await metrics(sluice);
      const response = await ask('GET / HTTP/1.1\r\n\r\n');
      assert.equal(response.status, 400);
      assert.equal(response.field('sluice-error'), 'bad-request');
      assert.equal(response.field('connection'), 'close');
      const value = await metrics(sluice);
      const count = (of: typeof value): number => of('sluice_proxy_response_total', 'reason="bad-request"');
      assert.equal(count(value) - count(before), 1);
    });
  });
}
