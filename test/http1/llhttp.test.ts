// Differential against Node's own parser (llhttp, strict): it must read what we accept as we do. What we forward is read by
// servers like it; a request that they would refuse or cut elsewhere is a way to smuggle.
import assert from 'node:assert/strict';
import { createServer, METHODS, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { BODY, BodyReader, frameChunk, writeLastChunk } from '../../src/http1/body.js';
import { FRAMING, Head } from '../../src/http1/head.js';
import { parseRequest } from '../../src/http1/head-parser.js';
import { writeRequest } from '../../src/http1/write.js';
import { runs } from '../support/runs.js';
import { AT, fields, LIMITS, latin1, slab, text } from './support.js';

interface Seen {
  readonly start: string;
  readonly fields: [string, string][];
  body: string;
}

const OUT = 40000;

let server: Server;
let heads: Seen[] = [];
let complete = 0;

before(async () => {
  server = createServer({ insecureHTTPParser: false, requireHostHeader: false }, (incoming, answer) => {
    const names = incoming.rawHeaders;
    const parts: Buffer[] = [];
    const message: Seen = {
      start: `${incoming.method} ${incoming.url} 1.${incoming.httpVersionMinor}`,
      fields: names.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name, kept(name, names[i + 1])]] : [])),
      body: '',
    };
    heads.push(message);
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('error', () => {});
    incoming.on('end', () => {
      message.body = Buffer.concat(parts).toString('latin1');
      complete++;
      answer.end();
    });
  });
  server.on('checkContinue', (incoming, answer) => server.emit('request', incoming, answer));
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
after(() => new Promise((done) => server.close(done)));

/** What we keep of a value: of a list of TE only that trailers are taken. */
function kept(name: string, value: string): string {
  const trailers = name.toLowerCase() === 'te' && value.split(',').find((one) => /^[ \t]*trailers[ \t]*$/i.test(one));
  return trailers ? trailers.trim() : value;
}

/** The messages that llhttp reads to their end on a connection that carries these bytes and no more. */
async function theirs(stream: string): Promise<Seen[]> {
  heads = [];
  complete = 0;
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((done) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(latin1(stream)));
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => done());
  });
  // Only the last message of a connection can be incomplete.
  return heads.slice(0, complete);
}

interface Ours {
  readonly messages: Seen[];
  /** The same messages as they are forwarded, and what their reader should see. */
  readonly forwarded: string;
  readonly forwardedAs: Seen[];
  readonly refused: boolean;
}

function ours(stream: string): Ours {
  const bytes = slab(stream);
  const end = AT + stream.length;
  const head = new Head(64);
  const body = new BodyReader(1);
  const messages: Seen[] = [];
  const forwardedAs: Seen[] = [];
  let forwarded = '';
  let refused = false;
  for (let start = AT; start < end; ) {
    const result = parseRequest(bytes, start, end, head, LIMITS);
    refused = result < 0;
    if (result <= 0) break;
    const method = text(bytes, head.methodStart, head.methodEnd);
    // llhttp has a fixed list of methods.
    refused = !METHODS.includes(method);
    if (refused) break;
    const target = text(bytes, head.targetStart, head.targetEnd);
    const list = fields({ bytes, head, result }).map(([name, value]): [string, string] => [name, kept(name, value)]);
    const { framing, contentLength, upgrade, minor, keepAlive } = head;
    const headOut = text(bytes, OUT, writeRequest(bytes, head, OUT, 1 << 16, framing, contentLength, upgrade));
    body.begin(0, framing, contentLength);
    const read = body.read(0, bytes, result, end);
    refused = read < 0;
    if (read !== BODY.DONE) break;
    const content = text(bytes, body.dataStart, body.dataEnd);
    messages.push({ start: `${method} ${target} 1.${minor}`, fields: list, body: content });
    forwarded += headOut;
    if (framing === FRAMING.CHUNKED) {
      const { dataStart, dataEnd, trailerStart, trailerEnd } = body;
      const lastChunk = text(bytes, OUT, writeLastChunk(bytes, OUT, trailerStart, trailerEnd, 1 << 16));
      if (dataEnd > dataStart) forwarded += text(bytes, frameChunk(bytes, dataStart, dataEnd), dataEnd + 2);
      forwarded += lastChunk;
    } else forwarded += content;
    const [line, ...lines] = headOut.split('\r\n').slice(0, -2);
    forwardedAs.push({
      start: line.replace(' HTTP/', ' '),
      fields: lines.map((text): [string, string] => [
        text.slice(0, text.indexOf(':')),
        text.slice(text.indexOf(':') + 2),
      ]),
      body: content,
    });
    start = body.consumed;
    if (!keepAlive) break;
  }
  return { messages, forwarded, forwardedAs, refused };
}

/**
 * They read what we read as we do, and no more where we refused nothing; what we forward they read as just that. Unless
 * `refusable`, they refuse nothing that we accept (they do refuse a tab after Content-Length, which is no part of a value).
 */
