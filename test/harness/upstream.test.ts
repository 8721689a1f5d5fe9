import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { Http1Responder, http1Response } from '../../src/harness/upstream/http1.js';
import { grpcResponse, Http2Responder, http2Response } from '../../src/harness/upstream/http2.js';
import { WebSocketEchoServer } from '../../src/harness/upstream/websocket.js';

const GET = 'GET /a HTTP/1.1\r\nhost: a\r\n\r\n';
const POST = 'POST /a HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\n\r\nabcde';
const CHUNKED = 'POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n';
const CLOSE = 'GET /a HTTP/1.1\r\nhost: a\r\nConnection: close\r\n\r\n';

/** Answers to octets that come in pieces of `size`, how many of them say that the connection closes, and whether it does. */
function answers(text: string, size: number): { count: number; said: number; close: boolean } {
  const server = new Http1Responder(http1Response(40), http1Response(40, true));
  let octets = '';
  let close = false;
  for (let at = 0; at < text.length; at += size) {
    const answered = server.take(Buffer.from(text.slice(at, at + size)));
    octets += answered.answer?.toString('latin1') ?? '';
    close ||= answered.close;
  }
  const [, ...heads] = octets.split('HTTP/1.1 200 OK\r\n');
  // The last one says it, or none does.
  assert.ok(heads.slice(0, -1).every((head) => !head.includes('Connection: close\r\n')));
  return { count: heads.length, said: heads.filter((head) => head.includes('Connection: close\r\n')).length, close };
}

describe('the HTTP/1.1 server behind the subjects', () => {
  for (const size of [1, 3, 7, 1000]) {
    it(`answers each request, in pieces of ${size}`, () => {
      const text = GET + POST + GET + CHUNKED + GET + GET + POST;
      assert.deepEqual(answers(text, size), { count: 7, said: 0, close: false });
      assert.deepEqual(answers(GET + CLOSE + GET, size), { count: 2, said: 1, close: true });
    });
  }

  it('ends what is no request', () => {
    assert.deepEqual(answers('x'.repeat(100_000), 9000), { count: 0, said: 0, close: true });
  });
});

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Type, flags and stream of what it says. */
function said(octets: Buffer): string[] {
  const frames: string[] = [];
  for (let at = 0; at < octets.length; at += 9 + octets.readUIntBE(at, 3))
    frames.push(`${octets[at + 3]}/${octets[at + 4]}/${octets.readUInt32BE(at + 5)}`);
  return frames;
}

describe('the HTTP/2 server behind the subjects', () => {
  const hello = ['4/0/0', '8/0/0'];
  const request = (stream: number): Buffer => frame(1, 5, stream, Buffer.from([0x82]));

  it('says hello, acknowledges, and answers each stream, in pieces of any size', () => {
    const text = Buffer.concat([
      Buffer.from(PREFACE),
      frame(4, 0, 0),
      request(1),
      frame(6, 0, 0, Buffer.alloc(8)),
      request(3),
    ]);
    for (const size of [1, 5, 1000]) {
      const server = new Http2Responder(http2Response(40));
      const out: Buffer[] = [];
      for (let at = 0; at < text.length; at += size) out.push(server.take(text.subarray(at, at + size)));
      const frames = said(Buffer.concat(out));
      assert.deepEqual(frames.slice(0, 3), [...hello, '4/1/0']);
      assert.deepEqual(
        frames.filter((one) => /^[01]\//.test(one)),
        ['1/4/1', '0/1/1', '1/4/3', '0/1/3'],
      );
      assert.ok(frames.includes('6/1/0'));
    }
  });

  it('takes a body, and a head in two frames, before it answers', () => {
    const server = new Http2Responder(grpcResponse(8));
    server.take(Buffer.from(PREFACE));
    assert.deepEqual(said(server.take(frame(1, 4, 1, Buffer.from([0x83])))), []);
    assert.deepEqual(said(server.take(frame(0, 0, 1, Buffer.alloc(10)))), ['8/0/0', '8/0/1']);
    assert.deepEqual(said(server.take(frame(0, 1, 1))), ['1/4/1', '0/0/1', '1/5/1']);
    assert.deepEqual(said(server.take(frame(1, 1, 3, Buffer.from([0x82])))), []);
    assert.deepEqual(said(server.take(frame(9, 4, 3))), ['1/4/3', '0/0/3', '1/5/3']);
  });

  it('answers a call with several messages, or each message of it', () => {
    const several = new Http2Responder(grpcResponse(8, 3));
    several.take(Buffer.from(PREFACE));
    assert.deepEqual(said(several.take(request(1))), ['1/4/1', '0/0/1', '0/0/1', '0/0/1', '1/5/1']);
    const message = Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]);
    const empty = Buffer.alloc(5);
    for (const size of [1, 3, 8, 100]) {
      const each = new Http2Responder(grpcResponse(8, 'per-message'));
      each.take(Buffer.from(PREFACE));
      const octets = Buffer.concat([message, empty, message]);
      const out = [each.take(frame(1, 4, 1, Buffer.from([0x83])))];
      for (let at = 0; at < octets.length; at += size)
        out.push(each.take(frame(0, 0, 1, octets.subarray(at, at + size))));
      out.push(each.take(frame(0, 1, 1)));
      assert.deepEqual(
        said(Buffer.concat(out)).filter((one) => /^[01]\//.test(one)),
        ['1/4/1', '0/0/1', '0/0/1', '0/0/1', '1/5/1'],
      );
    }
  });

  it('waits for room in the window of the connection', () => {
    const server = new Http2Responder(http2Response(16_384));
    server.take(Buffer.from(PREFACE));
    const requests = Buffer.concat([1, 3, 5, 7].map(request));
    // 65,535 octets are room for three of these.
    assert.deepEqual(said(server.take(requests)).filter((one) => one.startsWith('1/')).length, 3);
    const update = Buffer.alloc(4);
    update.writeUInt32BE(100_000);
    assert.deepEqual(said(server.take(frame(8, 0, 0, update))), ['1/4/7', '0/1/7']);
    assert.throws(() => http2Response(20_000) && new Http2Responder(http2Response(20_000)), /more than a frame takes/);
  });
});

it('the WebSocket server behind the subjects sends back what a client of ws says, in pieces of any size', async () => {
  const server = createServer((socket) => {
    const echoes = new WebSocketEchoServer();
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += 100) socket.write(echoes.take(chunk.subarray(at, at + 100)));
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await once(client, 'open');
  for (const length of [0, 64, 125, 126, 1000, 70_000]) {
    const text = 'w'.repeat(length);
    client.send(text);
    const [data, binary] = (await once(client, 'message')) as [Buffer, boolean];
    assert.deepEqual([data.toString() === text, binary], [true, false], `${length}`);
  }
  client.terminate();
  server.close();
});
