import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  HEADER_ERROR,
  MAX_HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_WRITTEN_BYTES,
  SESSION,
  TransportHeaderReader,
  writeTransportHeader,
} from '../../src/tls/transport-header.js';
import { runs } from '../support/runs.js';

const PREFACE = Buffer.from('transport.l5d.io/v1\r\n\r\n');

function header(message: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([PREFACE, length, message]);
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

interface Said {
  readonly port: number;
  readonly name: string;
  readonly session: number;
}

function read(bytes: Uint8Array): Said | number {
  const reader = new TransportHeaderReader();
  const length = reader.read(bytes, 0, bytes.length);
  if (length <= 0) return length;
  const { port, name, session } = reader;
  return { port, name, session };
}

function written(port: number, name: string, session: number): Buffer {
  const bytes = Buffer.alloc(MAX_WRITTEN_BYTES);
  return bytes.subarray(0, writeTransportHeader(bytes, 0, port, name, session));
}

describe('the header of the opaque transport', () => {
  it('is a preface, a length and a message, octet by octet', () => {
    assert.deepEqual(written(8080, '', SESSION.OPAQUE), header(hex('08 90 3f')));
    assert.deepEqual(written(80, 'a.b', SESSION.HTTP1), header(hex('08 50 12 03 61 2e 62 1a 02 0a 00')));
    assert.deepEqual(written(65535, '', SESSION.HTTP2), header(hex('08 ff ff 03 1a 02 12 00')));
  });

  it('is read as it was written, and no further', () => {
    const any = fc.tuple(fc.integer({ min: 1, max: 65535 }), fc.string({ maxLength: 60 }), fc.constantFrom(0, 1, 2));
    fc.assert(
      fc.property(any, ([port, name, session]) => {
        const bytes = Buffer.concat([written(port, name, session), Buffer.from('what follows')]);
        const reader = new TransportHeaderReader();
        assert.equal(reader.read(bytes, 0, bytes.length), bytes.length - 'what follows'.length);
        assert.deepEqual([reader.port, reader.name, reader.session], [port, name, session]);
      }),
      { numRuns: runs(300) },
    );
  });

  it('is not complete before its last octet', () => {
    const bytes = written(4143, 'web.default.svc.cluster.local', SESSION.HTTP2);
    const reader = new TransportHeaderReader();
    for (let end = 0; end < bytes.length; end++) assert.equal(reader.read(bytes, 0, end), 0);
    assert.equal(reader.read(bytes, 0, bytes.length), bytes.length);
  });

  it('may have fields that nobody knows, in any order, and says what came last', () => {
    const fields = '1a 02 0a 00 20 01 29 0102030405060708 32 02 ffff 3d 01020304 08 01 1a 02 12 00 08 50';
    assert.deepEqual(read(header(hex(fields))), { port: 80, name: '', session: SESSION.HTTP2 });
    assert.deepEqual(read(header(hex('08 50 1a 00'))), { port: 80, name: '', session: SESSION.OPAQUE });
    assert.deepEqual(read(header(hex('08 50 1a 02 1a 00'))), { port: 80, name: '', session: SESSION.OPAQUE });
  });

  it('has a port', () => {
    for (const message of ['', '08 00', '08 80 80 04', '08 ff ff ff ff ff ff ff ff ff 01', '12 01 61'])
      assert.equal(read(header(hex(message))), HEADER_ERROR.PORT, message);
  });

  it('is refused where its message is malformed', () => {
    const cases = [
      '08',
      '08 ff',
      '12 05 61',
      '12 ff',
      '1a 05 0a',
      '1a 01 0a',
      '1a 02 0a 05',
      '09 01',
      '35 01',
      '0b',
      '0e',
      '00 01',
    ];
    for (const message of [...cases, '08 ff ff ff ff ff ff ff ff ff ff 01', '22 ff ff ff ff 0f'])
      assert.equal(read(header(hex(message))), HEADER_ERROR.MALFORMED, message);
  });

  it('is refused before it has come if it is too large', () => {
    const length = Buffer.alloc(4);
    for (const size of [MAX_MESSAGE_BYTES + 1, 0x7fffffff, 0xffffffff]) {
      length.writeUInt32BE(size);
      assert.equal(read(Buffer.concat([PREFACE, length])), HEADER_ERROR.TOO_LARGE);
    }
    const largest = header(Buffer.concat([hex('08 50 22 fb 1f'), Buffer.alloc(MAX_MESSAGE_BYTES - 5)]));
    assert.equal(largest.length, MAX_HEADER_BYTES);
    assert.deepEqual(read(largest), { port: 80, name: '', session: SESSION.OPAQUE });
  });

  it('is refused at the first octet that is none of the preface', () => {
    for (let at = 0; at < PREFACE.length; at++) {
      const bytes = Buffer.from(PREFACE);
      bytes[at] ^= 1;
      assert.equal(read(bytes.subarray(0, at)), 0);
      assert.equal(read(bytes.subarray(0, at + 1)), HEADER_ERROR.PREFACE);
    }
  });

  it('never throws, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (message) => {
        read(header(Buffer.from(message)));
      }),
      { numRuns: runs(2000) },
    );
  });
});
