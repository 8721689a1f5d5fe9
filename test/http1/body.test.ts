import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BODY, BodyReader, frameChunk, MAX_CHUNK_LINE, writeLastChunk } from '../../src/http1/body.js';
import type { MESSAGE_ERROR } from '../../src/http1/errors.js';
import { FRAMING } from '../../src/http1/head.js';
import { AT, outcome, slab, text } from './support.js';

const SLOT = 2;

interface Read {
  readonly result: number;
  readonly data: string;
  readonly consumed: number;
  readonly trailers: string;
}

function reader(framing: number, length = -1, maxTrailerBytes?: number): BodyReader {
  const body = new BodyReader(4, maxTrailerBytes);
  body.begin(SLOT, framing, length);
  return body;
}

function feed(body: BodyReader, input: string): Read {
  const bytes = slab(input);
  const result = body.read(SLOT, bytes, AT, AT + input.length);
  return {
    result,
    data: text(bytes, body.dataStart, body.dataEnd),
    consumed: body.consumed - AT,
    trailers: result === BODY.DONE ? text(bytes, body.trailerStart, body.trailerEnd) : '',
  };
}

const chunked = (input: string): Read => feed(reader(FRAMING.CHUNKED), input);
const ends = (result: number): string => (result < 0 ? outcome(result) : ['MORE', 'DONE', 'INCOMPLETE'][result]);

describe('a body of known length', () => {
  it('ends where it says and leaves the next message alone', () => {
    const body = reader(FRAMING.LENGTH, 8);
    assert.deepEqual(feed(body, 'hello'), { result: BODY.MORE, data: 'hello', consumed: 5, trailers: '' });
    assert.equal(body.remaining(SLOT), 3);
    assert.deepEqual(feed(body, 'abcGET /'), { result: BODY.DONE, data: 'abc', consumed: 3, trailers: '' });
    assert.equal(body.remaining(SLOT), 0);
    assert.equal(body.finished(SLOT), true);
    assert.deepEqual(feed(body, 'GET /'), { result: BODY.DONE, data: '', consumed: 0, trailers: '' });
  });

  it('is over before it began when it is 0 or there is none', () => {
    for (const body of [reader(FRAMING.LENGTH, 0), reader(FRAMING.NONE)]) {
      assert.equal(body.finished(SLOT), true);
      assert.equal(feed(body, 'x').consumed, 0);
    }
  });

  it('counts what was spliced past it', () => {
    const body = reader(FRAMING.LENGTH, 2 ** 40);
    body.spliced(SLOT, 2 ** 40 - 3);
    assert.equal(body.remaining(SLOT), 3);
    assert.equal(body.finished(SLOT), false);
    body.spliced(SLOT, 3);
    assert.equal(body.remaining(SLOT), 0);
    assert.equal(body.finished(SLOT), true);
    assert.equal(feed(body, 'next').consumed, 0);
  });

  it('is truncated when the stream ends in it', () => {
    const body = reader(FRAMING.LENGTH, 5);
    feed(body, 'abcd');
    assert.equal(body.eof(SLOT), false);
    feed(body, 'e');
    assert.equal(body.eof(SLOT), true);
  });
});

describe('a body up to the end of the stream', () => {
  it('is complete with it', () => {
    const body = reader(FRAMING.CLOSE);
    assert.deepEqual(feed(body, 'abc\r\n\r\n'), { result: BODY.MORE, data: 'abc\r\n\r\n', consumed: 7, trailers: '' });
    assert.equal(body.remaining(SLOT), -1);
    body.spliced(SLOT, 1000);
    assert.equal(body.finished(SLOT), false);
    assert.equal(body.eof(SLOT), true);
    assert.equal(body.finished(SLOT), true);
  });
});

