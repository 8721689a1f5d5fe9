// The port that API servers call, as API servers call it and as strangers do.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { Agent, request } from 'node:https';
import { connect } from 'node:net';
import { afterEach, before, describe, it } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { ReviewProblem, WEBHOOK_LIMITS, Webhook, type WebhookLimits } from '../../src/controller/webhook.js';
import type { ServingCertificate } from '../../src/identity/issuing/own-certificate.js';
import { Pki } from '../support/pki.js';
import { eventually } from '../support/sluice.js';

const NAME = 'localhost';
const REVIEW = { kind: 'AdmissionReview', request: { uid: '1' } };

let pki: Pki;
let webhook: Webhook | null = null;
let refusals: string[] = [];
let failures: unknown[] = [];
/** Whatever tests leave open. */
const opened: { destroy(): unknown }[] = [];

async function serving(): Promise<ServingCertificate> {
  const { chain, key } = await pki.leaf({ dns: [NAME] });
  return { cert: chain, key };
}

async function listening(limits: Partial<WebhookLimits> = {}, review = (asked: unknown): object => ({ asked })) {
  refusals = [];
  failures = [];
  const deps = {
    review,
    refused: (reason: string) => refusals.push(reason),
    failed: (error: unknown) => failures.push(error),
  };
  webhook = new Webhook(await serving(), deps, { ...WEBHOOK_LIMITS, ...limits });
  await webhook.listen({ host: '127.0.0.1', port: 0 });
  return webhook;
}

interface Said {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

interface Call {
  readonly path?: string;
  readonly method?: string;
  readonly type?: string | null;
  readonly body?: string;
}

/** A call over HTTP/1.1. */
function http1({
  path = '/inject?timeout=10s',
  method = 'POST',
  type = 'application/json',
  body = JSON.stringify(REVIEW),
}: Call = {}): Promise<Said> {
  return new Promise((resolve, reject) => {
    const headers = type === null ? {} : { 'content-type': type };
    const agent = new Agent({ ca: pki.anchor, keepAlive: false });
    const sent = request({ host: NAME, port: webhook?.port, path, method, headers, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }));
    });
    sent.on('error', reject).end(body);
  });
}

/** The same over a session of HTTP/2. */
function http2(
  session: ClientHttp2Session,
  { path = '/inject', method = 'POST', type = 'application/json', body = JSON.stringify(REVIEW) }: Call = {},
): Promise<Said> {
  return new Promise((resolve, reject) => {
    const typed = type === null ? {} : { 'content-type': type };
    const stream = session.request({ ':path': path, ':method': method, ...typed }, { endStream: false });
    let headers: Readonly<Record<string, unknown>> = {};
    let text = '';
    stream.setEncoding('utf8').on('response', (received) => {
      headers = received;
    });
    stream.on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('error', reject).on('end', () => {
      resolve({ status: Number(headers[':status'] ?? 0), body: text, headers });
      stream.close();
    });
    stream.end(body);
  });
}

async function session(): Promise<ClientHttp2Session> {
  const made = connectHttp2(`https://${NAME}:${webhook?.port}`, { ca: pki.anchor });
  made.on('error', () => undefined);
  opened.push(made);
  await once(made, 'connect');
  return made;
}

/** A connection in TLS, without a word of HTTP. */
async function secured(): Promise<TLSSocket> {
  const socket = connectTls({ host: NAME, port: webhook?.port, ca: pki.anchor, servername: NAME });
  socket.on('error', () => undefined).resume();
  opened.push(socket);
  await once(socket, 'secureConnect');
  return socket;
}

before(async () => {
  pki = await Pki.make();
});
afterEach(async () => {
  for (const one of opened.splice(0)) one.destroy();
  await webhook?.close();
  webhook = null;
});

describe('a review', () => {
  it('is answered over HTTP/1.1 and over HTTP/2', async () => {
    await listening();
    for (const { status, body, headers } of [await http1(), await overHttp2()]) {
      assert.equal(status, 200);
      assert.deepEqual(JSON.parse(body), { asked: REVIEW });
      assert.equal(headers['content-type'], 'application/json');
    }
    assert.deepEqual(refusals, []);
  });

  it('may be as large as objects are', async () => {
    await listening();
    const body = JSON.stringify({ ...REVIEW, padding: 'x'.repeat(3 << 20) });
    for (const { status } of [await http1({ body }), await overHttp2({ body })]) assert.equal(status, 200);
  });
});

async function overHttp2(call: Call = {}): Promise<Said> {
  const http = await session();
  try {
    return await http2(http, call);
  } finally {
    http.close();
  }
}

