// The tools that make traffic of which no two messages are alike, against Node's HTTP: an encoder that is wrong would measure something else.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parseLoad } from '../../bench/load.js';
import { Session } from '../../bench/session.js';

const run = promisify(execFile);
const BODY = '00000016bbbbbbbb';
const PATH = /^\/api\/v1\/orders\/\d{8}\/items\/[a-z]{8}\?session=[0-9a-f]{16}[0-9a-f]*&page=\d\d/;
const TRACE = /^00-[0-9a-f]{32}-[0-9a-f]{16}-01/;
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
const SHAPE = ['stretch=40', 'extra=3', 'again=30', 'posts=50'];

/** What a request or an answer is to say; `again`: values of which the same may come twice. */
class Seen {
  readonly values = new Map<string, Set<string>>();
  count = 0;

  note(
    fields: Readonly<Record<string, string | string[] | undefined>>,
    checks: Readonly<Record<string, RegExp>>,
  ): void {
    this.count++;
    for (const [name, pattern] of Object.entries(checks)) {
      const value = String(fields[name]);
      assert.match(value, pattern, name);
      const values = this.values.get(name) ?? new Set();
      this.values.set(name, values.add(value));
    }
  }

  different(name: string): number {
    return this.values.get(name)?.size ?? 0;
  }
}

const REQUEST = {
  'user-agent': /^Mozilla\/5\.0 .* Safari\/537\.36$/,
  accept: /^application\/json, text\/plain, \*\/\*$/,
  'accept-encoding': /^gzip, br$/,
  traceparent: TRACE,
  'x-request-id': ID,
  'x-sent-at': /^Mon, 30 Nov 2026 \d\d:\d\d:\d\d\.\d{6} GMT/,
  cookie: /^session=[a-z0-9]{24,}; seen=\d{10}/,
};
const RESPONSE = {
  server: /^orders\/2\.14\.3$/,
  date: / GMT$/,
  'content-type': /^application\/json; charset=utf-8$/,
  etag: /^"[0-9a-f]{20}"/,
  'last-modified': /^Mon, \d\d Nov 2026 /,
  'x-request-id': ID,
  'content-length': /^\d+$/,
};

function portOf(server: { address(): AddressInfo | string | null }): number {
  return (server.address() as AddressInfo).port;
}

/** Checks that a body is what it says of itself, and what its head says. */
function checkBody(body: Buffer, length: string | undefined): void {
  assert.equal(body.length, Number(length ?? 0));
  if (body.length > 0) assert.equal(Number(body.subarray(0, 8).toString()), body.length);
}

describe('traffic in which all is different', { timeout: 120_000 }, () => {
  let session: Session;
  before(() => {
    session = new Session({ firstPort: 26_000, loadCore: 0 });
    for (const name of ['vary', 'vary-h2', 'answer-vary', 'answer-h2']) session.compile(name);
  });
  after(() => session.close());

  for (const table of [4096, 200, 0]) {
    it(`vary-h2 encodes as known clients do, for a table of ${table} octets`, async () => {
      const seen = new Seen();
      const failures: unknown[] = [];
      const server = http2.createServer({ settings: { headerTableSize: table } });
      server.on('stream', (stream, headers) => {
        const pieces: Buffer[] = [];
        stream.on('data', (piece: Buffer) => pieces.push(piece));
        stream.on('end', () => {
          try {
            seen.note(headers, {
              ':path': PATH,
              ':authority': /^orders\.shop\.svc/,
              'extra-2': /^[0-9a-f]{16}/,
              ...REQUEST,
            });
            checkBody(Buffer.concat(pieces), headers['content-length']);
          } catch (error) {
            failures.push(error);
          }
          stream.respond({ ':status': 200 });
          stream.end(BODY);
        });
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const args = [String(portOf(server)), '3', '8', '0.3', ...SHAPE];
      const { units, errors } = parseLoad((await run(session.compile('vary-h2'), args)).stdout);
      server.close();
      assert.deepEqual(failures, []);
      assert.equal(errors, 0);
      assert.ok(units > 0 && seen.count === units, `${seen.count} requests, ${units} answers`);
      assert.ok(seen.different('user-agent') <= 20);
      assert.ok(seen.different('traceparent') > units * 0.6, 'most are different');
    });
  }

  it('answer-h2 encodes as known servers do', async () => {
    const port = await session.port();
    await session.listening(
      session.start('answer-h2', '0,1', [session.compile('answer-h2'), String(port), 'vary', ...SHAPE]),
      port,
    );
    const seen = new Seen();
    for (let i = 0; i < 3; i++) {
      const client = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 700 } });
      const ask = async (): Promise<void> => {
        const stream = client.request({ ':path': '/' });
        const [headers] = (await once(stream, 'response')) as [
          http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader,
        ];
        assert.equal(headers[':status'], 200);
        seen.note(headers, { 'extra-1': /^[0-9a-f]{16}/, ...RESPONSE });
        checkBody(Buffer.concat(await stream.toArray()), headers['content-length']);
      };
      for (let k = 0; k < 20; k++) await Promise.all(Array.from({ length: 5 }, ask));
      client.close();
    }
    assert.equal(seen.count, 300);
    assert.ok(seen.different('etag') > 150);
  });

  it('vary and answer-vary speak HTTP/1.1', async () => {
    const seen = new Seen();
    const failures: unknown[] = [];
    const server = http.createServer((request, response) => {
      request
        .toArray()
        .then((pieces: Buffer[]) => {
          seen.note({ ...request.headers, path: request.url }, { path: PATH, 'extra-0': /^[0-9a-f]{16}/, ...REQUEST });
          checkBody(Buffer.concat(pieces), request.headers['content-length']);
          response.end(BODY);
        })
        .catch((error: unknown) => failures.push(error));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { units, errors } = parseLoad(
      (await run(session.compile('vary'), [String(portOf(server)), '4', '0.3', ...SHAPE])).stdout,
    );
    server.close();
    assert.deepEqual(failures, []);
    assert.equal(errors, 0);
    assert.ok(units > 0 && seen.count === units, `${seen.count} requests, ${units} answers`);

    const port = await session.port();
    await session.listening(
      session.start('answer-vary', '0,1', [session.compile('answer-vary'), String(port), ...SHAPE]),
      port,
    );
    for (const method of ['GET', 'POST']) {
      for (let i = 0; i < 20; i++) {
        const body = method === 'POST' ? { body: 'x'.repeat(i * 100) } : {};
        const response = await fetch(`http://127.0.0.1:${port}/`, { method, ...body });
        seen.note(Object.fromEntries(response.headers), RESPONSE);
        checkBody(Buffer.from(await response.arrayBuffer()), response.headers.get('content-length') ?? undefined);
      }
    }
  });

  it('refuses arguments that it does not know', async () => {
    await assert.rejects(run(session.compile('vary'), ['1', '1', '1', 'colour=3']), /is none of/);
    await assert.rejects(run(session.compile('vary'), ['1', '1', '1', 'again=101']), /expected 0\.\.100/);
  });
});
