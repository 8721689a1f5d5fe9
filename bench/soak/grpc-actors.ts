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
import { echo } from './actors.js';
import { LARGE, METHODS, same } from './grpc.js';
import { KIB, MIB, REPLAYED_BYTES, TIMEOUT_MS } from './limits.js';
import type { Listener } from './listeners.js';
import type { Actor, Stage } from './stage.js';
import { pour } from './upstreams.js';

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
  readonly outcome: Promise<{ readonly status: StatusObject; readonly whole: boolean }>;
}

/** What a call may end with where clients and endpoints break off; a deadline only where one was set on purpose. */
const HONEST: ReadonlySet<number> = new Set([
  status.OK,
  status.CANCELLED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNAVAILABLE,
]);

const patience = (): CallOptions => ({ deadline: Date.now() + TIMEOUT_MS });

/** Feeds messages to `check`. Resolves when the call has ended and, if it went well, all was read. */
function judge(call: Call, check: PatternCheck, size: number): Started['outcome'] {
  const events: EventEmitter = call;
  return new Promise((resolve, reject) => {
    let ended = false;
    let last: StatusObject | null = null;
    const settle = (): void => {
      if (last === null || (last.code === status.OK && !ended)) return;
      resolve({ status: last, whole: last.code === status.OK && check.received === size });
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
  return { call, sent: size, outcome: judge(call, check, size) };
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
  pour(call, size, piece, () => call.end());
  const outcome = judge(call, new PatternCheck(), 0).then((ended) => ({
    ...ended,
    whole: ended.whole && counted === size,
  }));
  return { call, sent: size, outcome };
}

function expand(client: Client, size: number, piece: number, options: CallOptions): Started {
  const message = Buffer.alloc(8);
  message.writeUInt32LE(size, 0);
  message.writeUInt32LE(piece, 4);
  const call = client.makeServerStreamRequest(METHODS.expand.path, same, same, message, new Metadata(), options);
  return { call, sent: message.length, outcome: judge(call, new PatternCheck(), size) };
}

function exchange(client: Client, size: number, piece: number, options: CallOptions): Started {
  const call = client.makeBidiStreamRequest(METHODS.chat.path, same, same, new Metadata(), options);
  pour(call, size, piece, () => call.end());
  return { call, sent: size, outcome: judge(call, new PatternCheck(), size) };
}

function anything({ random, channels }: Stage, listener: Listener, options = patience()): Started {
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

async function whole(stage: Stage, { sent, outcome }: Started): Promise<void> {
  stage.asked.requests++;
  const ended = await outcome;
  // Refused, and too long to be kept for sending it again.
  if (sent > REPLAYED_BYTES && /stream-refused/.test(ended.status.details)) return;
  if (!ended.whole) throw new Error(`status ${ended.status.code} ${ended.status.details}`);
  stage.asked.whole++;
}

const small = (stage: Stage) => whole(stage, unary(stage.channels.any('grpc'), stage.random.size(1, KIB), patience()));

const large = (stage: Stage) => whole(stage, anything(stage, 'grpc'));

/** Much metadata, there and back. */
async function heads(stage: Stage): Promise<void> {
  const metadata = new Metadata();
  const size = stage.random.size(4 * KIB, 16 * KIB);
  metadata.set(LARGE, `${stage.random.next()}`.padEnd(size, 'v'));
  const started = unary(stage.channels.any('grpc'), 10, patience(), metadata);
  await whole(stage, started);
  const [got] = (await started.outcome).status.metadata.get(LARGE);
  if (got?.length !== size) throw new Error(`${got?.length} octets of ${size} in the trailers`);
}

/** One call, both ways, in turn. */
async function chat(stage: Stage): Promise<void> {
  stage.asked.requests++;
  const call = stage.channels
    .any('grpc')
    .makeBidiStreamRequest(METHODS.chat.path, same, same, new Metadata(), patience());
  const ended = new Promise<StatusObject>((resolve) => call.once('status', resolve));
  call.on('error', () => undefined);
  const check = new PatternCheck();
  const rounds = stage.random.integer(1, 30);
  for (let i = 0; i < rounds; i++) {
    await echo(call, stage.random.size(1, 64 * KIB), check, (message) => call.write(message));
  }
  call.end();
  call.resume();
  const { code, details } = await ended;
  if (code !== status.OK) throw new Error(`status ${code} ${details}`);
  stage.asked.whole++;
}

function expectHonest({ status: { code, details }, whole }: Awaited<Started['outcome']>, late = false): void {
  if (code === status.OK && !whole) throw new WrongBytes('a part was passed on as all of it');
  if (!HONEST.has(code) && !(late && code === status.DEADLINE_EXCEEDED)) throw new Error(`status ${code} ${details}`);
}

async function rough(stage: Stage): Promise<void> {
  expectHonest(await anything(stage, 'grpc-rough').outcome);
}

async function cancelled(stage: Stage): Promise<void> {
  const { call, outcome } = anything(stage, 'grpc-rough');
  await delay(stage.random.integer(0, 30));
  call.cancel();
  expectHonest(await outcome);
}

async function late(stage: Stage): Promise<void> {
  const options = { deadline: Date.now() + stage.random.integer(1, 50) };
  expectHonest(await anything(stage, 'grpc-rough', options).outcome, true);
}

export const GRPC_ACTORS: readonly Actor[] = [
  { name: 'grpc-unary', count: 4, act: small },
  { name: 'grpc-large', count: 2, act: large },
  { name: 'grpc-heads', count: 1, act: heads },
  { name: 'grpc-chat', count: 1, act: chat },
  { name: 'grpc-rough', count: 2, act: rough },
  { name: 'grpc-cancelled', count: 1, act: cancelled },
  { name: 'grpc-late', count: 1, act: late },
];