describe('what is wrong with a call is said', () => {
  const wrong: readonly [string, Call, number, string, RegExp][] = [
    ['path', { path: '/mutate' }, 404, 'path', /the only path is \/inject/],
    ['method', { method: 'GET', body: '' }, 405, 'method', /only POST/],
    ['type', { type: 'text/plain' }, 415, 'type', /text\/plain; reviews are application\/json/],
    ['type', { type: null }, 415, 'type', /no content type/],
    ['JSON', { body: '{"a"' }, 400, 'review', /not valid JSON/],
    ['nothing', { body: '' }, 400, 'review', /not valid JSON/],
    ['review', { body: '"version"' }, 400, 'review', /^that is none/],
    ['mistake of ours', { body: '"mistake"' }, 500, 'failure', /the log/],
    ['length', { body: `"${'x'.repeat(5 << 20)}"` }, 413, 'length', /more than 4194304 bytes/],
  ];
  const review = (asked: unknown): object => {
    if (asked === 'version') throw new ReviewProblem('that is none');
    throw new Error('a mistake');
  };
  for (const [name, call, status, reason, message] of wrong)
    it(`${name} (${status})`, async () => {
      await listening({}, review);
      const answers = [await overHttp2(call)];
      // The rest of what is too long may meet a closed connection.
      if (name !== 'length') answers.push(await http1(call));
      for (const answer of answers) {
        assert.equal(answer.status, status);
        assert.match(answer.body, message);
      }
      assert.deepEqual(new Set(refusals), new Set([reason]));
      assert.equal(failures.length, reason === 'failure' ? answers.length : 0);
    });

  it('a length that is announced is refused before it comes', async () => {
    await listening();
    const socket = await secured();
    socket.write(
      `POST /inject HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n`,
    );
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 413 /);
    await once(socket, 'close');
  });
});

describe('what callers may cost is bounded', () => {
  const HEAD = 'POST /inject HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n';

  it('a body that does not come is not waited for', async () => {
    await listening({ requestMs: 1000 });
    const socket = await secured();
    socket.write(`${HEAD}{`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 408 /);
    await once(socket, 'close');
    assert.deepEqual(refusals, ['late']);
  });

  it('neither is one over HTTP/2, and the connection serves on', async () => {
    await listening({ requestMs: 1000 });
    const http = await session();
    const stream = http.request({ ':path': '/inject', ':method': 'POST', 'content-type': 'application/json' });
    const [headers] = await once(stream, 'response');
    assert.equal(headers[':status'], 408);
    await once(stream.resume(), 'close');
    await eventually(async () => (await http2(http)).status === 200, 'an answer to the next one');
    http.close();
  });

  it('connections without a handshake, or without a request, end', async () => {
    await listening({ requestMs: 1000 });
    const plain = connect({ host: '127.0.0.1', port: webhook?.port ?? 0 });
    plain.on('error', () => undefined).resume();
    const silent = connectTls({ host: NAME, port: webhook?.port, ca: pki.anchor, servername: NAME });
    silent.on('error', () => undefined).resume();
    await Promise.all([once(plain, 'close'), once(silent, 'close')]);
  });

  it('idle connections end', async () => {
    await listening({ idleMs: 1000 });
    const socket = await secured();
    socket.write(`${HEAD}{}`);
    const http = await session();
    assert.equal((await http2(http)).status, 200);
    await Promise.all([once(socket, 'close'), once(http, 'close')]);
    assert.equal(webhook?.connections, 0);
  });

  it('more reviews than may be on their way are refused, and told to come again', async () => {
    await listening({ maxRequests: 1 });
    const socket = await secured();
    socket.write(`${HEAD}{`);
    await eventually(async () => (await http1()).status === 503, 'a refusal');
    const received = once(socket, 'data');
    socket.write('}');
    assert.match(String((await received)[0]), /^HTTP\/1\.1 200 /);
    assert.equal((await http1()).status, 200);
  });

  it('one address leaves connections to others', async () => {
    await listening({ maxConnections: 4 });
    const held = [await secured(), await secured()];
    const refused = connect({ host: '127.0.0.1', port: webhook?.port ?? 0 });
    await once(refused.on('error', () => undefined).resume(), 'close');
    for (const socket of held) assert.equal(socket.destroyed, false);
  });
});

describe('its certificate and its end', () => {
  it('takes another certificate for new connections, while those that there are go on', async () => {
    await listening();
    const http = await session();
    const fingerprint = (tls: TLSSocket): string => tls.getPeerCertificate().fingerprint256;
    const first = await secured();
    webhook?.use(await serving());
    assert.equal((await http2(http)).status, 200);
    const second = await secured();
    assert.notEqual(fingerprint(second), fingerprint(first));
    assert.equal(first.destroyed, false);
    http.close();
  });

  it('ends when what is open has been answered', async () => {
    await listening();
    const idle = await secured();
    const http = await session();
    const stream = http.request({ ':path': '/inject', ':method': 'POST', 'content-type': 'application/json' });
    // Answered, so the stream before it has arrived.
    assert.equal((await http2(http)).status, 200);
    const closed = webhook?.close();
    await once(idle, 'close');
    stream.end('{}');
    const [headers] = await once(stream, 'response');
    assert.equal(headers[':status'], 200);
    stream.resume();
    assert.equal(await closed, true);
    webhook = null;
  });

  it('cuts off what does not end', async () => {
    await listening({ graceMs: 200 });
    const http = await session();
    const stream = http.request({ ':path': '/inject', ':method': 'POST', 'content-type': 'application/json' });
    stream.on('error', () => undefined);
    assert.equal((await http2(http)).status, 200);
    assert.equal(await webhook?.close(), false);
    webhook = null;
  });
});
