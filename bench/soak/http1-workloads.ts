// Workloads of HTTP/1 and of raw TCP. Each does one thing from beginning to end, and throws if the answer is wrong.

import type { EventEmitter } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { PatternCheck, patternAt, WrongBytes } from '../pattern.js';
import { KIB, MIB, TIMEOUT_MS } from './limits.js';
import type { Listener } from './listeners.js';
import { ECHO_FIRST_BYTE, SMALL_BODY, STREAM_REQUEST } from './upstreams.js';
import type { ClientContext, Workload } from './workload.js';

function dial(port: number, allowHalfOpen = false): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen, noDelay: true });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`silence of ${TIMEOUT_MS} ms`)));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

export function response(
  context: ClientContext,
  path: string,
  body?: { size: number; chunk: number },
  listener: Listener = 'web',
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { agent, ports } = context;
    const options = {
      agent,
      port: ports[listener],
      host: '127.0.0.1',
      path,
      method: body ? 'POST' : 'GET',
      timeout: TIMEOUT_MS,
    };
    const request = httpRequest(options, resolve);
    request.once('error', reject);
    request.once('timeout', () => request.destroy(new Error(`no answer to ${path} in ${TIMEOUT_MS} ms`)));
    for (let at = 0; body && at < body.size; ) {
      const chunk = patternAt(at, Math.min(body.chunk, body.size - at));
      request.write(chunk);
      at += chunk.length;
    }
    request.end();
  });
}

export async function expectPattern(
  message: IncomingMessage,
  size: number,
  pause?: () => Promise<void>,
): Promise<void> {
  if (message.statusCode !== 200)
    throw new Error(`status ${message.statusCode} ${message.headers['sluice-error'] ?? ''}`);
  const check = new PatternCheck();
  for await (const chunk of message) {
    check.feed(chunk);
    if (pause) await pause();
  }
  if (check.received !== size) throw new Error(`${check.received} bytes of ${size}`);
}

async function keepAlive(context: ClientContext): Promise<void> {
  const message = await response(context, '/');
  let text = '';
  for await (const chunk of message) text += String(chunk);
  if (message.statusCode !== 200 || text !== SMALL_BODY)
    throw new Error(`status ${message.statusCode}, body '${text}'`);
}

async function chunkedUpload(context: ClientContext): Promise<void> {
  const size = context.random.size(1, 512 * KIB);
  const chunk = context.random.size(16, 64 * KIB);
  await expectPattern(await response(context, '/echo', { size, chunk: Math.max(chunk, Math.ceil(size / 200)) }), size);
}

async function chunkedDownload(context: ClientContext): Promise<void> {
  const size = context.random.size(1, MIB);
  await expectPattern(await response(context, `/chunked?n=${size}`), size);
}

async function large(context: ClientContext): Promise<void> {
  const size = context.random.size(MIB, 16 * MIB);
  await expectPattern(await response(context, `/bytes?n=${size}`), size);
}

async function slowReader(context: ClientContext): Promise<void> {
  const size = context.random.size(4 * MIB, 16 * MIB);
  let pauses = 3;
  await expectPattern(await response(context, `/bytes?n=${size}`), size, async () => {
    if (pauses > 0 && context.random.chance(0.05)) {
      pauses--;
      await delay(context.random.integer(100, 1000));
    }
  });
}

/** Several requests in one write; the answers must come in order and complete. */
async function pipelined(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.web);
  try {
    const sizes = Array.from({ length: context.random.integer(2, 16) }, () => context.random.size(1, 32 * KIB));
    socket.write(sizes.map((size) => `GET /bytes?n=${size} HTTP/1.1\r\nHost: bench\r\n\r\n`).join(''));
    let buffered = Buffer.alloc(0);
    let at = 0;
    for await (const chunk of socket) {
      buffered = Buffer.concat([buffered, chunk]);
      for (;;) {
        const end = buffered.indexOf('\r\n\r\n');
        if (end < 0) break;
        const head = buffered.toString('latin1', 0, end);
        const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN);
        if (!head.startsWith('HTTP/1.1 200') || length !== sizes[at]) throw new Error(`answer ${at} is wrong: ${head}`);
        if (buffered.length < end + 4 + length) break;
        new PatternCheck().feed(buffered.subarray(end + 4, end + 4 + length));
        buffered = buffered.subarray(end + 4 + length);
        at++;
      }
      if (at === sizes.length) return;
    }
    throw new Error(`${at} of ${sizes.length} pipelined answers`);
  } finally {
    socket.destroy();
  }
}

