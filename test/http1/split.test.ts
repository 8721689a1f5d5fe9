// However the bytes arrive, the messages are the same; whatever they are, nothing throws or reads past them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BODY, BodyReader, frameChunk, writeLastChunk } from '../../src/http1/body.js';
import { Head } from '../../src/http1/head.js';
import { headEnd, parseRequest, parseResponse } from '../../src/http1/head-parser.js';
import { writeRequest } from '../../src/http1/write.js';
import { runs } from '../support/runs.js';
import { AT, fields, guarded, LIMITS, latin1, outcome, slab, text } from './support.js';

const OUT = 40000;

/**
 * Reads a stream of requests as a connection does: bytes are appended in the pieces given, unread bytes stay. The log holds
 * what was read: heads as they would be forwarded, body data run together, trailers, the error that ended it.
 */
function readStream(stream: Uint8Array, cuts: readonly number[], reframe = false): string[] {
  const bytes = new Uint8Array(1 << 16);
  const head = new Head(64);
  const body = new BodyReader(1);
  const log: string[] = [];
  let data = '';
  let inBody = false;
  let start = AT;
  let end = AT;
  let searched = AT;
  const pieces = [...new Set([...cuts.map((cut) => cut % (stream.length + 1)), stream.length])].sort((a, b) => a - b);
  let sent = 0;
  for (const piece of pieces) {
    bytes.set(stream.subarray(sent, piece), end);
    end += piece - sent;
    sent = piece;
    for (;;) {
      if (inBody) {
        const result = body.read(0, bytes, start, end);
        data += text(bytes, body.dataStart, body.dataEnd);
        if (result < 0) return [...log, `data ${data}`, outcome(result)];
        start = body.consumed;
        if (result !== BODY.DONE) break;
        log.push(`data ${data}`);
        if (reframe) {
          const stop = writeLastChunk(bytes, OUT, body.trailerStart, body.trailerEnd, 1 << 16);
          log.push(text(bytes, OUT, stop));
        } else log.push(`trailers ${text(bytes, body.trailerStart, body.trailerEnd)}`);
        data = '';
        inBody = false;
        searched = start;
        continue;
      }
      const blank = headEnd(bytes, Math.max(start, searched - 3), end);
      if (blank === 0) {
        searched = end;
        const early = parseRequest(bytes, start, end, head, LIMITS);
        assert.ok(early <= 0, 'a head without blank line is not a head');
        if (early < 0) return [...log, outcome(early)];
        break;
      }
      const result = parseRequest(bytes, start, end, head, LIMITS);
      if (result < 0) return [...log, outcome(result)];
      if (result === 0) {
        searched = end;
        break;
      }
      const stop = writeRequest(bytes, head, OUT, 1 << 16, head.framing, head.contentLength, head.upgrade);
      log.push(text(bytes, OUT, stop), `${head.keepAlive} ${head.expectContinue}`);
      body.begin(0, head.framing, head.contentLength);
      start = result;
      inBody = true;
    }
  }
  if (inBody) log.push(`data ${data}`, 'unfinished');
  return log;
}

const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const fieldValue = fc.stringMatching(/^[!-~\x80-\xff]([ -~\x80-\xff]{0,20}[!-~])?$/);
const space = fc.constantFrom('', ' ', '\t', '  ');
const field = fc
  .tuple(token, space, fieldValue, space)
  .map(([name, before, value, after]) => `X-${name}:${before}${value}${after}\r\n`);
const data = fc.string({ unit: 'binary-ascii', maxLength: 80 });
const extension = fc.constantFrom('', ';a', ';a=b', ' ;a="b c"');
const chunk = fc.tuple(data, extension).map(([content, extra]) => {
  const size = content.length.toString(16);
  return content === '' ? '' : `${size}${extra}\r\n${content}\r\n`;
});
const lengthBody = data.map((content) => [`Content-Length: ${content.length}\r\n`, content]);
const chunkedBody = fc
  .tuple(fc.array(chunk, { maxLength: 5 }), extension, fc.array(field, { maxLength: 3 }))
  .map(([chunks, extra, trailers]) => [
    'Transfer-Encoding: chunked\r\n',
    `${chunks.join('')}0${extra}\r\n${trailers.join('')}\r\n`,
  ]);
