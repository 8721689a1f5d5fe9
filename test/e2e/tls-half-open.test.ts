// Ten thousand handshakes that do not go on: nobody who is served notices, what they may hold is bounded, and none of it stays.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { availableExecutors, eventually, plainSockets, type Sluice, startSluice } from '../support/sluice.js';
import { RECORDED } from '../tls/hellos.js';
import { Certificates, heard, listening, secure } from './tls-support.js';

const FILES = 40_000;
/** By what they have said: how many. */
const WANTED = { nothing: 6_800, half: 1_600, hello: 1_600 } as const;
const AT_ONCE = 500;
const TIMEOUT_MS = 60_000;
/** Of the default limits.tls.maxHandshakes, and of all others, KiB (docs/tls.md), as far as they go; and what allocators keep of it. */
const HELD_KIB = 1024 * 57 + 10_000 * 2;
const SLACK_KIB = 100 << 10;

/** A hello of Go's, for a name that the listener has. */
const hello = RECORDED.find(({ name }) => name.startsWith('Go'))?.bytes ?? Buffer.alloc(0);

/** Whether Sluice may have so many files, and what it is started with to have them. */
function under(): readonly string[] | null {
  const command = ['prlimit', `--nofile=${FILES}:${FILES}`, '--'];
  try {
    execFileSync(command[0], [...command.slice(1), 'true'], { stdio: 'ignore' });
    return command;
  } catch {
    return null;
  }
}

const prlimit = under();
const own = Number(
  execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim().replace('unlimited', `${FILES}`),
);
/** Sluice keeps a descriptor for the endpoint of each client. */
const most = Math.min((prlimit === null ? own : FILES) / 2, own) - 150;
const share = Math.min(1, most / 10_000);
if (share < 0.9) console.error(`SKIPPED: not ten thousand handshakes but ${most}: descriptors are too few here`);
/** As many on the first executor, and enough of them that some have to make room on the others. */
const counts = (which: number) => {
  const part = (count: number): number => Math.floor(count * share * (which === 0 ? 1 : 0.4));
  return { nothing: part(WANTED.nothing), half: part(WANTED.half), hello: part(WANTED.hello) } as const;
};

for (const [which, io] of (plainSockets ? await availableExecutors() : []).entries()) {
  describe(`handshakes that do not go on (${io})`, () => {
    const count = counts(which);
    let certificates: Certificates;
    let web: Server;
    let sluice: Sluice;
    let standing: TLSSocket;
    const open = new Set<Socket>();
    let filesBefore = 0;
    let residentBefore = 0;
    let residentMost = 0;

    const files = (): number => readdirSync(`/proc/${sluice.pid}/fd`).length;
    const residentKib = (): number =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${sluice.pid}/status`, 'utf8'))?.[1] ?? 0);
    const ask = async (): Promise<void> => {
      residentMost = Math.max(residentMost, residentKib());
      standing.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const [chunk] = await once(standing, 'data');
      assert.match(String(chunk), /200 OK/);
    };
    const gauge = (name: string): Promise<number> => sluice.metric(name);

    before(async () => {
      certificates = await Certificates.make();
      web = createServer((_, response) => response.end('hello'));
      sluice = await startSluice(
        `drain: { hold: 0, grace: 1s }
workers: 1
limits: { tls: { handshakeTimeout: 5m } }
listeners:
  - { name: web, listen: "127.0.0.1:0", service: web, backlog: 4096, tls: ${certificates.listener()} }
services:
  web: { endpoints: ["127.0.0.1:${await listening(web)}"] }
`,
        io,
        {},
        prlimit ?? [],
      );
      standing = await secure(sluice.port('web'), certificates);
      await ask();
      filesBefore = files();
      residentBefore = residentKib();
    });
    after(async () => {
      for (const socket of open) socket.destroy();
      standing?.destroy();
      await sluice?.stop();
      web?.close();
      certificates?.remove();
    });

    async function begin(many: number, says: Buffer): Promise<void> {
      for (let done = 0; done < many; done += AT_ONCE) {
        const some = Array.from({ length: Math.min(AT_ONCE, many - done) }, async () => {
          const socket = connect(sluice.port('web'), '127.0.0.1');
          open.add(socket.on('error', () => undefined).resume());
          socket.once('close', () => open.delete(socket));
          await once(socket, 'connect');
          if (says.length > 0) socket.write(says);
        });
        await Promise.all(some);
        await ask();
      }
    }

    it('are as many as come, and those who stand are served beside them', async () => {
      await begin(count.nothing, Buffer.alloc(0));
      await eventually(
        async () => (await gauge('sluice_tls_open_connections')) === count.nothing + 1,
        'all have been accepted',
        TIMEOUT_MS,
      );
      await begin(count.half, hello.subarray(0, hello.length >> 1));
      await begin(count.hello, hello);
      assert.ok(open.size > count.nothing);
      for (let times = 0; times < 20; times++) await ask();
      assert.ok((await gauge('sluice_tls_open_handshakes')) <= 1024);
    });

    it('make room for who does go on', async () => {
      const socket = await secure(sluice.port('web'), certificates);
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match((await heard(socket)).text, /hello/);
      await ask();
    });

    it('hold no more than is said of them', async () => {
      const held = residentMost - residentBefore;
      assert.ok(held < HELD_KIB + SLACK_KIB, `${held} KiB`);
      assert.ok(files() - filesBefore <= open.size + 1, 'no more descriptors than connections');
    });

    it('and nothing once they are gone', async () => {
      for (const socket of open) socket.destroy();
      const over = async (): Promise<boolean> =>
        (await gauge('sluice_tls_open_connections')) === 1 &&
        (await gauge('sluice_tls_open_handshakes')) === 0 &&
        (await gauge('sluice_tls_handshakes_waiting')) === 0;
      await eventually(over, 'none is left', TIMEOUT_MS);
      await ask();
      await eventually(
        async () => (await gauge('sluice_slab_buffers')) === (await gauge('sluice_slab_free_buffers')),
        'all buffers are free',
        TIMEOUT_MS,
      );
      await eventually(() => files() <= filesBefore, 'all descriptors are closed', TIMEOUT_MS);
    });
  });
}