/** One request, `Connection: close`, to the end of the stream. */
async function newConnection(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.web, true);
  socket.write('GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n');
  let text = '';
  for await (const chunk of socket) text += chunk.toString('latin1');
  socket.destroy();
  if (!text.startsWith('HTTP/1.1 200') || !text.endsWith(SMALL_BODY)) throw new Error(`answer '${text}'`);
}

/** Echoes `size` bytes over `socket` from `check.received` on. */
export async function echo(
  socket: EventEmitter,
  size: number,
  check: PatternCheck,
  write: (chunk: Buffer) => void,
): Promise<void> {
  const until = check.received + size;
  const arrived = new Promise<void>((resolve, reject) => {
    const end = (error?: Error): void => {
      socket.off('data', take).off('error', end).off('close', closed);
      if (error) reject(error);
      else resolve();
    };
    const take = (chunk: Buffer): void => {
      try {
        check.feed(chunk);
      } catch (error) {
        end(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      if (check.received >= until) end();
    };
    const closed = (): void => end(new Error(`closed ${until - check.received} bytes early`));
    socket.on('data', take).once('error', end).once('close', closed);
  });
  for (let at = until - size; at < until; ) {
    const chunk = patternAt(at, Math.min(64 * KIB, until - at));
    write(chunk);
    at += chunk.length;
  }
  await arrived;
}

/** One piece there and back, whatever was said before. */
export async function echoOnce(stream: Duplex, size: number): Promise<void> {
  let got = 0;
  const arrived = new Promise<void>((resolve, reject) => {
    const end = (error?: Error): void => {
      stream.off('data', take).off('error', end).off('close', closed);
      if (error) reject(error);
      else resolve();
    };
    const take = (chunk: Buffer): void => {
      const same = chunk.equals(patternAt(got, chunk.length));
      got += chunk.length;
      if (!same) end(new WrongBytes('the payload came back changed'));
      else if (got >= size) end();
    };
    const closed = (): void => end(new Error(`closed ${size - got} bytes early`));
    stream.on('data', take).once('error', end).once('close', closed);
  });
  stream.write(patternAt(0, size));
  await arrived;
}

async function upgrade(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.web);
  try {
    socket.write(
      'GET /socket HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const head = await new Promise<string>((resolve, reject) => {
      socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1')));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed instead of 101')));
    });
    if (!head.startsWith('HTTP/1.1 101') || !head.endsWith('\r\n\r\n')) throw new Error(`no upgrade: ${head}`);
    const check = new PatternCheck();
    for (let i = 0; i < 20; i++)
      await echo(socket, context.random.size(1, 64 * KIB), check, (chunk) => socket.write(chunk));
  } finally {
    socket.destroy();
  }
}

/** Orderly end: our FIN, then theirs. */
async function endInOrder(socket: Socket): Promise<void> {
  const closed = new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => resolve());
  });
  socket.resume();
  socket.end();
  await closed;
}

async function opaqueEcho(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.clean, true);
  const write = (chunk: Uint8Array): void => {
    context.clean.sent += chunk.length;
    socket.write(chunk);
  };
  write(Buffer.from([ECHO_FIRST_BYTE]));
  const [first] = await new Promise<Buffer>((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed before the first byte')));
  });
  if (first !== ECHO_FIRST_BYTE) throw new WrongBytes('the first byte came back changed');
  const check = new PatternCheck();
  const rounds = context.random.integer(1, 30);
  for (let i = 0; i < rounds; i++) await echo(socket, context.random.size(1, 256 * KIB), check, write);
  await endInOrder(socket);
  context.clean.received += 1 + check.received;
}

