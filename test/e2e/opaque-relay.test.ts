// What the opaque relay owes both sides: every byte, every FIN, every RST, in order and within bounds.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { availableExecutors, eventually, plainSockets, type Sluice } from '../support/sluice.js';
import { dial, drink, ended, hangUp, listen, pour, read, readAll, type TcpServer, wasReset } from '../support/tcp.js';

import { clean, start } from './opaque-support.js';

const MiB = 1 << 20;
const NOT_SPLICED = plainSockets ? false : 'nothing is spliced through a transport';

afterEach(hangUp);

for (const io of await availableExecutors()) {
  describe(io, () => {
    describe('relay', () => {
      let server: TcpServer;
      let sluice: Sluice;

      before(async () => {
        server = await listen();
        sluice = await start(io, [server.port]);
      });

      after(async () => {
        await clean(sluice);
        await sluice.stop();
        await server.close();
      });

      test('a client that has ended its side still gets the answer', async () => {
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        client.end('question');
        assert.equal((await readAll(upstream)).toString(), 'question');
        const answer = readAll(client);
        upstream.write('first ');
        upstream.end('second');
        assert.equal((await answer).toString(), 'first second');
      });

      test('a server that has ended its side still gets what the client sends', async () => {
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        upstream.end('greeting');
        assert.equal((await readAll(client)).toString(), 'greeting');
        const sent = readAll(upstream);
        client.write('first ');
        client.end('second');
        assert.equal((await sent).toString(), 'first second');
      });

      test('a client that ends at once has everything delivered', async () => {
        const client = await dial(sluice.port('in'));
        client.end('x'.repeat(100_000));
        const upstream = await server.next();
        assert.equal((await readAll(upstream)).length, 100_000);
        upstream.end();
        assert.equal(await ended(client), 'end');
      });

      test('a RST of the client reaches the server as one', async () => {
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        client.write('x');
        await read(upstream, 1);
        const end = ended(upstream);
        client.resetAndDestroy();
        assert.equal(await end, 'ECONNRESET');
      });

      test('a RST of the server reaches the client as one, after what came before it', async () => {
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        client.write('x');
        await read(upstream, 1);
        let got = '';
        client.on('data', (chunk: Buffer) => {
          got += chunk.toString();
        });
        const reset = wasReset(client);
        upstream.write('last words', () => upstream.resetAndDestroy());
        assert.equal(await reset, true);
        assert.equal(got, 'last words');
      });

      test('an answer sent before the server refuses the rest reaches a client that goes on sending', async () => {
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        client.write('x');
        await read(upstream, 1);
        // Unread input makes the close a RST.
        upstream.pause();
        const answer = read(client, 'too large'.length);
        const reset = wasReset(client);
        client.write(Buffer.alloc(4 * MiB));
        await eventually(() => upstream.readableLength > 0, 'input is waiting');
        upstream.write('too large', () => upstream.destroy());
        assert.equal((await answer).toString(), 'too large');
        assert.equal(await reset, true);
        client.destroy();
      });

      test('a bulk transfer each way is spliced, arrives intact, and small messages are copied again', async () => {
        const size = 300 * MiB;
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        const spliced = await sluice.metric('sluice_spliced_bytes_total');
        const [up, gotUp] = await Promise.all([pour(client, 1, size), drink(upstream, size)]);
        assert.equal(gotUp, up);
        const [down, gotDown] = await Promise.all([pour(upstream, 2, size), drink(client, size)]);
        assert.equal(gotDown, down);
        if (plainSockets)
          assert.ok(
            (await sluice.metric('sluice_spliced_bytes_total')) - spliced > size,
            'most of it never came through user space',
          );

        const pingPong = async (rounds: number): Promise<void> => {
          for (let round = 0; round < rounds; round++) {
            const message = `message ${round}`;
            client.write(message);
            assert.equal((await read(upstream, message.length)).toString(), message);
            upstream.write(message);
            assert.equal((await read(client, message.length)).toString(), message);
          }
        };
        await pingPong(50);
        const copied = await sluice.metric('sluice_copied_bytes_total');
        await pingPong(50);
        assert.ok(
          (await sluice.metric('sluice_copied_bytes_total')) > copied,
          'both directions have gone back to copying',
        );

        const both = 100 * MiB;
        const [up2, down2, gotUp2, gotDown2] = await Promise.all([
          pour(client, 3, both),
          pour(upstream, 4, both),
          drink(upstream, both),
          drink(client, both),
        ]);
        assert.equal(gotUp2, up2);
        assert.equal(gotDown2, down2);
        await pingPong(20);
        client.end();
        upstream.end();
        await Promise.all([ended(client), ended(upstream)]);
      });

      test('a RST in the middle of a spliced transfer reaches the other side', { skip: NOT_SPLICED }, async () => {
        for (const breaker of ['reader', 'writer'] as const) {
          const client = await dial(sluice.port('in'));
          const upstream = await server.next();
          const [reader, writer] = [client, upstream];
          const starts = await sluice.metric('sluice_splice_starts_total');
          const poured = pour(writer, 5, 1024 * MiB).catch(() => undefined);
          reader.on('data', () => undefined);
          await eventually(
            async () => (await sluice.metric('sluice_splice_starts_total')) > starts,
            'splicing has begun',
          );
          const reset = wasReset(breaker === 'reader' ? writer : reader);
          (breaker === 'reader' ? reader : writer).resetAndDestroy();
          assert.equal(await reset, true, breaker);
          await poured;
        }
      });

      test('a FIN in the middle of the other direction ends one direction only', async () => {
        const size = 64 * MiB;
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        const got = drink(client, size);
        client.end('request');
        assert.equal((await readAll(upstream)).toString(), 'request');
        const sent = await pour(upstream, 6, size);
        upstream.end();
        assert.equal(await got, sent);
        assert.equal(await ended(client), 'end');
      });
    });

    for (const [how, limits] of [
      ['copied', 'maxPipes: 0, slab: 4MiB'],
      ['spliced', 'maxPipes: 16, slab: 4MiB'],
    ] as const) {
      test(`a reader that stops reading holds a bounded part of the slab, and misses nothing (${how})`, async () => {
        const server = await listen();
        const sluice = await start(io, [server.port], { limits });
        try {
          const size = 96 * MiB;
          const client = await dial(sluice.port('in'));
          const upstream = await server.next();
          let taken = 0;
          const sent = pour(upstream, 7, size);
          sent.catch(() => undefined);
          await eventually(async () => {
            const before = taken;
            taken = await sluice.metric('tcp_read_bytes_total', { peer: 'dst' });
            return taken > 0 && taken === before;
          }, 'the writer is held up');
          assert.ok(taken < size, 'not everything is taken from a writer whose reader takes nothing');
          const buffers = await sluice.metric('sluice_slab_buffers');
          // maxBuffered, and what came in the turn in which it was passed.
          assert.ok((await sluice.metric('sluice_slab_free_buffers')) >= buffers / 2, 'most of the slab is for others');
          // Others are served meanwhile.
          const other = await dial(sluice.port('in'));
          const peer = await server.next();
          other.write('hello');
          assert.equal((await read(peer, 5)).toString(), 'hello');
          other.end();
          peer.end();
          assert.equal(await drink(client, size), await sent);
          client.end();
          upstream.end();
          await Promise.all([ended(client), ended(upstream), ended(other)]);
          await clean(sluice);
        } finally {
          await sluice.stop();
          await server.close();
        }
      });
    }

    test('a writer of single bytes cannot fill the slab with buffers that hold one byte each', async () => {
      const server = await listen();
      const sluice = await start(io, [server.port], { limits: 'slab: 4MiB, maxPipes: 0' });
      try {
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        // Fills the kernel's buffers towards a client that reads nothing, until Sluice has to hold bytes.
        const holds = async (): Promise<boolean> => {
          const [taken, given] = await Promise.all([
            sluice.metric('tcp_read_bytes_total', { peer: 'dst' }),
            sluice.metric('tcp_write_bytes_total', { peer: 'src' }),
          ]);
          return taken > given;
        };
        let sent = 0;
        for (let held = 0; held < 5; held = (await holds()) ? held + 1 : 0) {
          if (held === 0) {
            await pour(upstream, 0, 64 * 1024);
            sent += 64 * 1024;
          }
        }
        for (let i = 0; i < 3000; i++, sent++) {
          upstream.write('.');
          await new Promise((resolve) => setImmediate(resolve));
        }
        const buffers = await sluice.metric('sluice_slab_buffers');
        const free = await sluice.metric('sluice_slab_free_buffers');
        assert.ok(buffers - free <= 24, `${buffers - free} buffers are held`);
        await drink(client, sent);
        assert.equal(await sluice.metric('sluice_slab_parks_total'), 0);
        client.end();
        upstream.end();
        await Promise.all([ended(client), ended(upstream)]);
        await clean(sluice);
      } finally {
        await sluice.stop();
        await server.close();
      }
    });

    test('a RST passes a direction that waits for data while the other one is spliced, and both sockets are released', {
      skip: NOT_SPLICED,
    }, async () => {
      const server = await listen();
      // The upload takes the only pipe, so the answers are copied: received on a socket that splicing made non-blocking.
      const sluice = await start(io, [server.port], { limits: 'maxPipes: 1' });
      try {
        const client = await dial(sluice.port('in'));
        const upstream = await server.next();
        pour(client, 10, 2048 * MiB).catch(() => undefined);
        upstream.resume();
        await eventually(async () => (await sluice.metric('sluice_splice_starts_total')) > 0, 'the upload is spliced');
        const size = 24 * MiB;
        const answer = pour(upstream, 11, size);
        await eventually(async () => (await sluice.metric('sluice_backpressure_total')) > 0, 'the client is slow');
        assert.equal(await drink(client, size), await answer);
        assert.equal(await sluice.metric('sluice_splice_starts_total'), 1);
        const reset = wasReset(upstream);
        client.resetAndDestroy();
        assert.equal(await reset, true);
        await clean(sluice);
      } finally {
        await sluice.stop();
        await server.close();
      }
    });

    test('bytes and connections are counted exactly, on both sides', async () => {
      const server = await listen((socket) => {
        readAll(socket).then(
          (question) => socket.end(Buffer.alloc(question.length * 3)),
          () => undefined,
        );
      });
      const sluice = await start(io, [server.port]);
      try {
        const sizes = [0, 1, 100, 20_000, 700_000, 3_000_000];
        for (const size of sizes) {
          const client = await dial(sluice.port('in'));
          client.end(Buffer.alloc(size));
          assert.equal((await readAll(client)).length, size * 3);
        }
        await clean(sluice);
        const total = sizes.reduce((sum, size) => sum + size, 0);
        assert.equal(await sluice.metric('tcp_read_bytes_total', { peer: 'src' }), total);
        assert.equal(await sluice.metric('tcp_write_bytes_total', { peer: 'dst' }), total);
        assert.equal(await sluice.metric('tcp_read_bytes_total', { peer: 'dst' }), total * 3);
        assert.equal(await sluice.metric('tcp_write_bytes_total', { peer: 'src' }), total * 3);
        assert.equal(await sluice.metric('tcp_open_total', { peer: 'src' }), sizes.length);
        assert.equal(await sluice.metric('tcp_close_total', { peer: 'src', errno: 'ok' }), sizes.length);
        assert.equal(await sluice.metric('tcp_close_total', { peer: 'dst', errno: 'ok' }), sizes.length);
      } finally {
        await sluice.stop();
        await server.close();
      }
    });
  });
}