describe('a chunked body', () => {
  it('is moved together into one run', () => {
    const long = 'x'.repeat(100);
    const input = `5\r\nhello\r\n64\r\n${long}\r\n1\r\n!\r\n0\r\n\r\n`;
    assert.deepEqual(chunked(`${input}GET /`), {
      result: BODY.DONE,
      data: `hello${long}!`,
      consumed: input.length,
      trailers: '',
    });
  });

  for (const size of ['5', '05', '00000005', '5;a', '5;a=b;c="d e"', '5 ;a', '5\t; a = b', '5;\x80']) {
    it(`may have the size line ${JSON.stringify(size)}`, () => {
      const { result, data } = chunked(`${size}\r\nhello\r\n0;x=y\r\n\r\n`);
      assert.deepEqual([ends(result), data], ['DONE', 'hello']);
    });
  }

  it('has hexadecimal sizes in either case', () => {
    for (const size of ['1a', '1A']) assert.equal(chunked(`${size}\r\n${'x'.repeat(26)}\r\n0\r\n\r\n`).data.length, 26);
  });

  it('takes a size up to 2^53 - 1', () => {
    assert.equal(ends(chunked('1fffffffffffff\r\nx').result), 'MORE');
    assert.equal(ends(chunked('20000000000000\r\nx').result), 'CHUNK_TOO_LARGE');
  });

  const refused: [string, keyof typeof MESSAGE_ERROR][] = [
    ['\r\n', 'CHUNK_SIZE'],
    ['\n', 'CHUNK_SIZE'],
    [' 5\r\n', 'CHUNK_SIZE'],
    [';a\r\n', 'CHUNK_SIZE'],
    ['-5\r\n', 'CHUNK_SIZE'],
    ['+5\r\n', 'CHUNK_SIZE'],
    ['0x5\r\nhello', 'CHUNK_SIZE'],
    ['5_0\r\n', 'CHUNK_SIZE'],
    ['5h\r\n', 'CHUNK_SIZE'],
    ['5 \r\nhello', 'CHUNK_SIZE'],
    ['5 5\r\n', 'CHUNK_SIZE'],
    ['5\x0b\r\n', 'CHUNK_SIZE'],
    ['5\0\r\n', 'CHUNK_SIZE'],
    ['5,5\r\n', 'CHUNK_SIZE'],
    ['5\nhello', 'CHUNK_LINE_END'],
    ['5\rhello', 'CHUNK_LINE_END'],
    ['5\r\rhello', 'CHUNK_LINE_END'],
    ['5;a\nhello', 'CHUNK_LINE_END'],
    ['5;a\n\r\nhello', 'CHUNK_LINE_END'],
    ['5;a\rb\r\nhello', 'CHUNK_LINE_END'],
    ['5;a\0\r\nhello', 'CHUNK_LINE_END'],
    ['5\r\nhello!\r\n', 'CHUNK_DATA_END'],
    ['5\r\nhello\n', 'CHUNK_DATA_END'],
    ['5\r\nhello\rX', 'CHUNK_DATA_END'],
    ['5\r\nhello5\r\n', 'CHUNK_DATA_END'],
    ['10000000000000000\r\n', 'CHUNK_TOO_LARGE'],
    ['ffffffffffffffff1\r\n', 'CHUNK_TOO_LARGE'],
    ['0\n\r\n', 'CHUNK_LINE_END'],
    ['0\r\n\n', 'LINE_END'],
    ['0\r\n\rX', 'LINE_END'],
    ['0\r\nX: y\n\r\n', 'LINE_END'],
    ['0\r\nX: y\n\n', 'LINE_END'],
    ['0\r\nX: y\r\n\n', 'LINE_END'],
    ['0\r\nX: y\rz\r\n\r\n', 'LINE_END'],
    ['0\r\nX : y\r\n\r\n', 'SPACE_BEFORE_COLON'],
    ['0\r\n X: y\r\n\r\n', 'LEADING_WHITESPACE'],
    ['0\r\nX: y\r\n z\r\n\r\n', 'OBS_FOLD'],
    ['0\r\nX\r\n\r\n', 'FIELD_NAME'],
    ['0\r\n: y\r\n\r\n', 'FIELD_NAME'],
    ['0\r\nX: \0\r\n\r\n', 'CONTROL'],
    ['0\r\nGET / HTTP/1.1\r\n\r\n', 'SPACE_BEFORE_COLON'],
  ];
  for (const [input, error] of refused) {
    it(`is refused (${error}): ${JSON.stringify(input)}`, () => {
      const body = reader(FRAMING.CHUNKED);
      assert.equal(ends(feed(body, input).result), error);
      assert.equal(ends(feed(body, '0\r\n\r\n').result), error, 'for ever');
      assert.equal(body.finished(SLOT), false);
      assert.equal(body.eof(SLOT), false);
    });
  }

  it('has a bound on its size lines, padding by zeros and extensions alike', () => {
    const longest = `5;${'x'.repeat(MAX_CHUNK_LINE - 3)}\r\nhello`;
    assert.equal(chunked(longest).data, 'hello');
    assert.equal(ends(chunked(longest.replace('x', 'xx')).result), 'CHUNK_LINE_TOO_LONG');
    assert.equal(ends(chunked('0'.repeat(1000)).result), 'CHUNK_LINE_TOO_LONG');
    assert.equal(ends(chunked(`5 ${' '.repeat(1000)}`).result), 'CHUNK_LINE_TOO_LONG');
  });

  it('is truncated when the stream ends before its last line', () => {
    for (const input of ['', '5', '5\r\n', '5\r\nhello', '5\r\nhello\r\n', '0\r\n', '0\r\nX: y\r\n', '0\r\n\r']) {
      const body = reader(FRAMING.CHUNKED);
      assert.ok([BODY.MORE, BODY.INCOMPLETE].includes(feed(body, input).result as 0));
      assert.equal(body.eof(SLOT), false, JSON.stringify(input));
    }
  });
});