function streamRequest(size: number): Buffer {
  const message = Buffer.alloc(10);
  STREAM_REQUEST.copy(message);
  message.writeBigUInt64LE(BigInt(size), 2);
  return message;
}

async function bulk(context: ClientContext): Promise<void> {
  const size = context.random.size(MIB, 64 * MIB);
  const socket = await dial(context.ports.clean, true);
  const message = streamRequest(size);
  socket.write(message);
  context.clean.sent += message.length;
  const check = new PatternCheck();
  for await (const chunk of socket) {
    check.feed(chunk);
    if (context.random.chance(0.0005)) await delay(context.random.integer(50, 500));
  }
  if (check.received !== size) throw new Error(`${check.received} bytes of ${size}`);
  if (!socket.destroyed) await endInOrder(socket);
  context.clean.received += size;
}

/** Ends a socket in the middle: a reset, or a FIN as if all had been said. */
async function breakOff(context: ClientContext, socket: Socket): Promise<void> {
  socket.on('error', () => socket.destroy());
  await delay(context.random.integer(0, 30));
  if (context.random.chance(0.5)) {
    socket.resetAndDestroy();
    return;
  }
  socket.end();
  await delay(context.random.integer(0, 200));
  socket.destroy();
}

async function abortedRequest(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.web);
  const whole = `POST /echo HTTP/1.1\r\nHost: bench\r\nContent-Length: ${MIB}\r\n\r\n${'x'.repeat(64 * KIB)}`;
  socket.resume();
  socket.write(whole.slice(0, context.random.size(1, whole.length)));
  await breakOff(context, socket);
}

async function abortedResponse(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.web);
  socket.write(`GET /${context.random.chance(0.5) ? 'bytes' : 'chunked'}?n=${8 * MIB} HTTP/1.1\r\nHost: bench\r\n\r\n`);
  if (context.random.chance(0.5)) socket.resume();
  await breakOff(context, socket);
}

async function abortedOpaque(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.rough, true);
  if (context.random.chance(0.3)) socket.resume();
  if (context.random.chance(0.5)) socket.write(streamRequest(context.random.size(KIB, 64 * MIB)));
  else socket.write(Buffer.concat([Buffer.from([ECHO_FIRST_BYTE]), patternAt(0, context.random.size(1, 256 * KIB))]));
  await breakOff(context, socket);
}

/** The endpoint resets in the middle of its body: a complete answer would be a lie. */
async function brokenUpstream(context: ClientContext): Promise<void> {
  const size = context.random.size(1, 256 * KIB);
  const complete = await response(context, `/reset?n=${size}`).then(
    async (message) => {
      try {
        for await (const chunk of message) if (chunk === null) return false;
      } catch {
        return false;
      }
      return message.statusCode === 200 && message.complete;
    },
    () => false,
  );
  if (complete) throw new WrongBytes('a truncated body was passed on as complete');
}

async function silent(context: ClientContext): Promise<void> {
  const socket = await dial(context.ports.web);
  socket.resume();
  await delay(context.random.integer(100, 1500));
  await breakOff(context, socket);
}

export const HTTP1_WORKLOADS: readonly Workload[] = [
  { name: 'keep-alive', concurrency: 8, run: keepAlive },
  { name: 'pipelined', concurrency: 2, run: pipelined },
  { name: 'chunked-upload', concurrency: 2, run: chunkedUpload },
  { name: 'chunked-download', concurrency: 1, run: chunkedDownload },
  { name: 'large', concurrency: 1, run: large },
  { name: 'slow-reader', concurrency: 2, run: slowReader },
  { name: 'new-connection', concurrency: 2, run: newConnection },
  { name: 'upgrade', concurrency: 2, run: upgrade },
  { name: 'opaque-echo', concurrency: 3, run: opaqueEcho },
  { name: 'bulk', concurrency: 1, run: bulk },
  { name: 'aborted-request', concurrency: 2, run: abortedRequest },
  { name: 'aborted-response', concurrency: 2, run: abortedResponse },
  { name: 'aborted-opaque', concurrency: 2, run: abortedOpaque },
  { name: 'broken-upstream', concurrency: 1, run: brokenUpstream },
  { name: 'silent', concurrency: 2, run: silent },
];
