// Many who wait with little: heads of which only an octet has come, and requests whose responses take long. None of them holds a buffer of
// 16 KiB, so that there are many more of them than buffers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dial, hangUp } from '../support/tcp.js';

/** Of 64 buffers that the slab has. */
const WAITING = 200;

for (const io of await availableExecutors()) {
  describe(`more who wait than buffers on ${io}`, () => {
    const held: ServerResponse[] = [];
    let server: Server;
    let sluice: Sluice;
    before(async () => {
      server = createServer((request, response) => {
        if (request.url === '/wait') held.push(response);
        else response.end('ok');
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      sluice = await startSluice(
        `workers: 1
limits: { slab: 1MiB }
listeners:
  - { name: detect, listen: "127.0.0.1:0", service: s }
  - { name: http1, listen: "127.0.0.1:0", service: s, protocol: http1 }
services:
  s: { endpoints: ["127.0.0.1:${port}"], pool: { maxConnections: 1000 } }
`,
        io,
      );
    });
    after(async () => {
      hangUp();
      await sluice.stop();
      server.closeAllConnections();
      server.close();
    });

    const ask = async (listener: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${sluice.port(listener)}/`, { signal: AbortSignal.timeout(30_000) })).status;
    const answered = async (client: Socket): Promise<void> => {
      let text = '';
      for await (const chunk of client) {
        text += String(chunk);
        if (text.includes('ok')) break;
      }
      assert.match(text, /^HTTP\/1\.1 200 /);
    };

    for (const listener of ['detect', 'http1']) {
      test(`heads of which one octet has come (${listener})`, async () => {
        const clients: Socket[] = [];
        const read = (): Promise<number> => sluice.metric('tcp_read_bytes_total', { listener });
        const before = await read();
        for (let i = 0; i < WAITING; i++) {
          const client = await dial(sluice.port(listener));
          client.write('G');
          clients.push(client);
        }
        await eventually(async () => (await read()) - before === WAITING, 'all of them have come');
        assert.equal(await ask('http1'), 200);
        assert.equal(await ask('detect'), 200);
        for (const client of clients) client.write('ET / HTTP/1.1\r\nhost: a\r\n\r\n');
        await Promise.all(clients.map(answered));
        assert.equal(await sluice.metric('sluice_limit_total', { limit: 'slab' }), 0);
      });
    }

    test('requests whose responses take long', async () => {
      const clients: Socket[] = [];
      for (let i = 0; i < WAITING; i++) {
        const client = await dial(sluice.port('http1'));
        client.write('GET /wait HTTP/1.1\r\nhost: a\r\n\r\n');
        clients.push(client);
        await eventually(() => held.length > i, `request ${i}`);
      }
      assert.equal(await ask('http1'), 200);
      for (const response of held) response.end('ok');
      await Promise.all(clients.map(answered));
      assert.equal(await sluice.metric('sluice_limit_total', { limit: 'slab' }), 0);
    });
  });
}
