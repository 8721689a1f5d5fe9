// A reader that pauses is no peer that is gone: it answers the kernel's probes of its window, and lives. One that is gone is found.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dial, drink, hangUp, listen, pour, type TcpServer } from '../support/tcp.js';

const MiB = 1024 * 1024;
/** More than the kernel's buffers on the way. */
const SIZE = 32 * MiB;
const USER_TIMEOUT = 1000;

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3.5 * USER_TIMEOUT));

function start(io: 'uring' | 'epoll', host: string, opaque: number, http: number): Promise<Sluice> {
  return startSluice(
    `limits: { maxPipes: 0 }
listeners:
  - { name: opaque, listen: "${host}:0", service: opaque, protocol: opaque, userTimeout: ${USER_TIMEOUT}ms }
  - { name: http, listen: "${host}:0", service: http, userTimeout: ${USER_TIMEOUT}ms }
services:
  opaque: { endpoints: ["127.0.0.1:${opaque}"], userTimeout: ${USER_TIMEOUT}ms }
  http: { endpoints: ["127.0.0.1:${http}"], userTimeout: ${USER_TIMEOUT}ms }
`,
    io,
  );
}

const NAMESPACE = `sluice-gone${process.pid}`;
const [HERE, THERE] = ['10.213.97.1', '10.213.97.2'];
const ip = (...words: string[]): void => {
  execFileSync('ip', words, { stdio: 'pipe' });
};

/** A network of two hosts whose cable can be cut; why there is none, '' if there is. */
function cable(): string {
  try {
    ip('netns', 'add', NAMESPACE);
    ip('link', 'add', `sg${process.pid}a`, 'type', 'veth', 'peer', 'name', 'far', 'netns', NAMESPACE);
    ip('addr', 'add', `${HERE}/30`, 'dev', `sg${process.pid}a`);
    ip('link', 'set', `sg${process.pid}a`, 'up');
    ip('-n', NAMESPACE, 'addr', 'add', `${THERE}/30`, 'dev', 'far');
    ip('-n', NAMESPACE, 'link', 'set', 'far', 'up');
    return '';
  } catch (error) {
    return String(error);
  }
}

const noCable = cable();
process.once('exit', () => {
  try {
    ip('netns', 'del', NAMESPACE);
  } catch {
    // There was none.
  }
});

for (const io of await availableExecutors()) {
  describe(`slow and lost peers on ${io}`, () => {
    let server: TcpServer;
    let sluice: Sluice;
    const web = createServer((_, response) => response.end(Buffer.alloc(SIZE)));
    before(async () => {
      server = await listen();
      web.listen(0, '127.0.0.1');
      await once(web, 'listening');
      const host = noCable === '' ? '0.0.0.0' : '127.0.0.1';
      sluice = await start(io, host, server.port, (web.address() as AddressInfo).port);
    });
    after(async () => {
      hangUp();
      await sluice.stop();
      await server.close();
      web.closeAllConnections();
      web.close();
    });

    const timeouts = (): Promise<number> => sluice.metric('tcp_close_total', { errno: 'timeout' });

    for (const [who, sides] of [
      ['a client', (client: Socket, endpoint: Socket) => [endpoint, client]],
      ['an endpoint', (client: Socket, endpoint: Socket) => [client, endpoint]],
    ] as const) {
      test(`${who} that pauses for longer than userTimeout gets everything`, async () => {
        const client = await dial(sluice.port('opaque'));
        const [writer, reader] = sides(client, await server.next());
        const sent = pour(writer, 3, SIZE);
        await eventually(async () => (await sluice.metric('sluice_slab_queued_buffers')) > 0, 'it is slow');
        await pause();
        assert.equal(await drink(reader, SIZE), await sent);
        client.destroy();
        assert.equal(await timeouts(), 0);
      });
    }

    test('a client of HTTP that pauses gets everything', async () => {
      const request = get({ port: sluice.port('http'), host: '127.0.0.1', agent: false });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      await pause();
      let got = 0;
      for await (const chunk of response) got += (chunk as Buffer).length;
      assert.equal(got, SIZE);
      assert.equal(await timeouts(), 0);
    });

    for (const [state, open] of [
      ['takes what it gets', true],
      ['has closed its window', false],
    ] as const) {
      test(`a client that ${state} and is gone is found`, {
        skip: noCable === '' ? false : `needs root and ip: ${noCable}`,
      }, async () => {
        const found = await timeouts();
        ip('-n', NAMESPACE, 'link', 'set', 'far', 'up');
        const program = `const s = require('node:net').connect(${sluice.port('opaque')}, '${HERE}', () => console.log('there')); ${open ? 's.resume()' : 's.pause()'}; s.on('error', () => {}); setInterval(() => {}, 1e6);`;
        const far = spawn('ip', ['netns', 'exec', NAMESPACE, process.execPath, '-e', program], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        try {
          await once(far.stdout, 'data');
          const upstream = await server.next();
          const gone = new Promise((resolve) => upstream.once('close', resolve));
          if (open) {
            const block = Buffer.alloc(1000);
            upstream.write(block);
            await eventually(async () => (await sluice.metric('tcp_write_bytes_total', { peer: 'src' })) > 0, 'sent');
            ip('-n', NAMESPACE, 'link', 'set', 'far', 'down');
            upstream.write(block);
          } else {
            pour(upstream, 4, SIZE).catch(() => undefined);
            await eventually(
              async () => (await sluice.metric('sluice_slab_queued_buffers')) > 0,
              'its window is closed',
            );
            ip('-n', NAMESPACE, 'link', 'set', 'far', 'down');
          }
          upstream.resume();
          await gone;
          await eventually(async () => (await timeouts()) > found, 'the counter says who ended it');
          assert.ok((await sluice.metric('sluice_limit_total', { limit: 'user-timeout' })) > 0);
        } finally {
          far.kill('SIGKILL');
        }
      });
    }
  });
}
