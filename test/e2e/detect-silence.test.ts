// Where nothing is left to decide nobody waits: there is no timeout of detection here, so that what waits for it waits for ever.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { deadPort, dial, ended, fate, hangUp, listen, read, readAll, type TcpServer } from '../support/tcp.js';

afterEach(hangUp);

interface Setup {
  readonly io: Executor;
  /** Keys of the listener beside its name, address and detection. */
  readonly listener: string;
  readonly race?: string;
  readonly services: string;
}

const start = ({ io, listener, race = 'auto', services }: Setup): Promise<Sluice> =>
  startSluice(
    `drain: { hold: 0, grace: 100ms }
detect: { timeout: 0, race: ${race} }
listeners:
  - { name: in, listen: "127.0.0.1:0", ${listener} }
services:
${services}
`,
    io,
  );

const verdicts = (sluice: Sluice, verdict: string, reason: string): Promise<number> =>
  sluice.metric('sluice_verdict_total', { verdict, reason });

async function spoken(port: number, ...pieces: string[]): Promise<Socket> {
  const client = await dial(port);
  for (const piece of pieces) {
    client.write(piece, 'latin1');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return client;
}

/** An HTTP/1 server in a few lines, which also takes what is no HTTP. */
const anything = (): Promise<TcpServer> =>
  listen((socket) => {
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      else socket.write(`got ${chunk.toString('latin1')}`);
    });
  });

const UNLIKELY = [
  'ruok',
  'JDWP-Handshake',
  'x',
  'get key',
  'hello world ',
  'A'.repeat(20),
  'XYZZY',
  'NICE TRY',
  '\r\n',
  '\r',
];

