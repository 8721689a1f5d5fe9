// A port is this Sluice's own or nobody's: its workers share it, and neither does another process, whatever options that has set.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { afterEach, describe, test } from 'node:test';
import { freePort, which } from '../support/servers.js';
import { availableExecutors, type Executor, type Sluice, startSluice } from '../support/sluice.js';
import { deadPort, dial, hangUp, listen, readAll } from '../support/tcp.js';

const config = (name: string, host: string, port: number, endpoint = 9): string =>
  `drain: { hold: 0 }\nworkers: 2\nlisteners:\n  - { name: ${name}, listen: "${host}:${port}", service: s, protocol: opaque }\n` +
  `services: { s: { endpoints: ["127.0.0.1:${endpoint}"] } }\n`;

const refused = (port: number): RegExp =>
  new RegExp(`:${port} is in use by another process; ss -tanp 'sport = :${port}' shows it.*listeners\\[0\\]\\.listen`);

/** Starts it, which must fail. */
async function fails(io: Executor, host: string, port: number): Promise<void> {
  const start = startSluice(config('in', host, port), io).then((sluice) => sluice.stop());
  await assert.rejects(start, refused(port), `${host}:${port}`);
}

/** A listener of another program that would share its port. */
async function sharer(host: string, family: 'AF_INET' | 'AF_INET6'): Promise<{ port: number; stop(): void }> {
  const program = `
import socket, sys
s = socket.socket(socket.${family})
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if s.family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(('${host}', 0))
s.listen()
print(s.getsockname()[1], flush=True)
sys.stdin.read()
`;
  const child = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const port = await new Promise<number>((resolve) =>
    child.stdout.once('data', (line: Buffer) => resolve(Number(line.toString()))),
  );
  return { port, stop: () => void child.kill() };
}

afterEach(hangUp);

for (const io of await availableExecutors()) {
  describe(io, () => {
    test('another Sluice on the port is an error, until that one is gone', async () => {
      const port = await freePort();
      const first = await startSluice(config('in', '127.0.0.1', port), io);
      let second: Sluice | undefined;
      try {
        await fails(io, '127.0.0.1', port);
        await fails(io, '0.0.0.0', port);
        await first.stop();
        second = await startSluice(config('in', '127.0.0.1', port), io);
      } finally {
        await first.stop();
        await second?.stop();
      }
    });

    test('so is another program that would share it', {
      skip: which('python3') === null && 'python3 is not installed',
    }, async () => {
      const cases = [
        ['127.0.0.1', 'AF_INET', ['127.0.0.1', '0.0.0.0']],
        ['0.0.0.0', 'AF_INET', ['127.0.0.1', '[::]']],
        ['::', 'AF_INET6', ['127.0.0.1', '0.0.0.0', '[::1]']],
      ] as const;
      for (const [host, family, tried] of cases) {
        const other = await sharer(host, family);
        try {
          for (const ours of tried) await fails(io, ours, other.port);
        } finally {
          other.stop();
        }
      }
    });

    test('so is a connection that has the port as its near end', async () => {
      await fails(io, '127.0.0.1', await deadPort());
    });

    test('a reload may give a listener another name, and takes over no port of others', async () => {
      const port = await freePort();
      const server = await listen((socket) => socket.end('hello'));
      const other = await listen();
      const sluice = await startSluice(config('old', '127.0.0.1', port, server.port), io);
      try {
        sluice.reload(config('new', '127.0.0.1', port, server.port));
        await sluice.logged(({ message }) => /reload/.test(message));
        for (let i = 0; i < 6; i++) {
          const client = await dial(port);
          assert.equal((await readAll(client)).toString(), 'hello');
          client.end();
        }
        sluice.reload(config('new', '127.0.0.1', other.port, server.port));
        const line = await sluice.logged(({ level, message, ...rest }) =>
          refused(other.port).test(`${message} ${JSON.stringify(rest)}`),
        );
        assert.equal(line.level, 'error');
        assert.equal((await readAll(await dial(port))).toString(), 'hello');
      } finally {
        hangUp();
        await sluice.stop();
        await Promise.all([server.close(), other.close()]);
      }
    });
  });
}
