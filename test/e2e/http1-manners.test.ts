// What a proxy is expected to pass on, to tolerate, and to keep.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { settled, startEdge, startGateway, tearDown } from '../support/gateway.js';
import { client, type Message, type Upstream, upstream, type Wire } from '../support/http.js';
import { Http2Client, hangUp } from '../support/http2.js';
import { availableExecutors, type Executor, type Sluice } from '../support/sluice.js';
import { deadPort } from '../support/tcp.js';

after(tearDown);

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const DOCKER =
  'POST /exec/1/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n';

async function against(
  io: Executor,
  play: (wire: Wire) => Promise<void> | void,
  run: (wire: Wire, sluice: Sluice, origin: Upstream) => Promise<void>,
): Promise<void> {
  const origin = await upstream(play);
  const sluice = await startEdge(io, [origin.address]);
  const wire = await client(sluice.port('edge'));
  try {
    await run(wire, sluice, origin);
    wire.destroy();
    await settled(sluice);
  } finally {
    wire.destroy();
    await sluice.stop();
    await origin.close();
  }
}

/** Answers every request with `response`, and keeps the requests. */
const answering =
  (response: string, seen: Message[] = []) =>
  async (wire: Wire): Promise<void> => {
    for (;;) {
      seen.push(await wire.message());
      wire.write(response);
    }
  };

for (const io of await availableExecutors()) {
  describe(`manners of HTTP/1 on ${io}`, () => {
    it('an Upgrade with a body (docker exec) is sent once it is whole, and makes a tunnel', () =>
      against(
        io,
        async (wire) => {
          const request = await wire.message();
          assert.deepEqual([request.field('upgrade'), request.body.toString()], ['tcp', '{"Tty":true}']);
          wire.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello');
          await wire.until(() => wire.text.includes('bye'), 'the client’s word');
          wire.fin();
        },
        async (wire) => {
          await wire.sent(`${DOCKER}Content-Length: 12\r\n\r\n`);
          await wire.sent('{"Tty"');
          await wire.sent(':true}');
          await wire.until(() => wire.text.includes('101') && wire.text.endsWith('hello'), 'the tunnel');
          wire.write('bye');
          assert.equal(await wire.closed(), 'fin');
        },
      ));

    it('one whose body is not known, or large, is refused and not changed; offers of TLS and h2c are ignored', async () => {
      const seen: Message[] = [];
      await against(io, answering(OK, seen), async (_, sluice) => {
        for (const fields of ['Transfer-Encoding: chunked', 'Content-Length: 100000']) {
          const wire = await client(sluice.port('edge'));
          wire.write(`${DOCKER}${fields}\r\n\r\n`);
          const { status, field } = await wire.message();
          assert.deepEqual([status, field('sluice-error')], [501, 'not-implemented']);
          wire.destroy();
        }
        for (const offer of ['TLS/1.2', 'h2c']) {
          const wire = await client(sluice.port('edge'));
          const head = DOCKER.replace('tcp', offer);
          wire.write(`${head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`);
          assert.equal((await wire.message()).status, 200);
          assert.equal(seen.at(-1)?.field('upgrade'), null);
          wire.destroy();
        }
      });
    });

    it('statuses without a class pass, to clients of either version, and are counted', async () => {
      const origin = await upstream(answering('HTTP/1.1 999 No\r\nContent-Length: 2\r\n\r\nno'));
      const sluice = await startGateway(io, [origin.address], { speaks: 'http1' });
      const wire = await client(sluice.port('edge'));
      wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal((await wire.message()).start, 'HTTP/1.1 999 No');
      wire.destroy();
      const http2 = await Http2Client.open(sluice.port('edge'));
      assert.equal((await http2.ask({ ':path': '/' })).status, 999);
      hangUp();
      assert.equal(await sluice.metric('response_total', { status_code: 'other' }), 2);
      await sluice.stop();
      await origin.close();
    });

    it('the size of a chunk of a response may be padded, that of a request may not', () =>
      against(
        io,
        answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2   \r\nok\r\n0 \r\n\r\n'),
        async (wire) => {
          wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
          assert.equal((await wire.message()).body.toString(), 'ok');
          wire.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n');
          assert.equal((await wire.message()).status, 400);
        },
      ));

    it('426 says what it wants', () =>
      against(
        io,
        answering(
          'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n',
        ),
        async (wire) => {
          for (const [fields, connection] of [
            ['', 'upgrade'],
            ['Connection: close\r\n', 'close, upgrade'],
          ]) {
            wire.write(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
            const { status, field } = await wire.message();
            assert.deepEqual([status, field('upgrade'), field('connection')], [426, 'websocket', connection]);
          }
        },
      ));

    it('a 502 of Sluice’s own keeps the connection, and what was pipelined', async () => {
      const seen: Message[] = [];
      await against(
        io,
        async (wire) => {
          for (;;) {
            const request = await wire.message();
            seen.push(request);
            if (request.target === '/bad') return void wire.socket.destroy();
            wire.write(OK);
          }
        },
        async (wire) => {
          wire.write(
            ['/good', '/bad', '/good', '/bad', '/good']
              .map((path) => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx`)
              .join(''),
          );
          for (const status of [200, 502, 200, 502, 200]) {
            const answer = await wire.message();
            assert.deepEqual([answer.status, answer.field('connection')], [status, null]);
          }
        },
      );
    });

    it('so does one for an endpoint that is not there', async () => {
      const sluice = await startEdge(io, [`127.0.0.1:${await deadPort()}`]);
      const wire = await client(sluice.port('edge'));
      wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3));
      for (let i = 0; i < 3; i++) assert.ok((await wire.message()).status >= 502);
      wire.destroy();
      await sluice.stop();
    });

    for (const [what, sent, name, passed] of [
      ['Connection: keep-alive with parameters', 'Connection: keep-alive; max=5, x-hop\r\nX-Hop: 1', 'x-hop', null],
      ['TE: trailers in a list', 'TE: trailers, deflate;q=0.5\r\nConnection: TE', 'te', 'trailers'],
      ['TE: trailers behind others', 'TE: gzip;q=0.3 , Trailers\r\nConnection: TE', 'te', 'Trailers'],
      ['TE without trailers', 'TE: deflate\r\nConnection: TE', 'te', null],
    ] as const) {
      it(`${what} is read as it is meant`, async () => {
        const seen: Message[] = [];
        await against(io, answering(OK, seen), async (wire) => {
          for (let i = 0; i < 2; i++) {
            wire.write(`GET / HTTP/1.1\r\nHost: a\r\n${sent}\r\n\r\n`);
            assert.equal((await wire.message()).status, 200);
          }
          assert.equal(seen[0]?.field(name), passed);
        });
      });
    }

    it('Expect: 100-continue of a request without content gets its 100', async () => {
      await against(io, answering(OK), async (wire) => {
        wire.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n');
        await wire.until(() => wire.text.endsWith('ok'), 'the response');
        assert.match(wire.text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
      });
    });

    it('a Host in raw UTF-8 passes', async () => {
      const seen: Message[] = [];
      await against(io, answering(OK, seen), async (wire) => {
        wire.write(Buffer.from('GET / HTTP/1.1\r\nHost: bücher.example:80\r\n\r\n'));
        assert.equal((await wire.message()).status, 200);
        assert.equal(Buffer.from(seen[0]?.field('host') ?? '', 'latin1').toString(), 'bücher.example:80');
      });
    });
  });
}
