// HTTP/2 traffic: streams that must be answered whole whatever the endpoints do, streams that may fail but not lie, and clients
// that leave in the middle. Then both ways of crossing over from or to HTTP/1.
import { type ClientHttp2Session, constants } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { PatternCheck, WrongBytes } from '../pattern.js';
import { echo, expectPattern, response } from './http1-workloads.js';
import { type Body, expectOk, open, openSession, outcome } from './http2-client.js';
import { KIB, MIB, REPLAYED_BYTES, TIMEOUT_MS } from './limits.js';
import type { Listener } from './listeners.js';
import type { ClientContext, Workload } from './workload.js';

const CANCEL_CODES = [constants.NGHTTP2_CANCEL, constants.NGHTTP2_INTERNAL_ERROR];

interface Wanted {
  readonly path: string;
  readonly size: number;
  readonly body?: Body;
}

const download = (size: number, known: boolean): Wanted => ({
  path: `/${known ? 'bytes' : 'chunked'}?n=${size}`,
  size,
});

function upload({ random }: ClientContext, longest: number): Wanted {
  const size = random.size(1, longest);
  return { path: '/echo', size, body: { size, chunk: Math.max(random.size(16, 64 * KIB), Math.ceil(size / 200)) } };
}

function anyRequest(context: ClientContext, longest: number): Wanted {
  const { random } = context;
  return random.chance(0.5) ? upload(context, longest) : download(random.size(1, longest), random.chance(0.5));
}

/** Expects the whole answer. */
async function expectComplete(
  context: ClientContext,
  listener: Listener,
  { path, size, body }: Wanted,
  session: ClientHttp2Session = context.sessions.any(listener),
  pause?: () => number,
): Promise<void> {
  const counted = listener === 'h2';
  if (counted) context.requestCount.requests++;
  const { status, reason, received, failure } = await outcome(open(session, path, body), pause);
  // Refused, and too long to be kept for sending it again: that is the client's to do.
  const refused = reason === 'stream-refused' || (status === 0 && failure.includes('REFUSED_STREAM'));
  if (refused && (body?.size ?? 0) > REPLAYED_BYTES) return;
  if (status !== 200 || received !== size || failure !== '') {
    throw new Error(`${path}: status ${status} ${reason}, ${received} bytes of ${size} ${failure}`);
  }
  if (counted) context.requestCount.complete++;
}

const small = (listener: Listener) => (context: ClientContext) =>
  expectComplete(context, listener, download(context.random.integer(1, 64), true));

/** Many streams at once on a connection of their own. */
async function burst(context: ClientContext): Promise<void> {
  const { session } = openSession(context.ports.h2);
  const wanted = Array.from({ length: context.random.size(2, 64) }, () => anyRequest(context, 32 * KIB));
  try {
    await Promise.all(wanted.map((each) => expectComplete(context, 'h2', each, session)));
  } finally {
    session.close();
  }
}

const uploading = (listener: Listener) => (context: ClientContext) =>
  expectComplete(context, listener, upload(context, 2 * MIB));

/** Large, and now and then not read for a while. */
const downloading = (listener: Listener) => (context: ClientContext) => {
  const { random } = context;
  let pauses = random.integer(0, 3);
  return expectComplete(
    context,
    listener,
    download(random.size(64 * KIB, 16 * MIB), random.chance(0.5)),
    undefined,
    () => {
      if (pauses === 0 || !random.chance(0.05)) return 0;
      pauses--;
      return random.integer(100, 1000);
    },
  );
};

/** One stream, both ways, in turn. */
const chat = (listener: Listener) => async (context: ClientContext) => {
  const counted = listener === 'h2';
  if (counted) context.requestCount.requests++;
  const stream = context.sessions.any(listener).request({ ':path': '/echo', ':method': 'POST' }, { endStream: false });
  stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error(`silence of ${TIMEOUT_MS} ms`)));
  expectOk(stream);
  const check = new PatternCheck();
  const rounds = context.random.integer(1, 30);
  for (let i = 0; i < rounds; i++) {
    await echo(stream, context.random.size(1, 64 * KIB), check, (chunk) => stream.write(chunk));
  }
  const ended = new Promise((resolve) => stream.once('end', resolve).once('close', resolve));
  stream.end();
  stream.resume();
  await ended;
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error(`ended with code ${stream.rstCode}`);
  if (counted) context.requestCount.complete++;
};