async function compare(stream: string, refusable = false): Promise<void> {
  const mine = ours(stream);
  const show = JSON.stringify(stream);
  const other = await theirs(stream);
  const common = refusable ? Math.min(other.length, mine.messages.length) : mine.messages.length;
  assert.deepEqual(other.slice(0, common), mine.messages.slice(0, common), show);
  if (!mine.refused) assert.ok(other.length <= mine.messages.length, `they read more of ${show}`);
  const forwarded = `forwarded ${show} as ${JSON.stringify(mine.forwarded)}`;
  assert.deepEqual(await theirs(mine.forwarded), mine.forwardedAs, forwarded);
}

const host = 'Host: a\r\n';
const CASES: string[] = [
  `GET / HTTP/1.1\r\n${host}\r\n`,
  `\r\n\r\nGET / HTTP/1.1\r\n${host}\r\n`,
  `GET /a/b?c=d&e HTTP/1.1\r\n${host}X:y\r\nEmpty:\r\nPad: \t a b \t \r\n\r\n`,
  `GET http://a:80/p HTTP/1.1\r\n${host}\r\n`,
  `OPTIONS * HTTP/1.1\r\n${host}\r\n`,
  'GET / HTTP/1.0\r\n\r\n',
  `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\n${host}\r\n`,
  `POST / HTTP/1.1\r\n${host}Content-Length: 005\r\n\r\nhello`,
  `POST / HTTP/1.1\r\n${host}Content-Length:\t5 \r\n\r\nhello`,
  `POST / HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\nGET /next HTTP/1.1\r\n${host}\r\n`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\n${host}\r\n`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding:\tChunked \r\n\r\n05;a=b\r\nhello\r\n0;x\r\nT: r\r\n\r\nGET /next HTTP/1.1\r\n${host}\r\n`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nX`,
  `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
  `POST / HTTP/1.1\r\n${host}Content-Length: 5, 5\r\n\r\nhello`,
  `POST / HTTP/1.1\r\n${host}Content-Length: +5\r\n\r\nhello`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\nhello`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, identity\r\n\r\nhello`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`,
  `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n`,
  `GET / HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`,
  `GET / HTTP/1.1\n${host}\n`,
  `GET / HTTP/1.1\r\n${host}X: a\rY: b\r\n\r\n`,
  `GET / HTTP/1.1\r\n${host}X: a\0b\r\n\r\n`,
  `GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\nGET /never HTTP/1.1\r\n${host}\r\n`,
  `GET / HTTP/1.0\r\n${host}Connection: keep-alive\r\n\r\nGET /next HTTP/1.0\r\n\r\n`,
  `GET / HTTP/1.1\r\n${host}TE:, trailers\r\n\r\n`,
  `GET / HTTP/1.1\r\n${host}TE: deflate;q=0.5, Trailers ,gzip\r\n\r\n`,
  `POST / HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok`,
];

const token = fc.stringMatching(/^[a-z]{1,6}$/);
const line = fc.oneof(
  fc
    .tuple(token, fc.constantFrom('', ' ', '\t'), fc.stringMatching(/^[!-~]([ -~]{0,8}[!-~])?$/))
    .map(([name, space, value]) => `X-${name}:${space}${value}\r\n`),
  fc.constantFrom(
    'Content-Length: 3\r\n',
    'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Connection: close\r\n',
    'TE: trailers\r\n',
  ),
);
const content = fc.constantFrom(
  '',
  'abc',
  '3\r\nabc\r\n0\r\n\r\n',
  '3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n',
  '0\r\n\r\n',
);
const message = fc
  .tuple(
    fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
    fc.constantFrom('/', '/a?b', 'http://h/x'),
    fc.array(line, { maxLength: 4 }),
    content,
  )
  .map(([method, target, lines, body]) => `${method} ${target} HTTP/1.1\r\nHost: h\r\n${lines.join('')}\r\n${body}`);
const octets = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '\0',
  '\x0b',
  '\x7f',
  '\x80',
  '0',
  '1',
  'f',
  'g',
  '-',
  '_',
  '+',
  '"',
];
const mutation = fc.record({ at: fc.nat(), remove: fc.nat({ max: 2 }), insert: fc.constantFrom('', ...octets) });

describe('what we accept', () => {
  for (const stream of CASES) it(`llhttp reads the same: ${JSON.stringify(stream)}`, () => compare(stream));

  it('is forwarded without the trailers that llhttp would refuse', async () => {
    const last = `0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nT: v\r\n\r\n`;
    const mine = ours(`POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${last}`);
    assert.equal(mine.messages.length, 1);
    assert.deepEqual(await theirs(mine.forwarded), mine.forwardedAs);
  });

  it('llhttp reads the same in generated streams', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 3 }), (messages) => compare(messages.join(''))),
      { numRuns: runs(200) },
    );
  });

  it('llhttp reads the same in streams with a few octets changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        message,
        message,
        fc.array(mutation, { minLength: 1, maxLength: 2 }),
        (first, second, mutations) =>
          compare(
            mutations.reduce((stream, { at, remove, insert }) => {
              const index = at % (stream.length + 1);
              return stream.slice(0, index) + insert + stream.slice(index + remove);
            }, first + second),
            true,
          ),
      ),
      { numRuns: runs(400) },
    );
  });
});