describe('trailers', () => {
  const trailers = (lines: string): string => {
    const input = `0\r\n${lines}\r\n`;
    const read = chunked(`${input}GET`);
    assert.equal(ends(read.result), 'DONE');
    assert.equal(read.consumed, input.length);
    return read.trailers;
  };

  it('are passed on in canonical form', () => {
    assert.equal(trailers('Grpc-Status: 0\r\nX: \t y z\t \r\nEmpty:\r\n'), 'Grpc-Status: 0\r\nX: y z\r\nEmpty:\r\n');
  });

  it('lose what acts on a message before its end', () => {
    const lines = [
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      'Transfer_Encoding: chunked',
      'Host: a',
      'Connection: close',
      'Content-Type: x',
      'Authorization: x',
      'Set-Cookie: x',
      'Cookie: x',
      'Trailer: x',
      'TE: x',
      'Upgrade: x',
      'If-Match: x',
      'Proxy-Authorization: x',
      'X-Forwarded-For: x',
      'Keep-Alive: x',
    ];
    assert.equal(trailers(`A: b\r\n${lines.join('\r\n')}\r\nC: d\r\n`), 'A: b\r\nC: d\r\n');
    assert.equal(trailers(`${lines.join('\r\n')}\r\n`), '');
  });

  it('are held until they are all there', () => {
    const body = reader(FRAMING.CHUNKED);
    assert.deepEqual(feed(body, '1\r\nx\r\n0\r\nA: b\r'), {
      result: BODY.INCOMPLETE,
      data: 'x',
      consumed: 9,
      trailers: '',
    });
    assert.deepEqual(feed(body, 'A: b\r\n'), { result: BODY.INCOMPLETE, data: '', consumed: 0, trailers: '' });
    assert.deepEqual(feed(body, 'A: b\r\n\r'), { result: BODY.INCOMPLETE, data: '', consumed: 0, trailers: '' });
    assert.deepEqual(feed(body, 'A: b\r\n\r\nGET'), { result: BODY.DONE, data: '', consumed: 8, trailers: 'A: b\r\n' });
  });

  it('have a bound, whole or not', () => {
    const section = `X: ${'y'.repeat(20)}\r\n\r\n`;
    const read = (max: number, input: string) => ends(feed(reader(FRAMING.CHUNKED, -1, max), `0\r\n${input}`).result);
    assert.equal(read(section.length, section), 'DONE');
    assert.equal(read(section.length - 1, section), 'TRAILER_TOO_LARGE');
    assert.equal(read(section.length - 2, section.slice(0, -2)), 'INCOMPLETE');
    assert.equal(read(section.length - 3, section.slice(0, -2)), 'TRAILER_TOO_LARGE');
  });
});

describe('frameChunk', () => {
  for (const size of [1, 9, 10, 15, 16, 255, 256, 4095, 4096, 16384, 40000]) {
    it(`frames ${size} bytes so that they read back`, () => {
      const bytes = slab('z'.repeat(size));
      const start = frameChunk(bytes, AT, AT + size);
      assert.equal(text(bytes, start, AT), `${size.toString(16)}\r\n`);
      const body = reader(FRAMING.CHUNKED);
      assert.equal(body.read(SLOT, bytes, start, AT + size + 2), BODY.MORE);
      assert.deepEqual([body.dataStart, body.dataEnd], [AT, AT + size]);
    });
  }
});

describe('writeLastChunk', () => {
  it('writes the end of a body, trailers as name: value', () => {
    const lines = 'A:b\r\nC: d\r\nE:\r\nF: g:h\r\n';
    const bytes = slab(lines);
    const expected = '0\r\nA: b\r\nC: d\r\nE: \r\nF: g:h\r\n\r\n';
    const at = 5000;
    assert.equal(writeLastChunk(bytes, at, AT, AT + lines.length, at + expected.length), at + expected.length);
    assert.equal(text(bytes, at, at + expected.length), expected);
    assert.equal(writeLastChunk(bytes, at, AT, AT, at + 5), at + 5);
    assert.equal(text(bytes, at, at + 5), '0\r\n\r\n');
    bytes.fill(0x7e, at);
    for (let limit = at; limit < at + expected.length; limit++) {
      assert.equal(writeLastChunk(bytes, at, AT, AT + lines.length, limit), -1);
      assert.equal(bytes[limit], 0x7e, 'nothing is written past the limit');
    }
  });
});
