// Endpoints that answer before they have the whole request: the answer reaches clients that write all of it before they read, and an endpoint
// that goes on reading gets the rest.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { content, sha1 } from '../support/content.js';
import { settled, startEdge, tearDown } from '../support/gateway.js';
import { client, type Upstream, upstream, type Wire } from '../support/http.js';
import { availableExecutors, type Executor, eventually, type Sluice } from '../support/sluice.js';

after(tearDown);

const SIZE = 20_000_000;
const BODY = content(SIZE);
const TIMES = 4;
const HEAD = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n';
const headOf = (fields: string): string => `POST /up HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n`;

/** What an endpoint does that does not want a request, once it has seen some of it. */
const REFUSALS: Readonly<Record<string, (wire: Wire) => Promise<void> | void>> = {
  'closes, with much unread': async (wire) => {
    wire.socket.pause();
    await wire.sent(`${HEAD}Connection: close\r\n\r\ntoo large`);
    wire.socket.destroy();
  },
  'closes its direction, and reads nothing': (wire) => {
    wire.socket.pause();
    wire.socket.end(`${HEAD}Connection: close\r\n\r\ntoo large`);
  },
  'reads nothing, and keeps the connection': (wire) => {
    wire.socket.pause();
    wire.write(`${HEAD}\r\ntoo large`);
  },
  'throws the rest away, and keeps the connection': (wire) => wire.write(`${HEAD}\r\ntoo large`),
};

const PYTHON = `
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
c.request("POST", "/up", body=b"x" * ${SIZE})
r = c.getresponse()
print(r.status, r.read().decode())
`;

/** Clients, and the status that each gets for a large upload. */
const CLIENTS: Readonly<Record<string, (port: number) => Promise<string>>> = {
  'writes everything before it reads': async (port) => {
    const wire = await client(port);
    wire.socket.pause();
    await wire.sent(headOf(`Content-Length: ${SIZE}`));
    await wire.sent(BODY);
    wire.socket.resume();
    const { status, body } = await wire.message();
    wire.destroy();
    return `${status} ${body}`;
  },
  'is Python': (port) => output('python3', ['-c', PYTHON, String(port)]),
  'is curl': (port) =>
    output('bash', [
      '-c',
      `head -c ${SIZE} /dev/zero | curl -sS -H 'Expect:' -w '%{http_code} ' --data-binary @- http://127.0.0.1:${port}/up`,
    ]),
  'is Node': (port) =>
    new Promise((resolve, reject) => {
      const call = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: '/up' }, (response) => {
        response.resume().once('end', () => resolve(`${response.statusCode} too large`));
      });
      call.once('error', reject);
      call.end(BODY);
    }),
};

async function output(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(child, 'close');
  return text.trim();
}

async function against(
  io: Executor,
  play: (wire: Wire) => Promise<void> | void,
  run: (sluice: Sluice, origin: Upstream) => Promise<void>,
  top = '',
): Promise<void> {
  const origin = await upstream(play);
  const sluice = await startEdge(io, [origin.address], { top });
  try {
    await run(sluice, origin);
    await settled(sluice);
  } finally {
    await sluice.stop();
    await origin.close();
  }
}

