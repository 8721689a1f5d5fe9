// gRPC traffic of the official client.

import type { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  Metadata,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { PatternCheck, patternAt, WrongBytes } from '../pattern.js';
import { LARGE, METHODS, same } from './grpc.js';
import { echo } from './http1-workloads.js';
import { KIB, MIB, REPLAYED_BYTES, TIMEOUT_MS } from './limits.js';
import type { Listener } from './listeners.js';
import { writePattern } from './upstreams.js';
import type { ClientContext, Workload } from './workload.js';

type Call =
  | ClientUnaryCall
  | ClientReadableStream<Buffer>
  | ClientWritableStream<Buffer>
  | ClientDuplexStream<Buffer, Buffer>;

interface Started {
  readonly call: Call;
  /** Octets of the request. */
  readonly sent: number;
  /** Rejects where the answer is wrong. */
  readonly outcome: Promise<{ readonly status: StatusObject; readonly complete: boolean }>;
}

/** What a call may end with where clients and endpoints break off; a deadline only where one was set on purpose. */
const ALLOWED_STATUSES: ReadonlySet<number> = new Set([
  status.OK,
  status.CANCELLED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNAVAILABLE,
]);

const withDeadline = (): CallOptions => ({ deadline: Date.now() + TIMEOUT_MS });

/** Feeds messages to `check`. Resolves when the call has ended and, if it went well, all was read. */
function watchCall(call: Call, check: PatternCheck, size: number): Started['outcome'] {
  const events: EventEmitter = call;
  return new Promise((resolve, reject) => {
    let ended = false;
    let last: StatusObject | null = null;
    const settle = (): void => {
      if (last === null || (last.code === status.OK && !ended)) return;
      resolve({ status: last, complete: last.code === status.OK && check.received === size });
    };
    events.on('error', () => undefined); // `status` says the same
    events.on('data', (message: Buffer) => {
      try {
        check.feed(message);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
        call.cancel();
      }
    });
    events.once('end', () => {
      ended = true;
      settle();
    });
    events.once('status', (object: StatusObject) => {
      last = object;
      settle();
    });
  });
}

/** A call whose answer is one message: hands it on as streams do theirs. */
function unary(client: Client, size: number, options: CallOptions, metadata = new Metadata()): Started {
  const message = Buffer.alloc(size);
  for (let at = 0; at < size; ) at += patternAt(at, size - at).copy(message, at);
  const check = new PatternCheck();
  const call: ClientUnaryCall = client.makeUnaryRequest(
    METHODS.unary.path,
    same,
    same,
    message,
    metadata,
    options,
    (_error, answer) => {
      if (answer !== undefined) call.emit('data', answer);
      call.emit('end');
    },
  );
  return { call, sent: size, outcome: watchCall(call, check, size) };
}

function collect(client: Client, size: number, piece: number, options: CallOptions): Started {
  let counted = Number.NaN;
  const call: ClientWritableStream<Buffer> = client.makeClientStreamRequest(
    METHODS.collect.path,
    same,
    same,
    new Metadata(),
    options,
    (_error, answer) => {
      counted = answer?.readUInt32LE(0) ?? Number.NaN;
      call.emit('end');
    },
  );
  writePattern(call, size, piece, () => call.end());
  const outcome = watchCall(call, new PatternCheck(), 0).then((ended) => ({
    ...ended,
    complete: ended.complete && counted === size,
  }));
  return { call, sent: size, outcome };
}

function expand(client: Client, size: number, piece: number, options: CallOptions): Started {
  const message = Buffer.alloc(8);
  message.writeUInt32LE(size, 0);
  message.writeUInt32LE(piece, 4);
  const call = client.makeServerStreamRequest(METHODS.expand.path, same, same, message, new Metadata(), options);
  return { call, sent: message.length, outcome: watchCall(call, new PatternCheck(), size) };
}

function exchange(client: Client, size: number, piece: number, options: CallOptions): Started {
  const call = client.makeBidiStreamRequest(METHODS.chat.path, same, same, new Metadata(), options);
  writePattern(call, size, piece, () => call.end());
  return { call, sent: size, outcome: watchCall(call, new PatternCheck(), size) };
}

function anyCall({ random, channels }: ClientContext, listener: Listener, options = withDeadline()): Started {
  const client = channels.any(listener);
  const size = random.size(1, MIB);
  const piece = Math.max(random.size(1, 64 * KIB), Math.ceil(size / 200));
  switch (random.integer(0, 3)) {
    case 0:
      return unary(client, size, options);
    case 1:
      return collect(client, size, piece, options);
    case 2:
      return expand(client, size, piece, options);
    default:
      return exchange(client, size, piece, options);
  }
}

async function expectComplete(context: ClientContext, { sent, outcome }: Started): Promise<void> {
  context.requestCount.requests++;
  const ended = await outcome;
  // Refused, and too long to be kept for sending it again.
  if (sent > REPLAYED_BYTES && /stream-refused/.test(ended.status.details)) return;
  if (!ended.complete) throw new Error(`status ${ended.status.code} ${ended.status.details}`);
  context.requestCount.complete++;
}

const small = (context: ClientContext) =>
  expectComplete(context, unary(context.channels.any('grpc'), context.random.size(1, KIB), withDeadline()));

const large = (context: ClientContext) => expectComplete(context, anyCall(context, 'grpc'));

/** Much metadata, there and back. */
async function heads(context: ClientContext): Promise<void> {
  const metadata = new Metadata();
  const size = context.random.size(4 * KIB, 16 * KIB);
  metadata.set(LARGE, `${context.random.next()}`.padEnd(size, 'v'));
  const started = unary(context.channels.any('grpc'), 10, withDeadline(), metadata);
  await expectComplete(context, started);
  const [got] = (await started.outcome).status.metadata.get(LARGE);
  if (got?.length !== size) throw new Error(`${got?.length} octets of ${size} in the trailers`);
}

/** One call, both ways, in turn. */
async function chat(context: ClientContext): Promise<void> {
  context.requestCount.requests++;
  const call = context.channels
    .any('grpc')
    .makeBidiStreamRequest(METHODS.chat.path, same, same, new Metadata(), withDeadline());
  const ended = new Promise<StatusObject>((resolve) => call.once('status', resolve));
  call.on('error', () => undefined);
  const check = new PatternCheck();
  const rounds = context.random.integer(1, 30);
  for (let i = 0; i < rounds; i++) {
    await echo(call, context.random.size(1, 64 * KIB), check, (message) => call.write(message));
  }
  call.end();
  call.resume();
  const { code, details } = await ended;
  if (code !== status.OK) throw new Error(`status ${code} ${details}`);
  context.requestCount.complete++;
}

function expectAllowed({ status: { code, details }, complete }: Awaited<Started['outcome']>, late = false): void {
  if (code === status.OK && !complete) throw new WrongBytes('an incomplete answer ended with OK');
  if (!ALLOWED_STATUSES.has(code) && !(late && code === status.DEADLINE_EXCEEDED))
    throw new Error(`status ${code} ${details}`);
}

async function rough(context: ClientContext): Promise<void> {
  expectAllowed(await anyCall(context, 'grpc-rough').outcome);
}

async function cancelled(context: ClientContext): Promise<void> {
  const { call, outcome } = anyCall(context, 'grpc-rough');
  await delay(context.random.integer(0, 30));
  call.cancel();
  expectAllowed(await outcome);
}

async function late(context: ClientContext): Promise<void> {
  const options = { deadline: Date.now() + context.random.integer(1, 50) };
  expectAllowed(await anyCall(context, 'grpc-rough', options).outcome, true);
}

export const GRPC_WORKLOADS: readonly Workload[] = [
  { name: 'grpc-unary', concurrency: 4, run: small },
  { name: 'grpc-large', concurrency: 2, run: large },
  { name: 'grpc-heads', concurrency: 1, run: heads },
  { name: 'grpc-chat', concurrency: 1, run: chat },
  { name: 'grpc-rough', concurrency: 2, run: rough },
  { name: 'grpc-cancelled', concurrency: 1, run: cancelled },
  { name: 'grpc-late', concurrency: 1, run: late },
];
