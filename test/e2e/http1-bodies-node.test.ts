// Bodies through HTTP/1 as Node's own client and server frame them, of many sizes, with a length and chunked.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { content, sha1 } from '../support/content.js';
import { settled, startEdge } from '../support/gateway.js';
import { metrics } from '../support/http.js';
import { availableExecutors, plainSockets, type Sluice } from '../support/sluice.js';

const MiB = 1024 * 1024;

for (const io of await availableExecutors()) {
  describe(`HTTP/1 bodies through node:http on ${io}`, () => {
    let server: Server;
    let sluice: Sluice;
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });

    before(async () => {
      // Answers with the length and hash of what came, and with as many bytes as asked for.
      server = createServer((incoming, outgoing) => {
        const hash = createHash('sha1');
        let length = 0;
        incoming.on('data', (chunk: Buffer) => {
          hash.update(chunk);
          length += chunk.length;
        });
        incoming.on('end', () => {
          const url = new URL(incoming.url ?? '/', 'http://a');
          const data = content(Number(url.searchParams.get('size')));
          outgoing.setHeader('x-hash', hash.digest('hex'));
          outgoing.setHeader('x-length', length);
          if (url.searchParams.has('chunked')) outgoing.write(data.subarray(0, data.length >> 1));
          else outgoing.setHeader('content-length', data.length);
          outgoing.end(url.searchParams.has('chunked') ? data.subarray(data.length >> 1) : data);
        });
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      sluice = await startEdge(io, [`127.0.0.1:${(server.address() as AddressInfo).port}`]);
    });
    after(async () => {
      agent.destroy();
      await settled(sluice);
      assert.equal(await sluice.stop(), 0);
      server.closeAllConnections();
      server.close();
    });

    async function roundTrip(up: number, down: number, query: string, chunkedUp: boolean): Promise<void> {
      const data = content(up);
      const outgoing = request({
        port: sluice.port('edge'),
        host: '127.0.0.1',
        agent,
        method: 'POST',
        path: `/?size=${down}${query}`,
        headers: chunkedUp ? { 'transfer-encoding': 'chunked' } : { 'content-length': data.length },
      });
      const responded = once(outgoing, 'response') as Promise<[IncomingMessage]>;
      for (let at = 0; at < data.length; ) {
        const to = Math.min(data.length, at + 1 + Math.floor(Math.random() * 200_000));
        if (!outgoing.write(data.subarray(at, to))) await once(outgoing, 'drain');
        at = to;
      }
      outgoing.end();
      const [response] = await responded;
      const hash = createHash('sha1');
      let length = 0;
      for await (const chunk of response) {
        hash.update(chunk as Buffer);
        length += (chunk as Buffer).length;
      }
      assert.equal(length, down);
      assert.equal(hash.digest('hex'), sha1(content(down)));
      assert.equal(response.headers['x-length'], String(up));
      assert.equal(response.headers['x-hash'], sha1(data));
    }

    for (const size of [0, 1, 4095, 4096, 4097, 16_384, 65_537, 262_143, 262_144, 3_000_001]) {
      it(`carries ${size} bytes both ways, with a length and chunked`, async () => {
        await roundTrip(size, size, '', false);
        await roundTrip(size, size, '&chunked', true);
        await roundTrip(size, 3, '', true);
        await roundTrip(3, size, '&chunked', false);
      });
    }

    it('carries 64 MB both ways, spliced where the length is known', async () => {
      const before = await metrics(sluice);
      await roundTrip(64 * MiB, 64 * MiB, '', false);
      const value = await metrics(sluice);
      const spliced = value('sluice_spliced_bytes_total') - before('sluice_spliced_bytes_total');
      if (plainSockets) assert.ok(spliced > 100 * MiB, `${spliced} bytes spliced`);
      await roundTrip(64 * MiB, 64 * MiB, '&chunked', true);
    });

    it('carries many at a time', async () => {
      await Promise.all(
        Array.from({ length: 24 }, (_, i) =>
          roundTrip((i * 77_777) % 900_000, (i * 99_991) % 900_000, i % 2 ? '&chunked' : '', i % 3 === 0),
        ),
      );
    });
  });
}