const message = fc
  .tuple(
    fc.constantFrom('', '\r\n', '\r\n\r\n'),
    fc.constantFrom('GET', 'POST', 'DELETE', 'PROPFIND'),
    fc.constantFrom('/', '/a/b?c=d', 'http://h:1/x', 'http://h'),
    fc.array(field, { maxLength: 6 }),
    fc.constantFrom('', 'Connection: close\r\n', 'Expect: 100-continue\r\n', 'TE: trailers\r\n', 'Connection: x-a\r\n'),
    fc.oneof(fc.constant(['', '']), lengthBody, chunkedBody),
  )
  .map(
    ([before, method, target, lines, connection, [framing, content]]) =>
      `${before}${method} ${target} HTTP/1.1\r\nHost: h\r\n${lines.join('')}${connection}${framing}\r\n${content}`,
  );
const cuts = fc.array(fc.nat(), { maxLength: 12 });

/** Replaces, removes or inserts a few octets, preferring those that mean something. */
const mutation = fc.record({
  at: fc.nat(),
  remove: fc.nat({ max: 3 }),
  insert: fc.oneof(
    fc.constantFrom('\r', '\n', '\r\n', '\r\n\r\n', ' ', '\t', ':', ',', '\0', '0', '5', ';', 'Content-Length: 3\r\n'),
    fc.string({ unit: 'binary-ascii', maxLength: 3 }),
    fc.constant(''),
  ),
});
const mutated = fc
  .tuple(fc.array(message, { minLength: 1, maxLength: 3 }), fc.array(mutation, { minLength: 1, maxLength: 4 }))
  .map(([messages, mutations]) =>
    mutations.reduce((stream, { at, remove, insert }) => {
      const index = at % (stream.length + 1);
      return stream.slice(0, index) + insert + stream.slice(index + remove);
    }, messages.join('')),
  );

describe('a stream of requests', () => {
  it('reads the same however it is split', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), cuts, (messages, where) => {
        const stream = latin1(messages.join(''));
        const whole = readStream(stream, []);
        assert.equal(whole.length, 4 * messages.length, 'every message is read to its end');
        assert.deepEqual(readStream(stream, where), whole);
      }),
      { numRuns: runs(400) },
    );
  });

  it('reads the same byte by byte', () => {
    fc.assert(
      fc.property(message, (one) => {
        const stream = latin1(one);
        assert.deepEqual(readStream(stream, Array.from(stream.keys())), readStream(stream, []));
      }),
      { numRuns: runs(60) },
    );
  });

  it('is refused for the same reason at the same place however it is split', () => {
    fc.assert(
      fc.property(mutated, cuts, (messages, where) => {
        const stream = latin1(messages);
        assert.deepEqual(readStream(stream, where), readStream(stream, []));
      }),
      { numRuns: runs(600) },
    );
  });
});

describe('a head', () => {
  it('that is refused in a prefix is refused for the same in full, and what is read is complete', () => {
    fc.assert(
      fc.property(mutated, (stream) => {
        const bytes = slab(stream);
        const head = new Head(64);
        const full = parseRequest(bytes, AT, AT + stream.length, head, LIMITS);
        for (let length = 0; length < stream.length; length++) {
          const result = parseRequest(bytes, AT, AT + length, head, LIMITS);
          if (full > 0 && AT + length < full) assert.equal(result, 0);
          else if (full > 0) assert.equal(result, full);
          else if (result !== 0) assert.equal(result, full);
        }
      }),
      { numRuns: runs(100) },
    );
  });

  it('that was forwarded is forwarded unchanged by a second proxy', () => {
    const written = (input: string): string | null => {
      const bytes = slab(input);
      const head = new Head(64);
      if (parseRequest(bytes, AT, AT + input.length, head, LIMITS) <= 0) return null;
      const { framing, contentLength, upgrade } = head;
      return text(bytes, OUT, writeRequest(bytes, head, OUT, 1 << 16, framing, contentLength, upgrade));
    };
    fc.assert(
      fc.property(fc.oneof(message, mutated), (input) => {
        const once = written(input);
        if (once !== null) assert.equal(written(once), once);
      }),
      { numRuns: runs(400) },
    );
  });

  it('that is written parses to the fields that were forwarded', () => {
    fc.assert(
      fc.property(message, (input) => {
        const bytes = slab(input);
        const head = new Head(64);
        const result = parseRequest(bytes, AT, AT + input.length, head, LIMITS);
        const forwarded = fields({ bytes, head, result }, true);
        const { method, framing, contentLength, form, te } = head;
        const end = writeRequest(bytes, head, OUT, 1 << 16, framing, contentLength, false);
        assert.equal(parseRequest(bytes, OUT, end, head, LIMITS), end);
        const again = fields({ bytes, head, result }, true).slice(form === 0 ? 0 : 1);
        assert.deepEqual(again, forwarded);
        assert.deepEqual(
          [head.method, head.framing, head.contentLength, head.te],
          [method, framing, contentLength, te],
        );
      }),
      { numRuns: runs(200) },
    );
  });
});

