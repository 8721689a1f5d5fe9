// The exporter of OTLP: what it sends, when it tries again, and what it drops.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type ExporterOptions, OtlpExporter } from '../../src/otlp/exporter.js';
import { otlpUrl } from '../../src/otlp/target.js';
import { Writer } from '../../src/protobuf/writer.js';
import { eventually } from '../support/sluice.js';

interface Got {
  readonly url: string;
  readonly type: string;
  readonly body: Buffer;
}

let server: Server;
let answer: (response: ServerResponse, count: number) => void;
let got: Got[] = [];

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

before(async () => {
  server = createServer(async (request, response) => {
    const body = await read(request);
    got.push({ url: request.url ?? '', type: request.headers['content-type'] ?? '', body });
    answer(response, got.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  got = [];
  answer = (response) => response.writeHead(200).end();
});

const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const exporter = (options: Partial<ExporterOptions> = {}): OtlpExporter =>
  new OtlpExporter({ url: otlpUrl(address(), 'metrics'), minDelayMs: 1, maxDelayMs: 2, ...options });
const body = (text: string): Uint8Array => new Writer().string(1, text).finish();

describe('the exporter of OTLP', () => {
  it('posts bodies one after the other, to the path of the signal', async () => {
    const sender = exporter({ headers: { 'X-Key': 'k' } });
    for (const text of ['one', 'two', 'three']) assert.equal(sender.offer(body(text)), true);
    await sender.idle();
    assert.deepEqual(
      got.map(({ url, type, body: octets }) => [url, type, octets.toString('latin1').slice(2)]),
      ['one', 'two', 'three'].map((text) => ['/v1/metrics', 'application/x-protobuf', text]),
    );
    assert.deepEqual(sender.counts, { sent: 3, dropped: 0, retries: 0, rejected: 0 });
  });

  it('tries again after 429, 502, 503 and 504 and tells once of each trouble, and of its end', async () => {
    const statuses = [503, 503, 429, 502, 200];
    answer = (response, count) =>
      response.writeHead(statuses[count - 1], count === 1 ? { 'Retry-After': '0' } : {}).end('busy now');
    const troubles: (string | null)[] = [];
    const sender = exporter({ onTrouble: (trouble) => troubles.push(trouble) });
    sender.offer(body('x'));
    await sender.idle();
    assert.equal(got.length, 5);
    assert.deepEqual(sender.counts, { sent: 1, dropped: 0, retries: 4, rejected: 0 });
    assert.deepEqual(troubles, [
      'it answers 503: busy now',
      'it answers 429: busy now',
      'it answers 502: busy now',
      null,
    ]);
  });

  it('drops what a collector refuses, with what it says', async () => {
    answer = (response) => response.writeHead(400).end(new Writer().uint32(1, 3).string(2, 'no such field').finish());
    const sender = exporter();
    sender.offer(body('x'));
    await sender.idle();
    assert.equal(got.length, 1);
    assert.equal(sender.trouble, 'it answers 400: no such field');
    assert.deepEqual(sender.counts, { sent: 0, dropped: 1, retries: 0, rejected: 0 });
  });

  it('drops a body after its last try', async () => {
    answer = (response) => response.writeHead(503).end();
    const sender = exporter({ attempts: 3 });
    sender.offer(body('x'));
    await sender.idle();
    assert.equal(got.length, 3);
    assert.deepEqual(sender.counts, { sent: 0, dropped: 1, retries: 2, rejected: 0 });
  });

  it('counts what a collector refuses of what it takes', async () => {
    answer = (response) => {
      const partial = new Writer().uint32(1, 7).string(2, 'too old').finish();
      response.writeHead(200).end(new Writer().bytes(1, partial).finish());
    };
    const sender = exporter();
    sender.offer(body('x'));
    await sender.idle();
    assert.equal(sender.counts.rejected, 7);
    assert.equal(sender.trouble, 'it refused 7 of the items sent: too old');
  });

  it('holds no more than it has room for', async () => {
    const held: ServerResponse[] = [];
    answer = (response) => held.push(response);
    const sender = exporter({ maxQueuedBytes: 100 });
    assert.equal(sender.offer(new Uint8Array(60)), true);
    assert.equal(sender.offer(new Uint8Array(60)), false);
    await eventually(() => held.length === 1, 'the first body has come');
    held[0].writeHead(200).end();
    await sender.idle();
    assert.deepEqual(sender.counts, { sent: 1, dropped: 1, retries: 0, rejected: 0 });
  });

  it('ends at once where nobody answers, and takes nothing any more', async () => {
    answer = () => undefined;
    const sender = exporter();
    sender.offer(body('x'));
    sender.offer(body('y'));
    await eventually(() => got.length === 1, 'the first body has come');
    await sender.close(0);
    assert.equal(sender.offer(body('z')), false);
    assert.deepEqual({ sent: sender.counts.sent, dropped: sender.counts.dropped }, { sent: 0, dropped: 3 });
  });

  it('says what is not the address of a collector', () => {
    assert.equal(otlpUrl('http://c:4318', 'traces').href, 'http://c:4318/v1/traces');
    assert.equal(otlpUrl('https://c/otlp/', 'metrics').href, 'https://c/otlp/v1/metrics');
    assert.equal(otlpUrl('http://c/v1/metrics', 'metrics').href, 'http://c/v1/metrics');
    for (const wrong of ['c:4318', 'grpc://c:4317', '', 'http://'])
      assert.throws(() => otlpUrl(wrong, 'metrics'), /is not the address of a collector/);
  });
});