/** Answers 202 when it has seen the head, and reads on. What it has got of each body, and when. */
function reader(got: string[], fields = ''): (wire: Wire) => Promise<void> {
  return async (wire) => {
    for (;;) {
      await wire.until(() => wire.text.includes('\r\n\r\n'), 'a head');
      const early = !wire.text.startsWith('GET');
      if (early) wire.write(`HTTP/1.1 202 Accepted\r\n${fields}Content-Length: 2\r\n\r\nok`);
      const { body } = await wire.message();
      got.push(sha1(body));
      if (!early) wire.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  };
}

for (const io of await availableExecutors()) {
  describe(`early answers on ${io}`, () => {
    for (const [what, refuse] of Object.entries(REFUSALS)) {
      it(`reach a client, whoever it is, of an endpoint that ${what}`, () =>
        against(
          io,
          async (wire) => {
            await wire.until(() => wire.total > 50_000, 'some of the request');
            await refuse(wire);
          },
          async (sluice) => {
            for (const [who, ask] of Object.entries(CLIENTS)) {
              for (let i = 0; i < (who.startsWith('writes') ? TIMES : 1); i++) {
                const got = await ask(sluice.port('edge'));
                assert.match(got, /413/, `one that ${who}: ${got}`);
                assert.match(got, /too large/, `one that ${who}: ${got}`);
              }
            }
            assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
          },
        ));
    }

    it('reach a client of Node’s own server', async () => {
      const server = createServer((_, response) => response.writeHead(413).end('too large')).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const sluice = await startEdge(io, [`127.0.0.1:${(server.address() as AddressInfo).port}`]);
      for (const ask of Object.values(CLIENTS)) assert.match(await ask(sluice.port('edge')), /413/);
      await sluice.stop();
      server.close();
      server.closeAllConnections();
    });

    for (const framing of ['a length', 'chunks'] as const) {
      it(`an endpoint that answers 202 and reads on gets the rest, of ${framing}, and both connections serve on`, async () => {
        const got: string[] = [];
        await against(io, reader(got), async (sluice, origin) => {
          const wire = await client(sluice.port('edge'));
          const half = SIZE / 2;
          if (framing === 'a length') await wire.sent(headOf(`Content-Length: ${SIZE}`));
          else await wire.sent(`${headOf('Transfer-Encoding: chunked')}${SIZE.toString(16)}\r\n`);
          const answer = await wire.message();
          assert.deepEqual([answer.status, answer.field('connection')], [202, null]);
          await wire.sent(BODY.subarray(0, half));
          assert.deepEqual(got, []);
          await wire.sent(BODY.subarray(half));
          // Behind the rest is the next request.
          await wire.sent(`${framing === 'chunks' ? '\r\n0\r\n\r\n' : ''}GET / HTTP/1.1\r\nHost: a\r\n\r\n`);
          assert.equal((await wire.message()).status, 200);
          assert.deepEqual(got, [sha1(BODY), sha1(Buffer.alloc(0))]);
          wire.destroy();
          assert.equal(origin.connections.length, 1);
          assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
          assert.equal(await sluice.metric('response_total', { status_code: '202' }), 1);
        });
      });
    }

    it('a client that has its 202 and leaves, or whose endpoint leaves, has been served', async () => {
      for (const who of ['client', 'endpoint'] as const) {
        const got: string[] = [];
        await against(io, reader(got), async (sluice, origin) => {
          const wire = await client(sluice.port('edge'));
          await wire.sent(headOf(`Content-Length: ${SIZE}`));
          assert.equal((await wire.message()).status, 202);
          await wire.sent(BODY.subarray(0, 1000));
          if (who === 'client') wire.destroy();
          else origin.connections[0]?.socket.destroy();
          await eventually(async () => (await sluice.metric('sluice_service_in_flight')) === 0, 'the end of it');
          wire.destroy();
          assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
          assert.equal(await sluice.metric('sluice_service_unanswered_total'), 0);
          assert.equal(await sluice.metric('response_total', { status_code: '202' }), 1);
        });
      }
    });

    it('a client that waits for 100 and is told 202 instead may send no body: its connection ends', async () => {
      await against(io, reader([]), async (sluice) => {
        const wire = await client(sluice.port('edge'));
        wire.write(headOf('Content-Length: 10\r\nExpect: 100-continue'));
        const answer = await wire.message();
        assert.deepEqual([answer.status, answer.field('connection')], [202, 'close']);
        wire.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.equal(await wire.closed(), 'fin');
        wire.destroy();
      });
    });

    it('are waited for within lingerTimeout, and nothing is read past maxLinger', () =>
      against(
        io,
        async (wire) => {
          await wire.until(() => wire.total > 50_000, 'some of the request');
          wire.socket.end(`${HEAD}Connection: close\r\n\r\ntoo large`);
        },
        async (sluice) => {
          const wire = await client(sluice.port('edge'));
          wire.write(headOf(`Content-Length: ${SIZE}`));
          wire.write(BODY);
          assert.equal((await wire.message()).status, 413);
          await eventually(
            async () => (await sluice.metric('sluice_limit_total', { limit: 'linger' })) > 0,
            'its limit',
          );
          await eventually(async () => (await sluice.metric('sluice_worker_connections')) === 0, 'the end of it');
          wire.destroy();
        },
        'limits: { http1: { lingerTimeout: 300ms, maxLinger: 64KiB } }',
      ));
  });
}
