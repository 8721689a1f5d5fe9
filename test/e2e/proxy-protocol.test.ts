// PROXY headers, read from clients and sent to endpoints.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import {
  deadPort,
  dial,
  ended,
  fate,
  fullListener,
  hangUp,
  listen,
  read,
  readAll,
  type TcpServer,
} from '../support/tcp.js';

const V1 = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n';
const V2_SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';
/** Source [2001:db8::1]:4660, with an extension behind the addresses. */
const V2 = Buffer.concat([
  Buffer.from(V2_SIGNATURE, 'latin1'),
  Buffer.from('2121002820010db8000000000000000000000001000000000000000000000000000000011234005004000100', 'hex'),
]).toString('latin1');
const LOCAL = `${V2_SIGNATURE}\x20\0\0\0`;
/** Extensions with a checksum that is wrong. */
const WRONG = Buffer.concat([
  Buffer.from(V2_SIGNATURE, 'latin1'),
  Buffer.from('211100130a0000010a00000213880050030004deadbeef', 'hex'),
]).toString('latin1');

async function send(socket: Socket, ...pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece, 'latin1');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** It has nothing to say to who has left. */
const ends = (socket: Socket): Socket => socket.on('end', () => socket.end());

/** An endpoint that echoes, or answers HTTP/1. */
const server = (): Promise<TcpServer> =>
  listen((socket) => {
    socket
      .on('end', () => socket.end())
      .on('data', (chunk: Buffer) => {
        const http = chunk.toString('latin1').endsWith('\r\n\r\n');
        socket.write(http ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' : chunk);
      });
  });

async function behind(
  io: Executor,
  header: string,
  run: (sluice: Sluice, origin: TcpServer) => Promise<void>,
): Promise<void> {
  const origin = await server();
  const greeter = await listen((socket) => ends(socket).write('hello'));
  const sluice = await startSluice(
    `drain: { hold: 0 }
log: { access: true }
detect: { timeout: 0 }
listeners:
  - { name: bytes, listen: "127.0.0.1:0", service: out, protocol: opaque, proxyProtocol: ${header} }
  - { name: web, listen: "127.0.0.1:0", service: out, protocol: http1, proxyProtocol: ${header} }
  - { name: any, listen: "127.0.0.1:0", service: out, proxyProtocol: ${header} }
  - { name: greets, listen: "127.0.0.1:0", service: greeter, proxyProtocol: ${header} }
  - { name: plain, listen: "127.0.0.1:0", service: out, protocol: opaque }
services:
  out: { endpoints: ["127.0.0.1:${origin.port}"] }
  greeter: { endpoints: ["127.0.0.1:${greeter.port}"] }
`,
    io,
  );
  try {
    await run(sluice, origin);
  } finally {
    hangUp();
    await sluice.stop();
    await Promise.all([origin.close(), greeter.close()]);
  }
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const client = (sluice: Sluice, name: string): Promise<unknown> =>
  sluice.logged((line) => line.client === name && /^(connection|request)$/.test(line.message));

afterEach(hangUp);

for (const io of await availableExecutors()) {
  describe(io, () => {
    test('a header says who the client is, however it arrives and whatever follows', async () => {
      await behind(io, 'true', async (sluice) => {
        for (const [header, source] of [
          [V1, '192.0.2.7:56324'],
          [V2, '[2001:db8::1]:4660'],
        ] as const) {
          const ways = [
            (rest: string) => [header + rest],
            (rest: string) => [header, rest],
            (rest: string) => [...[...header].map((_, i) => header[i]), rest],
            (rest: string) => [header + rest.slice(0, 3), rest.slice(3)],
            (rest: string) => [header.slice(0, 20), header.slice(20) + rest.slice(0, 1), rest.slice(1)],
          ];
          for (const way of ways) {
            const bytes = await dial(sluice.port('bytes'));
            const echo = read(bytes, 11);
            await send(bytes, ...way('some bytes.'));
            assert.equal((await echo).toString(), 'some bytes.');
            bytes.end();
            for (const listener of ['web', 'any']) {
              const web = await dial(sluice.port(listener));
              const answer = readAll(web);
              await send(web, ...way(GET));
              assert.match((await answer).toString(), /^HTTP\/1\.1 200 OK/, listener);
            }
            const raw = await dial(sluice.port('any'));
            const raws = read(raw, 7);
            await send(raw, ...way('\0\x01bytes'));
            assert.equal((await raws).toString(), '\0\x01bytes');
            raw.end();
          }
          await client(sluice, source);
        }
        assert.equal(await sluice.metric('sluice_proxy_header_refused_total'), 0);
        assert.equal(await sluice.metric('sluice_proxy_headers_total'), 40);
        assert.equal(await sluice.metric('sluice_verdict_total', { listener: 'any', verdict: 'http1' }), 10);
        assert.equal(await sluice.metric('sluice_verdict_total', { listener: 'any', verdict: 'opaque' }), 10);
        const names = sluice.log.filter(({ message }) => message === 'request').map((line) => line.client);
        assert.deepEqual(new Set(names), new Set(['192.0.2.7:56324', '[2001:db8::1]:4660']));
      });
    });

    test('a client behind it may be silent, and hears a server that speaks first', async () => {
      await behind(io, 'true', async (sluice) => {
        for (let i = 0; i < 2; i++) {
          const silent = await dial(sluice.port('greets'));
          silent.write(V1);
          assert.equal((await read(silent, 5)).toString(), 'hello');
        }
        assert.equal(await sluice.metric('sluice_verdict_total', { listener: 'greets', reason: 'learned' }), 1);
      });
    });

    test('where it says no address that of the connection holds', async () => {
      await behind(io, 'true', async (sluice) => {
        for (const header of [LOCAL, 'PROXY UNKNOWN\r\n', `${V2_SIGNATURE}\x21\0\0\0`]) {
          const local = await dial(sluice.port('bytes'));
          const name = `127.0.0.1:${local.localPort}`;
          local.end(`${header}bytes`, 'latin1');
          assert.equal((await readAll(local)).toString(), 'bytes');
          await client(sluice, name);
        }
      });
    });

    test('whoever says none, or a wrong one, is refused, and nothing of it reaches an endpoint', async () => {
      await behind(io, '{ maxBytes: 200B, timeout: 100ms }', async (sluice, origin) => {
        const cases = [
          GET,
          '\0bytes',
          'PROXY TCP4 1.2.3.4\r\n',
          'PROXY ',
          V2_SIGNATURE,
          WRONG,
          `${V2_SIGNATURE}\x21\x11\x01\x00`,
          '',
        ];
        for (const words of cases)
          assert.equal(
            await fate(sluice.port('bytes'), Buffer.from(words, 'latin1')),
            'ECONNRESET',
            JSON.stringify(words),
          );
        assert.equal(origin.sockets.length, 0);
        assert.equal(await sluice.metric('sluice_proxy_header_refused_total'), cases.length);
        assert.equal(await sluice.metric('sluice_limit_total', { limit: 'proxy-header-time' }), 3);
        assert.equal(await sluice.metric('sluice_limit_total', { limit: 'proxy-header-bytes' }), 1);
        for (const reason of ['missing', 'malformed', 'checksum', 'too-long', 'late'])
          await sluice.logged((line) => line.reason === `proxy-header-${reason}`);
        // Who only looks whether anybody listens is no event.
        const probe = await dial(sluice.port('bytes'));
        probe.end();
        assert.equal(await ended(probe), 'end');
        assert.equal(await sluice.metric('sluice_proxy_header_refused_total'), cases.length);
      });
    });

    test('only networks that are trusted may connect, with a header', async () => {
      await behind(io, '{ from: ["127.0.0.0/8", "::1"] }', async (sluice) => {
        const trusted = await dial(sluice.port('bytes'));
        trusted.write(`${V1}bytes`);
        assert.equal((await read(trusted, 5)).toString(), 'bytes');
        assert.equal(await fate(sluice.port('bytes'), Buffer.from('bytes')), 'ECONNRESET');
      });
      await behind(io, '{ from: ["10.0.0.0/8"] }', async (sluice, origin) => {
        assert.equal(await fate(sluice.port('bytes'), Buffer.from(`${V1}bytes`)), 'ECONNRESET');
        assert.equal(await sluice.metric('sluice_proxy_header_strangers_total'), 1);
        assert.equal(await sluice.metric('tcp_close_total', { peer: 'src', errno: 'refused' }), 1);
        assert.equal(origin.sockets.length, 0);
      });
    });

    for (const version of ['v1', 'v2'] as const) {
      describe(`an endpoint that wants a header (${version})`, () => {
        interface Setup {
          readonly endpoints: readonly string[];
          readonly service?: string;
        }
        async function toward(
          { endpoints, service = '' }: Setup,
          run: (sluice: Sluice) => Promise<void>,
        ): Promise<void> {
          const sluice = await startSluice(
            `drain: { hold: 0 }
detect: { timeout: 0 }
listeners:
  - { name: bytes, listen: "127.0.0.1:0", service: out }
  - { name: mixed, listen: "127.0.0.1:0", services: { tls: null, default: out } }
  - { name: behind, listen: "127.0.0.1:0", service: out, proxyProtocol: true }
services:
  out: { protocol: opaque, proxyProtocol: ${version}, endpoints: ${JSON.stringify(endpoints)}, ${service} }
`,
            io,
          );
          try {
            await run(sluice);
          } finally {
            hangUp();
            await sluice.stop();
          }
        }

        const header = (from: number, to: number): string =>
          version === 'v1'
            ? `PROXY TCP4 127.0.0.1 127.0.0.1 ${from} ${to}\r\n`
            : `${V2_SIGNATURE}\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01${String.fromCharCode(from >> 8, from & 255, to >> 8, to & 255)}`;
        const expects = async (socket: Socket, from: Socket, port: number, words = ''): Promise<void> => {
          const whole = header(from.localPort ?? 0, port) + words;
          assert.equal((await read(socket, whole.length)).toString('latin1'), whole);
        };

        test('gets it once, before all else, with or without words of the client', async () => {
          const origin = await listen(ends);
          try {
            await toward({ endpoints: [`127.0.0.1:${origin.port}`] }, async (sluice) => {
              for (const listener of ['bytes', 'mixed']) {
                const port = sluice.port(listener);
                const speaks = await dial(port);
                speaks.write('ruok');
                await expects(await origin.next(), speaks, port, 'ruok');
                // Its server speaks when it knows to whom.
                const silent = await dial(port);
                const upstream = await origin.next();
                await expects(upstream, silent, port);
                upstream.write('hello');
                assert.equal((await read(silent, 5)).toString(), 'hello');
                silent.write('more');
                assert.equal((await read(upstream, 4)).toString(), 'more');
              }
            });
          } finally {
            await origin.close();
          }
        });

        test('gets it once where another endpoint is down, or does not answer', async () => {
          const origin = await listen(ends);
          const full = await fullListener();
          try {
            const services = [
              'balance: { policy: round-robin }, breaker: { failures: 0 }',
              'hedgeDelay: 30ms, connectTimeout: 1h',
            ];
            const others = [`127.0.0.1:${await deadPort()}`, full.address];
            for (const [index, service] of services.entries()) {
              await toward({ endpoints: [others[index], `127.0.0.1:${origin.port}`], service }, async (sluice) => {
                for (const listener of ['bytes', 'mixed', 'bytes', 'mixed']) {
                  const port = sluice.port(listener);
                  const speaks = await dial(port);
                  speaks.write('\0words');
                  await expects(await origin.next(), speaks, port, '\0words');
                  const silent = await dial(port);
                  await expects(await origin.next(), silent, port);
                }
              });
            }
          } finally {
            full.close();
            await origin.close();
          }
        });

        test('hears of the client that a header has named', async () => {
          const origin = await listen(ends);
          try {
            await toward({ endpoints: [`127.0.0.1:${origin.port}`] }, async (sluice) => {
              const named = await dial(sluice.port('behind'));
              named.write(`${V1}words`);
              const upstream = await origin.next();
              const whole =
                version === 'v1'
                  ? `${V1}words`
                  : `${V2_SIGNATURE}\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbbwords`;
              assert.equal((await read(upstream, whole.length)).toString('latin1'), whole);
            });
          } finally {
            await origin.close();
          }
        });
      });
    }

    test('a reload may ask for headers, and no more', async () => {
      const origin = await server();
      const config = (more: string): string =>
        `drain: { hold: 0 }\nlisteners:\n  - { name: in, listen: "127.0.0.1:0", service: out, protocol: opaque${more} }\n` +
        `services: { out: { endpoints: ["127.0.0.1:${origin.port}"] } }\n`;
      const sluice = await startSluice(config(''), io);
      const says = async (words: string, expected: string): Promise<void> => {
        await eventually(
          async () => {
            const socket = await dial(sluice.port('in')).catch(() => undefined);
            if (socket === undefined) return false;
            socket.end(words);
            return (await readAll(socket).catch(() => '')).toString() === expected;
          },
          `${JSON.stringify(words)} is answered with ${JSON.stringify(expected)}`,
        );
      };
      try {
        await says('plain', 'plain');
        sluice.reload(config(', proxyProtocol: true'));
        await says(`${V1}behind`, 'behind');
        sluice.reload(config(''));
        await says('plain', 'plain');
      } finally {
        hangUp();
        await sluice.stop();
        await origin.close();
      }
    });
  });
}