/** Endpoints reset, die and come back: what fails must say so. */
async function rough(context: ClientContext): Promise<void> {
  const { path, size, body } = anyRequest(context, MIB);
  const { status, reason, received, failure } = await outcome(open(context.sessions.any('h2-rough'), path, body));
  if (failure !== '') return;
  if (status === 200 && received !== size)
    throw new WrongBytes(`${received} bytes of ${size} were passed on as all of it`);
  if (status !== 200 && reason === '') throw new Error(`status ${status}, which no endpoint sends, without a reason`);
}

async function cancelled(context: ClientContext): Promise<void> {
  const { random } = context;
  const { path, body } = anyRequest(context, 4 * MIB);
  const stream = open(context.sessions.any('h2-rough'), path, body);
  const over = outcome(stream, () => (random.chance(0.02) ? 50 : 0));
  await delay(random.integer(0, 30));
  stream.close(CANCEL_CODES[random.integer(0, CANCEL_CODES.length - 1)]);
  // Node may wait for its own buffers, for good; and stream.destroy() here has made it send without end, until it had no memory.
  await Promise.race([over, delay(1000)]);
}

/** A connection that is lost with streams open on it. */
async function torn(context: ClientContext): Promise<void> {
  const { random } = context;
  const { session, socket } = openSession(context.ports['h2-rough']);
  const outcomes = Array.from({ length: random.integer(1, 20) }, () => {
    const { path, body } = anyRequest(context, MIB);
    return outcome(open(session, path, body));
  });
  await delay(random.integer(0, 50));
  if (random.chance(0.4)) socket.resetAndDestroy();
  else if (random.chance(0.5)) session.destroy();
  else session.goaway(constants.NGHTTP2_NO_ERROR);
  await delay(random.integer(0, 50));
  session.destroy();
  await Promise.all(outcomes);
}

/** HTTP/1 to an endpoint that speaks HTTP/2. */
async function fromHttp1(context: ClientContext): Promise<void> {
  const { path, size, body } = anyRequest(context, MIB);
  context.requestCount.requests++;
  const message = await response(context, path, body, 'h2');
  if (message.headers['sluice-error'] === 'stream-refused' && (body?.size ?? 0) > REPLAYED_BYTES) {
    message.resume();
    return;
  }
  await expectPattern(message, size);
  context.requestCount.complete++;
}

/** The same, where endpoints fail. */
async function fromHttp1Rough(context: ClientContext): Promise<void> {
  const { path, size, body } = anyRequest(context, MIB);
  const complete = await response(context, path, body, 'h2-rough').then(
    async (message) => {
      if (message.statusCode !== 200) {
        message.resume();
        return false;
      }
      let received = 0;
      try {
        for await (const chunk of message) received += chunk.length;
      } catch {
        return false;
      }
      return message.complete && received !== size;
    },
    () => false,
  );
  if (complete) throw new WrongBytes('a truncated body was passed on as complete');
}

export const HTTP2_WORKLOADS: readonly Workload[] = [
  { name: 'h2-small', concurrency: 6, run: small('h2') },
  { name: 'h2-burst', concurrency: 2, run: burst },
  { name: 'h2-upload', concurrency: 2, run: uploading('h2') },
  { name: 'h2-download', concurrency: 1, run: downloading('h2') },
  { name: 'h2-chat', concurrency: 2, run: chat('h2') },
  { name: 'h2-rough', concurrency: 3, run: rough },
  { name: 'h2-cancelled', concurrency: 2, run: cancelled },
  { name: 'h2-torn', concurrency: 1, run: torn },
];

export const BRIDGE_WORKLOADS: readonly Workload[] = [
  { name: 'h2-to-h1', concurrency: 2, run: small('web') },
  { name: 'h2-to-h1-upload', concurrency: 1, run: uploading('web') },
  { name: 'h2-to-h1-download', concurrency: 1, run: downloading('web') },
  { name: 'h2-to-h1-chat', concurrency: 1, run: chat('web') },
  { name: 'h1-to-h2', concurrency: 3, run: fromHttp1 },
  { name: 'h1-to-h2-rough', concurrency: 2, run: fromHttp1Rough },
];