for (const io of await availableExecutors()) {
  describe(io, () => {
    describe('a listener whose traffic all goes to one opaque service', () => {
      for (const services of ['service: db', 'services: { default: db }']) {
        test(`relays from the start (${services})`, async () => {
          const server = await listen();
          const sluice = await start({
            io,
            listener: services,
            race: 'off',
            services: `  db: { protocol: opaque, endpoints: ["127.0.0.1:${server.port}"] }`,
          });
          try {
            const silent = await dial(sluice.port('in'));
            (await server.next()).write('hello');
            assert.equal((await read(silent, 5)).toString(), 'hello');
            const slow = await dial(sluice.port('in'));
            slow.write('GE');
            assert.equal((await read(await server.next(), 2)).toString(), 'GE');
            assert.equal(await verdicts(sluice, 'opaque', 'hint'), 2);
          } finally {
            hangUp();
            await sluice.stop();
            await server.close();
          }
        });
      }

      test('ends its clients at once where its endpoint is down', async () => {
        const sluice = await start({
          io,
          listener: 'service: db',
          services: `  db: { protocol: opaque, endpoints: ["127.0.0.1:${await deadPort()}"] }`,
        });
        try {
          for (let i = 0; i < 3; i++) assert.equal(await fate(sluice.port('in')), 'ECONNRESET');
        } finally {
          await sluice.stop();
        }
      });
    });

    test('traffic that goes to different opaque services, or is refused in part, is still told apart', async () => {
      const a = await listen();
      const b = await listen();
      const sluice = await startSluice(
        `drain: { hold: 0, grace: 100ms }
detect: { timeout: 0, race: off }
listeners:
  - { name: two, listen: "127.0.0.1:0", services: { http1: a, default: b } }
  - { name: refuses, listen: "127.0.0.1:0", services: { tls: null, default: a } }
services:
  a: { protocol: opaque, endpoints: ["127.0.0.1:${a.port}"] }
  b: { protocol: opaque, endpoints: ["127.0.0.1:${b.port}"] }
`,
        io,
      );
      try {
        const http = await dial(sluice.port('two'));
        http.write('GET / HTTP/1.1\r\n\r\n');
        assert.equal((await read(await a.next(), 18)).toString(), 'GET / HTTP/1.1\r\n\r\n');
        const other = await dial(sluice.port('two'));
        other.write('\0other');
        assert.equal((await read(await b.next(), 6)).toString(), '\0other');
        const tls = await dial(sluice.port('refuses'));
        tls.write(Buffer.from('16030100c2010000be0303', 'hex'));
        assert.match(await ended(tls), /end|closed|ECONNRESET/);
        // It can't be TLS any more, and everything else goes to one place.
        const rest = await dial(sluice.port('refuses'));
        rest.write('GE');
        assert.equal((await read(await a.next(), 2)).toString(), 'GE');
      } finally {
        hangUp();
        await sluice.stop();
        await Promise.all([a.close(), b.close()]);
      }
    });

    describe('a client of a server that is known to speak first', () => {
      test('is let go when the server is down', async () => {
        const server = await listen((socket) => socket.write('hello'));
        const sluice = await start({
          io,
          listener: 'service: db',
          services: `  db: { endpoints: ["127.0.0.1:${server.port}"] }`,
        });
        try {
          const first = await dial(sluice.port('in'));
          assert.equal((await read(first, 5)).toString(), 'hello');
          first.destroy();
          await server.close();
          for (let i = 0; i < 3; i++) assert.equal(await fate(sluice.port('in')), 'ECONNRESET');
          assert.equal(await sluice.metric('tcp_close_total', { peer: 'src', errno: 'no-endpoint' }), 3);
        } finally {
          await sluice.stop();
        }
      });

      for (const how of ['end', 'resetAndDestroy'] as const) {
        test(`is let go when the server hangs up (${how})`, async () => {
          let greets = true;
          const server = await listen((socket) => {
            if (greets) socket.write('hello');
            else socket[how]();
          });
          const sluice = await start({
            io,
            listener: 'service: db',
            services: `  db: { endpoints: ["127.0.0.1:${server.port}"] }`,
          });
          try {
            const first = await dial(sluice.port('in'));
            assert.equal((await read(first, 5)).toString(), 'hello');
            greets = false;
            const client = await dial(sluice.port('in'));
            assert.equal(await ended(client), how === 'end' ? 'end' : 'ECONNRESET');
            assert.equal(await verdicts(sluice, 'opaque', 'learned'), 1);
          } finally {
            hangUp();
            await sluice.stop();
            await server.close();
          }
        });
      }

      test('gets its answer all the same when it speaks HTTP, and the server is forgotten', async () => {
        const server = await listen((socket) => socket.write('hello'));
        const sluice = await start({
          io,
          listener: 'service: db',
          race: '100ms',
          services: `  db: { endpoints: ["127.0.0.1:${server.port}"] }`,
        });
        try {
          const first = await dial(sluice.port('in'));
          assert.equal((await read(first, 5)).toString(), 'hello');
          first.destroy();
          await server.close();
          const client = await dial(sluice.port('in'));
          client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
          assert.match((await readAll(client)).toString(), /^HTTP\/1\.1 50/);
          assert.equal(await verdicts(sluice, 'http1', 'matched'), 1);
        } finally {
          await sluice.stop();
        }
      });
    });

    test('a silent client of a server that is down goes on waiting for words of its own', async () => {
      const sluice = await start({
        io,
        listener: 'service: web',
        services: `  web: { endpoints: ["127.0.0.1:${await deadPort()}"] }`,
      });
      try {
        const client = await dial(sluice.port('in'));
        await eventually(
          async () => (await sluice.metric('tcp_close_total', { peer: 'dst' })) > 0,
          'the endpoint was dialled',
        );
        client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
        assert.match((await readAll(client)).toString(), /^HTTP\/1\.1 50/);
      } finally {
        await sluice.stop();
      }
    });

    describe('words that can hardly become HTTP', () => {
      for (const race of ['auto', 'off', '20ms']) {
        test(`are relayed after a short silence (race: ${race})`, async () => {
          const server = await anything();
          const sluice = await start({
            io,
            listener: 'service: any',
            race,
            services: `  any: { endpoints: ["127.0.0.1:${server.port}"] }`,
          });
          try {
            const waiting = await dial(sluice.port('in'));
            waiting.write('GE');
            for (const words of UNLIKELY) {
              const client = await spoken(sluice.port('in'), words);
              assert.equal((await readAllOf(client, words.length)).toString('latin1'), words, JSON.stringify(words));
            }
            assert.equal(await verdicts(sluice, 'opaque', 'unlikely'), UNLIKELY.length);
            // Words of HTTP are waited for all the while.
            waiting.write('T / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
            assert.match((await readAll(waiting)).toString(), /^HTTP\/1\.1 200/);
            assert.equal(await verdicts(sluice, 'http1', 'matched'), 1);
          } finally {
            hangUp();
            await sluice.stop();
            await server.close();
          }
        });
      }

      test('after a silence in which the endpoint was dialled go on that connection', async () => {
        const server = await anything();
        const sluice = await start({
          io,
          listener: 'service: any',
          services: `  any: { endpoints: ["127.0.0.1:${server.port}"] }`,
        });
        try {
          const client = await dial(sluice.port('in'));
          await server.next();
          client.write('ruok');
          assert.equal((await read(client, 8)).toString(), 'got ruok');
          assert.equal(server.sockets.length, 1);
        } finally {
          hangUp();
          await sluice.stop();
          await server.close();
        }
      });

      test('end their client at once where the endpoint is down', async () => {
        const sluice = await start({
          io,
          listener: 'service: any',
          services: `  any: { endpoints: ["127.0.0.1:${await deadPort()}"] }`,
        });
        try {
          for (const words of ['ruok', 'XYZZY'])
            assert.equal(await fate(sluice.port('in'), words), 'ECONNRESET', words);
        } finally {
          await sluice.stop();
        }
      });

      test('go to the endpoint that answers', async () => {
        const server = await anything();
        const endpoints = `["127.0.0.1:${await deadPort()}", "127.0.0.1:${server.port}"]`;
        const sluice = await start({
          io,
          listener: 'service: any',
          services: `  any: { endpoints: ${endpoints}, balance: { policy: round-robin }, breaker: { failures: 0 } }`,
        });
        try {
          for (let i = 0; i < 4; i++) {
            const client = await spoken(sluice.port('in'), 'ruok');
            assert.equal((await read(client, 8)).toString(), 'got ruok');
          }
        } finally {
          hangUp();
          await sluice.stop();
          await server.close();
        }
      });

      test('are not cut off where nothing takes opaque traffic', async () => {
        const server = await anything();
        const sluice = await startSluice(
          `drain: { hold: 0, grace: 100ms }
detect: { timeout: 0 }
listeners:
  - { name: web, listen: "127.0.0.1:0", services: { http1: any } }
  - { name: any, listen: "127.0.0.1:0", service: any }
services:
  any: { endpoints: ["127.0.0.1:${server.port}"] }
`,
          io,
        );
        try {
          const slow = await spoken(sluice.port('web'), 'foo');
          const quick = await spoken(sluice.port('any'), 'foo');
          assert.equal((await read(quick, 7)).toString(), 'got foo');
          slow.write('bar / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
          assert.match((await readAll(slow)).toString(), /^HTTP\/1\.1 200/);
        } finally {
          hangUp();
          await sluice.stop();
          await server.close();
        }
      });
    });

    test('methods that nobody has registered are HTTP, whole or in pieces', async () => {
      const server = await anything();
      const sluice = await start({
        io,
        listener: 'service: any',
        services: `  any: { endpoints: ["127.0.0.1:${server.port}"] }`,
      });
      const rest = ' HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
      try {
        const requests = [
          [`PURGE /${rest}`],
          [`FOOBAR /${rest}`],
          [`foo /${rest}`],
          ['FOO', `BAR /${rest}`],
          ['F', 'O', 'OBAR', ' ', '/', rest],
          ['FOOBAR /', rest],
          ['FOOBAR / ', rest.trimStart()],
          ['foo / H', rest.slice(2)],
          ['P', `URGE /${rest}`],
          ['PRI * HTT', 'P/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'],
          ['\r\n', `GET /${rest}`],
        ];
        for (const pieces of requests) {
          const client = await spoken(sluice.port('in'), ...pieces);
          assert.match((await readAll(client)).toString(), /^HTTP\/1\.1 \d/, JSON.stringify(pieces));
        }
        assert.equal(await verdicts(sluice, 'http1', 'matched'), requests.length);
      } finally {
        hangUp();
        await sluice.stop();
        await server.close();
      }
    });
  });
}

/** What the far end has got of `length` bytes, as `anything` says, piece by piece. */
async function readAllOf(client: Socket, length: number): Promise<Buffer> {
  let got = Buffer.alloc(0);
  const words = (): Buffer => Buffer.from(got.toString('latin1').replaceAll('got ', ''), 'latin1');
  await new Promise<void>((resolve, reject) => {
    client.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (words().length >= length) resolve();
    });
    client.once('error', reject);
    client.once('end', () => reject(new Error(`ended after ${got.toString('latin1')}`)));
  });
  return words();
}
