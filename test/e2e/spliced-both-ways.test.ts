// A client that uploads and downloads at once, both spliced, and then stops reading: it waits alone.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { availableExecutors, eventually, plainSockets, startSluice } from '../support/sluice.js';
import { dial, hangUp, listen, readUntil } from '../support/tcp.js';

const MiB = 1024 * 1024;
const UPLOAD = 8 * MiB;
const DOWNLOAD = 64 * MiB;
/** More than the buffers of the two sockets and the pipe between them may hold. */
const TASTE = 8 * MiB;

afterEach(hangUp);

for (const io of await availableExecutors()) {
  test(`${io}: a reader that stops after its own upload is complete keeps nobody else waiting`, async () => {
    let uploaded = 0;
    const server = await listen((socket) => {
      let head = '';
      socket.on('data', (chunk: Buffer) => {
        uploaded += chunk.length;
        if (head !== '') return;
        head = chunk.toString('latin1');
        if (head.startsWith('GET')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        else {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${DOWNLOAD}\r\n\r\n`);
          socket.write(Buffer.alloc(DOWNLOAD));
        }
      });
    });
    const sluice = await startSluice(
      `workers: 1
drain: { hold: 0, grace: 100ms }
listeners: [{ name: in, listen: "127.0.0.1:0", protocol: http1, service: out }]
services: { out: { endpoints: ["127.0.0.1:${server.port}"] } }
`,
      io,
    );
    try {
      const client = await dial(sluice.port('in'));
      client.pause();
      client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${UPLOAD}\r\n\r\n`);
      client.write(Buffer.alloc(UPLOAD / 2));
      if (plainSockets)
        await eventually(
          async () => (await sluice.metric('sluice_splice_starts_total')) >= 2,
          'both directions are spliced',
        );
      client.write(Buffer.alloc(UPLOAD / 2));
      await eventually(() => uploaded > UPLOAD, 'the upload is complete');
      let got = 0;
      await new Promise<void>((resolve) => {
        client.on('data', (chunk: Buffer) => {
          got += chunk.length;
          if (got < TASTE) return;
          client.pause();
          resolve();
        });
        client.resume();
      });
      const other = await dial(sluice.port('in'));
      other.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.match(await readUntil(other, /ok$/), /^HTTP\/1\.1 200 /);
    } finally {
      hangUp();
      await sluice.stop();
      await server.close();
    }
  });
}