describe('a chunked body', () => {
  it('that is framed anew reads the same', () => {
    fc.assert(
      fc.property(chunkedBody, cuts, ([, content], where) => {
        const expected = readStream(
          latin1(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${content}`),
          where,
          true,
        );
        // Frame every run of decoded data as a chunk of its own, then the last chunk.
        const stream = latin1(content);
        const bytes = slab(stream);
        const body = new BodyReader(1);
        body.begin(0, 2, -1);
        let out = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
        assert.equal(body.read(0, bytes, AT, AT + stream.length), BODY.DONE);
        const { trailerStart, trailerEnd, dataStart, dataEnd } = body;
        const stop = writeLastChunk(bytes, OUT, trailerStart, trailerEnd, 1 << 16);
        if (dataEnd > dataStart) out += text(bytes, frameChunk(bytes, dataStart, dataEnd), dataEnd + 2);
        out += text(bytes, OUT, stop);
        assert.deepEqual(readStream(latin1(out), [], true), expected);
      }),
      { numRuns: runs(200) },
    );
  });
});

describe('garbage', () => {
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    mutated.map(latin1),
    fc
      .array(fc.constantFrom('GET', ' ', '/', 'HTTP/1.1', '\r\n', 'Host', ':', '5', '0', ';', '\t', '\0', 'x', ','), {
        maxLength: 60,
      })
      .map((parts) => latin1(parts.join(''))),
  );

  it('never makes the parsers throw or read outside what they were given', () => {
    fc.assert(
      fc.property(garbage, (stream) => {
        const bytes = slab(stream);
        const end = AT + stream.length;
        const head = new Head(16);
        const guard = guarded(bytes, AT, end);
        const results = [
          parseRequest(guard, AT, end, head, LIMITS),
          parseResponse(guard, AT, end, head, 1, LIMITS),
          headEnd(guard, AT, end),
        ];
        for (const result of results) {
          assert.ok(Number.isInteger(result) && result <= end);
          assert.ok(result <= 0 || result > AT);
        }
      }),
      { numRuns: runs(600) },
    );
  });

  it('gives the same whatever stands around it', () => {
    fc.assert(
      fc.property(garbage, fc.constantFrom(0x00, 0x0a, 0x0d, 0x20, 0x30, 0x61), (stream, fill) => {
        const read = (around: number) => {
          const bytes = slab(stream, around);
          const head = new Head(16);
          return [
            parseRequest(bytes, AT, AT + stream.length, head, LIMITS),
            parseResponse(bytes, AT, AT + stream.length, head, 1, LIMITS),
          ];
        };
        assert.deepEqual(read(fill), read(0x7e));
      }),
      { numRuns: runs(300) },
    );
  });

  it('makes the body reader progress, hold or refuse', () => {
    fc.assert(
      fc.property(garbage, fc.nat({ max: 3 }), fc.nat({ max: 400 }), (stream, framing, length) => {
        const bytes = slab(stream);
        const end = AT + stream.length;
        const body = new BodyReader(1, 64);
        body.begin(0, framing, length);
        const result = body.read(0, guarded(bytes, AT, end), AT, end);
        assert.ok(body.consumed >= AT && body.consumed <= end);
        assert.ok(body.dataStart >= AT && body.dataStart <= body.dataEnd && body.dataEnd <= body.consumed);
        if (result === BODY.MORE) assert.equal(body.consumed, end);
        if (result === BODY.INCOMPLETE) assert.ok(body.consumed < end);
        if (result === BODY.DONE) {
          assert.ok(body.finished(0));
          assert.ok(body.trailerStart <= body.trailerEnd && body.trailerEnd <= end);
        }
      }),
      { numRuns: runs(600) },
    );
  });
});
