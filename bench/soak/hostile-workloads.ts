// Clients that take what many share: they stall, crawl, stay silent, leave, cancel and ping, ask for large heads and upload what nobody
// wants. None of them may lose a byte, nor may anybody else. And clients of services whose endpoints restart one after the other.
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { type ClientHttp2Session, constants } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { patternAt } from '../pattern.js';
import { echoOnce, expectPattern } from './http1-workloads.js';
import { expectOk, open, openSession, outcome } from './http2-client.js';
import { KIB, MIB, TIMEOUT_MS } from './limits.js';
import type { Listener } from './listeners.js';
import { SMALL_BODY } from './upstreams.js';
import type { ClientContext, Workload } from './workload.js';

/** A request on a connection of its own. */
function requestOnNewConnection(
  context: ClientContext,
  path: string,
  options: RequestOptions & { listener?: Listener } = {},
  body = 0,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { listener = 'web', ...others } = options;
    const asked = request({ ...others, agent: false, port: context.ports[listener], host: '127.0.0.1', path }, resolve);
    asked.once('error', reject);
    // Errors behind the response are the response's.
    asked.once('response', () => asked.on('error', () => undefined));
    if (body === 0) {
      asked.end();
      return;
    }
    asked.flushHeaders();
    let sent = 0;
    const more = (): void => {
      while (sent < body && !asked.destroyed) {
        sent += 64 * KIB;
        if (asked.write(patternAt(0, 64 * KIB))) continue;
        asked.once('drain', more);
        return;
      }
      asked.end();
    };
    more();
  });
}

/** Reads nothing for seconds while the endpoint goes on sending, in large pieces or in very small ones. */
async function stalled(context: ClientContext): Promise<void> {
  const { random } = context;
  const size = random.size(2 * MIB, 12 * MIB);
  const message = await requestOnNewConnection(context, `/${random.chance(0.5) ? 'bytes' : 'ticks'}?n=${size}`);
  message.pause();
  await delay(random.integer(2000, 8000));
  await expectPattern(message, size);
}

/** The same by HTTP/2: many streams, of which none is read, beside one that is. */
async function stalledStreams(context: ClientContext): Promise<void> {
  const { random } = context;
  const listener: Listener = random.chance(0.5) ? 'web' : 'h2';
  const { session } = openSession(context.ports[listener]);
  try {
    const held = Array.from({ length: random.integer(2, 20) }, () => ({
      size: random.size(64 * KIB, 2 * MIB),
      first: true,
    }));
    const pause = random.integer(1000, 6000);
    if (listener === 'h2') context.requestCount.requests += held.length;
    const all = held.map(async (one) => {
      const { received, failure } = await outcome(open(session, `/bytes?n=${one.size}`), () => {
        const { first } = one;
        one.first = false;
        return first ? pause : 0;
      });
      if (received !== one.size) throw new Error(`stalled stream: ${received} bytes of ${one.size} ${failure}`);
      if (listener === 'h2') context.requestCount.complete++;
    });
    await Promise.all(all);
  } finally {
    session.close();
  }
}

async function crawling(context: ClientContext): Promise<void> {
  const size = context.random.size(256 * KIB, 2 * MIB);
  await expectPattern(await requestOnNewConnection(context, `/ticks?n=${size}`), size, () =>
    delay(context.random.integer(5, 40)),
  );
}

/** A stream of events that says nothing for a long time; then its client leaves. */
async function silentEvents(context: ClientContext): Promise<void> {
  const { random } = context;
  if (random.chance(0.5)) {
    const message = await requestOnNewConnection(context, '/events');
    await new Promise((resolve) => message.once('data', resolve));
    await delay(random.integer(1000, 15_000));
    message.on('error', () => undefined);
    if (random.chance(0.5)) message.socket.resetAndDestroy();
    else message.destroy();
    return;
  }
  const { session } = openSession(context.ports.web);
  const stream = open(session, '/events');
  stream.on('error', () => undefined);
  await new Promise((resolve) => stream.once('data', resolve).once('close', resolve));
  if (stream.closed) throw new Error('a silent stream of events was ended');
  await delay(random.integer(1000, 15_000));
  stream.close(constants.NGHTTP2_CANCEL);
  session.close();
}

/** Asks for something slow, and goes away by FIN or RST. */
async function leaver(context: ClientContext): Promise<void> {
  const asked = request({ agent: false, port: context.ports.web, host: '127.0.0.1', path: '/slow?ms=10000' });
  asked.on('error', () => undefined);
  asked.end();
  await delay(context.random.integer(1, 300));
  if (context.random.chance(0.5)) asked.socket?.resetAndDestroy();
  asked.destroy();
}

/** A stream of the same connection that is to notice nothing. */
async function bystander(session: ClientHttp2Session, until: () => boolean, size = 100, pause = 20): Promise<void> {
  const stream = session.request({ ':path': '/echo', ':method': 'POST' }, { endStream: false });
  stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error(`silence of ${TIMEOUT_MS} ms`)));
  expectOk(stream);
  while (!until()) {
    await echoOnce(stream, size);
    await delay(pause);
  }
  stream.resume();
  const ended = new Promise((resolve) => stream.once('close', resolve));
  stream.end();
  await ended;
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR)
    throw new Error(`the bystander's stream ended with code ${stream.rstCode}`);
}

