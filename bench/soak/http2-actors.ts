// HTTP/2 traffic: streams that must be answered whole whatever the endpoints do, streams that may fail but not lie, and clients
// that leave in the middle. Then both ways of crossing over from or to HTTP/1.
import { type ClientHttp2Session, constants } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { PatternCheck, WrongBytes } from '../pattern.js';
import { echo, expectPattern, response } from './actors.js';
import { type Body, expectOk, open, openSession, outcome } from './http2-client.js';
import { KIB, MIB, REPLAYED_BYTES, TIMEOUT_MS } from './limits.js';
import type { Listener } from './listeners.js';
import type { Actor, Stage } from './stage.js';

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

function upload({ random }: Stage, longest: number): Wanted {
  const size = random.size(1, longest);
  return { path: '/echo', size, body: { size, chunk: Math.max(random.size(16, 64 * KIB), Math.ceil(size / 200)) } };
}

function anything(stage: Stage, longest: number): Wanted {
  const { random } = stage;
  return random.chance(0.5) ? upload(stage, longest) : download(random.size(1, longest), random.chance(0.5));
}

/** Expects the whole answer. */
async function whole(
  stage: Stage,
  listener: Listener,
  { path, size, body }: Wanted,
  session: ClientHttp2Session = stage.sessions.any(listener),
  pause?: () => number,
): Promise<void> {
  const counted = listener === 'h2';
  if (counted) stage.asked.requests++;
  const { status, reason, received, failure } = await outcome(open(session, path, body), pause);
  // Refused, and too long to be kept for sending it again: that is the client's to do.
  const refused = reason === 'stream-refused' || (status === 0 && failure.includes('REFUSED_STREAM'));
  if (refused && (body?.size ?? 0) > REPLAYED_BYTES) return;
  if (status !== 200 || received !== size || failure !== '') {
    throw new Error(`${path}: status ${status} ${reason}, ${received} bytes of ${size} ${failure}`);
  }
  if (counted) stage.asked.whole++;
}

const small = (listener: Listener) => (stage: Stage) =>
  whole(stage, listener, download(stage.random.integer(1, 64), true));

/** Many streams at once on a connection of their own. */
async function burst(stage: Stage): Promise<void> {
  const { session } = openSession(stage.ports.h2);
  const wanted = Array.from({ length: stage.random.size(2, 64) }, () => anything(stage, 32 * KIB));
  try {
    await Promise.all(wanted.map((each) => whole(stage, 'h2', each, session)));
  } finally {
    session.close();
  }
}

const uploading = (listener: Listener) => (stage: Stage) => whole(stage, listener, upload(stage, 2 * MIB));

/** Large, and now and then not read for a while. */
const downloading = (listener: Listener) => (stage: Stage) => {
  const { random } = stage;
  let pauses = random.integer(0, 3);
  return whole(stage, listener, download(random.size(64 * KIB, 16 * MIB), random.chance(0.5)), undefined, () => {
    if (pauses === 0 || !random.chance(0.05)) return 0;
    pauses--;
    return random.integer(100, 1000);
  });
};

/** One stream, both ways, in turn. */
const chat = (listener: Listener) => async (stage: Stage) => {
  const counted = listener === 'h2';
  if (counted) stage.asked.requests++;
  const stream = stage.sessions.any(listener).request({ ':path': '/echo', ':method': 'POST' }, { endStream: false });
  stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error(`silence of ${TIMEOUT_MS} ms`)));
  expectOk(stream);
  const check = new PatternCheck();
  const rounds = stage.random.integer(1, 30);
  for (let i = 0; i < rounds; i++) {
    await echo(stream, stage.random.size(1, 64 * KIB), check, (chunk) => stream.write(chunk));
  }
  const ended = new Promise((resolve) => stream.once('end', resolve).once('close', resolve));
  stream.end();
  stream.resume();
  await ended;
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error(`ended with code ${stream.rstCode}`);
  if (counted) stage.asked.whole++;
};

/** Endpoints reset, die and come back: what fails must say so. */
async function rough(stage: Stage): Promise<void> {
  const { path, size, body } = anything(stage, MIB);
  const { status, reason, received, failure } = await outcome(open(stage.sessions.any('h2-rough'), path, body));
  if (failure !== '') return;
  if (status === 200 && received !== size)
    throw new WrongBytes(`${received} bytes of ${size} were passed on as all of it`);
  if (status !== 200 && reason === '') throw new Error(`status ${status}, which no endpoint sends, without a reason`);
}

async function cancelled(stage: Stage): Promise<void> {
  const { random } = stage;
  const { path, body } = anything(stage, 4 * MIB);
  const stream = open(stage.sessions.any('h2-rough'), path, body);
  const over = outcome(stream, () => (random.chance(0.02) ? 50 : 0));
  await delay(random.integer(0, 30));
  stream.close(CANCEL_CODES[random.integer(0, CANCEL_CODES.length - 1)]);
  // Node may wait for its own buffers, for good; and stream.destroy() here has made it send without end, until it had no memory.
  await Promise.race([over, delay(1000)]);
}

/** A connection that is lost with streams open on it. */
async function torn(stage: Stage): Promise<void> {
  const { random } = stage;
  const { session, socket } = openSession(stage.ports['h2-rough']);
  const outcomes = Array.from({ length: random.integer(1, 20) }, () => {
    const { path, body } = anything(stage, MIB);
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
async function fromHttp1(stage: Stage): Promise<void> {
  const { path, size, body } = anything(stage, MIB);
  stage.asked.requests++;
  const message = await response(stage, path, body, 'h2');
  if (message.headers['sluice-error'] === 'stream-refused' && (body?.size ?? 0) > REPLAYED_BYTES) {
    message.resume();
    return;
  }
  await expectPattern(message, size);
  stage.asked.whole++;
}

/** The same, where endpoints fail. */
async function fromHttp1Rough(stage: Stage): Promise<void> {
  const { path, size, body } = anything(stage, MIB);
  const complete = await response(stage, path, body, 'h2-rough').then(
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

export const HTTP2_ACTORS: readonly Actor[] = [
  { name: 'h2-small', count: 6, act: small('h2') },
  { name: 'h2-burst', count: 2, act: burst },
  { name: 'h2-upload', count: 2, act: uploading('h2') },
  { name: 'h2-download', count: 1, act: downloading('h2') },
  { name: 'h2-chat', count: 2, act: chat('h2') },
  { name: 'h2-rough', count: 3, act: rough },
  { name: 'h2-cancelled', count: 2, act: cancelled },
  { name: 'h2-torn', count: 1, act: torn },
];

export const BRIDGE_ACTORS: readonly Actor[] = [
  { name: 'h2-to-h1', count: 2, act: small('web') },
  { name: 'h2-to-h1-upload', count: 1, act: uploading('web') },
  { name: 'h2-to-h1-download', count: 1, act: downloading('web') },
  { name: 'h2-to-h1-chat', count: 1, act: chat('web') },
  { name: 'h1-to-h2', count: 3, act: fromHttp1 },
  { name: 'h1-to-h2-rough', count: 2, act: fromHttp1Rough },
];
