// Requests that don't wait for their responses: answered in order, completely, and never held without bound.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { settled, startEdge } from '../support/gateway.js';
import { answering, client, metrics, OK, type Upstream, upstream, type Wire } from '../support/http.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

const MAX_PIPELINED = 16 * 1024;

for (const io of await availableExecutors()) {
  describe(`HTTP/1 pipelining on ${io}`, () => {
    let origin: Upstream;
    let sluice: Sluice;
    const echo = answering(({ target, body }) => {
      const text = `${target} ${body.toString('latin1')}`;
      return `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
    });

    before(async () => {
      origin = await upstream(echo);
      sluice = await startEdge(io, [origin.address], {
        top: `limits: { http1: { maxPipelined: ${MAX_PIPELINED} } }`,
        service: '    pool: { idleTimeout: 50ms }',
      });
    });
    afterEach(() => settled(sluice));
    after(async () => {
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    const get = (i: number): string => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const post = (i: number, body: string): string =>
      `POST /${i} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const chunked = (i: number, body: string): string =>
      `POST /${i} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

    async function expectEchoes(wire: Wire, count: number, body: (i: number) => string): Promise<void> {
      for (let i = 0; i < count; i++) assert.equal((await wire.message()).body.toString('latin1'), `/${i} ${body(i)}`);
      assert.equal(wire.bytes.length, 0);
    }

    for (const count of [1, 2, 16, 100]) {
      it(`answers ${count} requests of one segment in order`, async () => {
        const wire = await client(sluice.port('edge'));
        wire.write(Array.from({ length: count }, (_, i) => get(i)).join(''));
        await expectEchoes(wire, count, () => '');
        wire.destroy();
      });
    }

    it('answers pipelined requests with bodies of every framing and size in order', async () => {
      const body = (i: number): string => 'b'.repeat([1, 10, 3000, 5000, 15_900, 17_000][i % 6] ?? 0);
      const make = (i: number): string => (i % 3 === 0 ? chunked(i, body(i)) : post(i, body(i)));
      const wire = await client(sluice.port('edge'));
      wire.write(Array.from({ length: 40 }, (_, i) => make(i)).join(''));
      await expectEchoes(wire, 40, body);
      wire.destroy();
    });

    it('reads a pipeline that is split at every byte', async () => {
      const text = get(0) + post(1, 'hello') + chunked(2, 'wiki') + get(3);
      const body = (i: number): string => ['', 'hello', 'wiki', ''][i] ?? '';
      await Promise.all(
        Array.from({ length: text.length - 1 }, async (_, index) => {
          const wire = await client(sluice.port('edge'));
          await wire.sent(text.slice(0, index + 1));
          await new Promise((resolve) => setImmediate(resolve));
          wire.write(text.slice(index + 1));
          await expectEchoes(wire, 4, body);
          wire.destroy();
        }),
      );
    });

    it('reads a pipeline that arrives byte by byte', async () => {
      const text = get(0) + post(1, 'hello') + chunked(2, 'wiki') + get(3);
      const wire = await client(sluice.port('edge'));
      for (const octet of Buffer.from(text)) {
        await wire.sent(Uint8Array.of(octet));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await expectEchoes(wire, 4, (i) => ['', 'hello', 'wiki', ''][i] ?? '');
      wire.destroy();
    });

    it('stops reading a flood while a response is awaited, and goes on afterwards', async () => {
      const answers: (() => void)[] = [];
      let held = true;
      origin.script(async (side) => {
        for (;;) {
          const { target } = await side.message();
          if (held) await new Promise<void>((resolve) => answers.push(resolve));
          side.write(`HTTP/1.1 200 OK\r\ncontent-length: ${target.length + 1}\r\n\r\n${target} `);
        }
      });
      // Connections from before go with the old script.
      await eventually(async () => (await metrics(sluice))('sluice_endpoint_pool_idle') === 0, 'an empty pool');
      const wire = await client(sluice.port('edge'));
      const count = 20_000;
      const flood = Buffer.from(Array.from({ length: count }, (_, i) => get(i)).join(''));
      wire.write(flood);
      const value = async (name: string, ...labels: string[]): Promise<number> =>
        (await metrics(sluice))(name, ...labels);
      const before = await value('sluice_limit_total', 'limit="pipelined-bytes"');
      await eventually(() => answers.length === 1, 'the first request at the endpoint');
      await eventually(
        async () => (await value('sluice_limit_total', 'limit="pipelined-bytes"')) >= before,
        'the limit',
      );
      const read = await value('tcp_read_bytes_total', 'peer="src"');
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(await value('tcp_read_bytes_total', 'peer="src"'), read, 'reading has paused');
      const missing = (await value('sluice_slab_buffers')) - (await value('sluice_slab_free_buffers'));
      // What a multishot receive delivers before its cancellation: the buffers lent at a time.
      assert.ok(missing <= 128, `${missing} buffers held`);
      held = false;
      for (const answer of answers) answer();
      let got = 0;
      // Read in bulk: the answers are all alike but for the number.
      for (let text = ''; got < count; ) {
        await wire.until(() => wire.bytes.length > 0, 'responses');
        text += wire.take(wire.bytes.length).toString('latin1');
        for (;;) {
          const expected = `HTTP/1.1 200 OK\r\ncontent-length: ${String(got).length + 2}\r\n\r\n/${got} `;
          if (text.length < expected.length) break;
          assert.equal(text.slice(0, expected.length), expected);
          text = text.slice(expected.length);
          if (++got === count) break;
        }
      }
      wire.destroy();
      origin.script(echo);
    });

    it('holds few buffers for a client that pipelines an octet a segment', async () => {
      let arrived = false;
      let release: () => void = () => undefined;
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      origin.script(async (side) => {
        for (;;) {
          await side.message();
          arrived = true;
          await released;
          side.write(OK);
        }
      });
      await eventually(async () => (await metrics(sluice))('sluice_endpoint_pool_idle') === 0, 'an empty pool');
      const wire = await client(sluice.port('edge'));
      wire.write(get(0));
      await eventually(() => arrived, 'the request');
      const many = get(1).repeat(100);
      for (let i = 0; i < 2000; i++) await wire.sent(many[i] ?? '');
      // The gauge is sampled four times a second.
      await new Promise((resolve) => setTimeout(resolve, 300));
      const value = await metrics(sluice);
      const missing = value('sluice_slab_buffers') - value('sluice_slab_free_buffers');
      assert.ok(missing < 16, `${missing} buffers held`);
      release();
      assert.equal((await wire.message()).body.toString(), 'ok');
      wire.destroy();
      origin.script(echo);
    });
  });
}