/** 70 streams a second are cancelled after their first octets. */
async function cancelStorm(context: ClientContext): Promise<void> {
  const { session } = openSession(context.ports.web);
  const end = Date.now() + 3000;
  try {
    const beside = bystander(session, () => Date.now() > end);
    const all: Promise<unknown>[] = [beside];
    while (Date.now() < end) {
      const stream = open(session, '/events');
      stream.on('error', () => undefined);
      stream.once('data', () => stream.close(constants.NGHTTP2_CANCEL));
      all.push(new Promise((resolve) => stream.once('close', resolve)));
      await delay(14);
    }
    await Promise.all(all);
  } finally {
    session.close();
  }
}

/** A PING whenever the last one is answered, beside a stream. */
async function pinger(context: ClientContext): Promise<void> {
  const { session } = openSession(context.ports.web);
  await new Promise((resolve) => session.once('connect', resolve).once('close', resolve));
  const end = Date.now() + 3000;
  try {
    const ping = async (): Promise<void> => {
      while (Date.now() < end) {
        await new Promise<void>((resolve, reject) => {
          if (!session.ping((error) => (error ? reject(error) : resolve()))) reject(new Error('no PING'));
        });
        await delay(1);
      }
    };
    await Promise.all([bystander(session, () => Date.now() > end), ping()]);
  } finally {
    session.close();
  }
}

/** Many streams of a connection whose messages are of 7 octets. */
async function trickle(context: ClientContext): Promise<void> {
  const { session } = openSession(context.ports.web);
  const end = Date.now() + 3000;
  try {
    await Promise.all(Array.from({ length: 30 }, () => bystander(session, () => Date.now() > end, 7, 33)));
  } finally {
    session.close();
  }
}

/** Heads of tokens and policies, in both directions and versions. */
async function largeHead(context: ClientContext): Promise<void> {
  const { random } = context;
  const size = random.size(8 * KIB, 40 * KIB);
  const value = `${random.next()}`.padEnd(size / 8, 'v');
  const fields = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`x-large-${i}`, value]));
  const headers = random.chance(0.5) ? fields : {};
  if (random.chance(0.5)) {
    const message = await requestOnNewConnection(context, `/head?n=${size}`, {
      headers,
      maxHeaderSize: 2 * size + 16 * KIB,
    });
    message.resume();
    const got = message.headers['x-large']?.length;
    if (message.statusCode !== 200 || got !== size) throw new Error(`head of ${size}: ${message.statusCode}, ${got}`);
    return;
  }
  const session = context.sessions.any('web');
  const stream = session.request({ ':path': `/head?n=${size}`, ...headers });
  let got = 0;
  stream.once('response', (response) => {
    got = String(response['x-large'] ?? '').length;
  });
  const { status, failure } = await outcome(stream);
  if (status !== 200 || got !== size) throw new Error(`head of ${size} by HTTP/2: ${status} ${failure}, ${got}`);
}

/** An upload whose answer does not wait for it. */
async function earlyAnswer(context: ClientContext): Promise<void> {
  const size = context.random.size(MIB, 8 * MIB);
  if (context.random.chance(0.5)) {
    const message = await requestOnNewConnection(context, '/early', { method: 'POST' }, size);
    message.resume();
    if (message.statusCode !== 413) throw new Error(`early answer: ${message.statusCode}`);
    message.once('end', () => message.destroy());
    return;
  }
  const { session } = openSession(context.ports.web);
  const { status, failure } = await outcome(open(session, '/early', { size, chunk: 64 * KIB }));
  session.close();
  if (status !== 413) throw new Error(`early answer by HTTP/2: ${status} ${failure}`);
}

/**
 * One endpoint of three is away at any time, and each in turn: nobody notices. But for connections that the kernel made for an endpoint
 * which stopped before it took them: they are reset, and what was asked on them may have been done.
 */
const rolling = (listener: Listener) => async (context: ClientContext) => {
  if (context.random.chance(0.5)) {
    const message = await requestOnNewConnection(context, '/', { listener });
    let text = '';
    for await (const chunk of message) text += String(chunk);
    if (message.headers['sluice-error'] === 'upstream-reset') return;
    if (message.statusCode !== 200 || text !== SMALL_BODY)
      throw new Error(`${listener}: ${message.statusCode} ${message.headers['sluice-error'] ?? ''}`);
    return;
  }
  const stream = open(context.sessions.any(listener), '/bytes?n=1000');
  const { status, reason, received, failure } = await outcome(stream);
  if (reason === 'upstream-reset') return;
  if (status !== 200 || received !== 1000) throw new Error(`${listener} by HTTP/2: ${status} ${reason} ${failure}`);
};

export const HOSTILE_WORKLOADS: readonly Workload[] = [
  { name: 'hostile-stalled', concurrency: 12, run: stalled },
  { name: 'hostile-stalled-h2', concurrency: 4, run: stalledStreams },
  { name: 'hostile-crawling', concurrency: 6, run: crawling },
  { name: 'hostile-events', concurrency: 20, run: silentEvents },
  { name: 'hostile-leaver', concurrency: 4, run: leaver },
  { name: 'hostile-cancels', concurrency: 1, run: cancelStorm },
  { name: 'hostile-pings', concurrency: 1, run: pinger },
  { name: 'hostile-heads', concurrency: 2, run: largeHead },
  { name: 'hostile-early', concurrency: 2, run: earlyAnswer },
  { name: 'hostile-trickle', concurrency: 1, run: trickle },
];

export const ROLLING_WORKLOADS: readonly Workload[] = [
  { name: 'rolling-h1', concurrency: 3, run: rolling('rolling') },
  { name: 'rolling-h2', concurrency: 3, run: rolling('rolling-h2') },
];
