// Urgent data (the URG flag of TCP): the byte arrives where it was sent, among the others.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { which } from '../support/servers.js';
import { availableExecutors, plainSockets } from '../support/sluice.js';
import { dial, listen, read, readAll } from '../support/tcp.js';
import { clean, start } from './opaque-support.js';

/**
 * Sends `size` bytes, an urgent one and as many again, `rounds` times, as a client of `port` or as a server that prints its own. Then it
 * ends its direction, unless it `stays`.
 */
const SENDER = `
import socket, sys
port, size, rounds, stays = (int(arg) for arg in sys.argv[1:5])
if port == 0:
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    s, _ = listener.accept()
else:
    s = socket.create_connection(('127.0.0.1', port))
for _ in range(rounds):
    s.sendall(b'a' * size)
    s.send(b'!', socket.MSG_OOB)
    s.sendall(b'b' * size)
if not stays: s.shutdown(socket.SHUT_WR)
while s.recv(65536): pass
`;

function sender(port: number, size: number, rounds: number, stays = false) {
  const child = spawn('python3', ['-c', SENDER, ...[port, size, rounds, stays ? 1 : 0].map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return {
    port: (): Promise<number> =>
      new Promise((resolve) => child.stdout.once('data', (line: Buffer) => resolve(Number(line.toString())))),
    stop: () => void child.kill(),
  };
}

const MiB = 1024 * 1024;
const expected = (size: number, rounds: number): Buffer =>
  Buffer.from(`${'a'.repeat(size)}!${'b'.repeat(size)}`.repeat(rounds));

for (const io of await availableExecutors()) {
  describe(io, { skip: which('python3') === null && 'python3 is not installed' }, () => {
    for (const [what, size, rounds] of [
      ['copied', 100, 1],
      ['spliced', 4 * MiB, 3],
    ] as const) {
      test(`of a client passes in line (${what})`, async () => {
        const server = await listen();
        const sluice = await start(io, [server.port]);
        const client = sender(sluice.port('in'), size, rounds);
        try {
          const upstream = await server.next();
          assert.ok((await readAll(upstream)).equals(expected(size, rounds)));
          upstream.end();
          await clean(sluice);
          if (plainSockets) assert.equal((await sluice.metric('sluice_spliced_bytes_total')) > 0, what === 'spliced');
        } finally {
          client.stop();
          await sluice.stop();
          await server.close();
        }
      });

      test(`of a server passes in line (${what})`, async () => {
        const server = sender(0, size, rounds);
        const sluice = await start(io, [await server.port()]);
        try {
          const client = await dial(sluice.port('in'));
          assert.ok((await readAll(client)).equals(expected(size, rounds)));
          client.end();
          await clean(sluice);
          if (plainSockets) assert.equal((await sluice.metric('sluice_spliced_bytes_total')) > 0, what === 'spliced');
        } finally {
          server.stop();
          await sluice.stop();
        }
      });
    }

    test('and what follows it does not wait for more', async () => {
      const server = await listen();
      const sluice = await start(io, [server.port]);
      try {
        for (let i = 0; i < 20; i++) {
          const client = sender(sluice.port('in'), 100, 1, true);
          try {
            const all = expected(100, 1);
            const upstream = await server.next();
            assert.ok((await read(upstream, all.length)).equals(all));
            upstream.end();
          } finally {
            client.stop();
          }
        }
        await clean(sluice);
      } finally {
        await sluice.stop();
        await server.close();
      }
    });
  });
}
