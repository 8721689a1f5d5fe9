import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '../../src/proxy-protocol/crc32c.js';
import { HEADER, type Header, MAX_V1_BYTES, readHeader } from '../../src/proxy-protocol/read.js';
import { MAX_WRITTEN_BYTES, writeHeader } from '../../src/proxy-protocol/write.js';
import { runs } from '../support/runs.js';

const LIMIT = 4096;
const SIGNATURE = '0d0a0d0a000d0a515549540a';

interface Answer extends Header {
  readonly length: number;
}

function read(bytes: Uint8Array, limit = LIMIT): Answer {
  const into: Header = { source: 'x', destination: 'x' };
  const length = readHeader(bytes, 0, bytes.length, limit, into);
  return { length, ...into };
}
const text = (value: string): Answer => read(Buffer.from(value, 'latin1'));
const hex = (value: string, limit = LIMIT): Answer => read(Buffer.from(value.replaceAll(' ', ''), 'hex'), limit);

describe('version 1', () => {
  it('says source and destination', () => {
    for (const [line, source, destination] of [
      ['TCP4 192.0.2.7 198.51.100.1 56324 443', '192.0.2.7:56324', '198.51.100.1:443'],
      ['TCP4 0.0.0.0 255.255.255.255 0 65535', '0.0.0.0:0', '255.255.255.255:65535'],
      ['TCP6 2001:DB8::1 ::1 1 2', '[2001:db8::1]:1', '[::1]:2'],
      ['TCP6 ::ffff:192.0.2.1 fe80::1 10 20', '[::ffff:192.0.2.1]:10', '[fe80::1]:20'],
      ['UNKNOWN', '', ''],
      ['UNKNOWN ffff:f:f ffff 65535 65535', '', ''],
    ] as const) {
      const whole = `PROXY ${line}\r\n`;
      assert.deepEqual(text(`${whole}GET /`), { length: whole.length, source, destination }, line);
    }
  });

  it('is refused where it is not written as it should be', () => {
    for (const line of [
      'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n',
      'PROXY  TCP4 192.0.2.7 198.51.100.1 56324 443\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n',
      'PROXY TCP4 192.0.2.300 198.51.100.1 1 443\r\n',
      'PROXY TCP4 192.0.2.07 198.51.100.1 1 443\r\n',
      'PROXY TCP4 ::1 ::1 1 443\r\n',
      'PROXY TCP6 192.0.2.7 198.51.100.1 1 443\r\n',
      'PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n',
      'PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n',
      'PROXY UNKNOWNX\r\n',
      'PROXY tcp4 192.0.2.7 198.51.100.1 1 443\r\n',
      `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    ])
      assert.equal(text(line).length, HEADER.MALFORMED, line);
  });

  it('is at most 107 bytes long', () => {
    const longest = `PROXY UNKNOWN ${'x'.repeat(MAX_V1_BYTES - 16)}\r\n`;
    assert.equal(longest.length, MAX_V1_BYTES);
    assert.equal(text(longest).length, MAX_V1_BYTES);
  });
});

describe('version 2', () => {
  it('says source and destination', () => {
    assert.deepEqual(hex(`${SIGNATURE} 21 11 000c c0000207 c6336401 dc04 01bb`), {
      length: 28,
      source: '192.0.2.7:56324',
      destination: '198.51.100.1:443',
    });
    const addresses = '20010db8000000000000000000000001 00000000000000000000000000000001';
    assert.deepEqual(hex(`${SIGNATURE} 21 21 0024 ${addresses} 0001 0002 ff`), {
      length: 52,
      source: '[2001:db8::1]:1',
      destination: '[::1]:2',
    });
  });

  it('leaves the addresses of the connection where it says LOCAL, or no address of TCP', () => {
    for (const [header, length] of [
      [`${SIGNATURE} 20 00 0000`, 16],
      [`${SIGNATURE} 20 11 000c c0000207 c6336401 dc04 01bb`, 28],
      [`${SIGNATURE} 20 00 0003 ffffff`, 19],
      [`${SIGNATURE} 21 00 0000`, 16],
      [`${SIGNATURE} 21 00 0004 04000161`, 20],
      [`${SIGNATURE} 21 12 000c c0000207 c6336401 dc04 01bb`, 28],
      [`${SIGNATURE} 21 31 00d8 ${'00'.repeat(216)}`, 232],
    ] as const)
      assert.deepEqual(hex(`${header} 00`), { length, source: '', destination: '' }, header);
  });

  it('skips extensions', () => {
    const header = `${SIGNATURE} 21 11 0018 c0000207 c6336401 dc04 01bb 04 0001 00 02 0005 6c6f63616c`;
    assert.deepEqual(hex(header), { length: 40, source: '192.0.2.7:56324', destination: '198.51.100.1:443' });
  });

  it('checks the checksum where there is one', () => {
    const bytes = Buffer.from(`${SIGNATURE}211100130a0000010a0000021388005003000400000000`.replaceAll(' ', ''), 'hex');
    bytes.writeUInt32BE(crc32c(bytes, 0, bytes.length), bytes.length - 4);
    assert.equal(read(bytes).length, bytes.length);
    for (let at = 16; at < bytes.length; at++) {
      if (at >= 28 && at < 31) continue; // type and length of the checksum itself
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 1;
      assert.equal(read(damaged).length, HEADER.CHECKSUM, `byte ${at}`);
    }
  });

  it('is refused where it is not written as it should be', () => {
    for (const header of [
      `${SIGNATURE} 11 11 000c c0000207 c6336401 dc04 01bb`,
      `${SIGNATURE} 22 11 000c c0000207 c6336401 dc04 01bb`,
      `${SIGNATURE} 21 41 000c c0000207 c6336401 dc04 01bb`,
      `${SIGNATURE} 21 13 000c c0000207 c6336401 dc04 01bb`,
      `${SIGNATURE} 21 11 000b c0000207 c6336401 dc04 01`,
      `${SIGNATURE} 21 21 000c c0000207 c6336401 dc04 01bb`,
      `${SIGNATURE} 21 11 000e c0000207 c6336401 dc04 01bb 0400`,
      `${SIGNATURE} 21 11 000f c0000207 c6336401 dc04 01bb 040001`,
      `${SIGNATURE} 21 11 0010 c0000207 c6336401 dc04 01bb 03000100`,
    ])
      assert.equal(hex(header).length, HEADER.MALFORMED, header);
  });

  it('is too long beyond the limit, before all of it has come', () => {
    assert.equal(hex(`${SIGNATURE} 21 11 0ff1`).length, HEADER.TOO_LONG);
    assert.equal(hex(`${SIGNATURE} 21 11 0ff0`).length, HEADER.MORE);
    assert.equal(hex(`${SIGNATURE} 20 00 ffff`, 100).length, HEADER.TOO_LONG);
  });
});

describe('any header', () => {
  const v4 = fc.tuple(fc.ipV4(), fc.nat(65_535)).map(([host, port]) => `${host}:${port}`);
  const v6 = fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .chain((bytes) => {
      const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] << 8) | bytes[2 * i + 1]).toString(16));
      return fc.tuple(fc.constant(groups.join(':')), fc.nat(65_535));
    })
    .map(([host, port]) => `[${host}]:${port}`);
  const written = fc
    .tuple(fc.constantFrom<1 | 2>(1, 2), fc.oneof(v4, v6), fc.oneof(v4, v6))
    .map(([version, source, destination]) => {
      const bytes = new Uint8Array(MAX_WRITTEN_BYTES);
      return { source, destination, bytes: bytes.subarray(0, writeHeader(version, source, destination, bytes, 0)) };
    });
  const plain = (name: string): string => name.replace(/^\[::ffff:([\d.]+)\]/, '$1');
  /** The same address however it is written. */
  const canonical = (name: string): string => {
    const host = /^\[(.*)\]/.exec(plain(name))?.[1];
    return host === undefined
      ? plain(name)
      : `${new URL(`http://[${host}]/`).hostname}${name.slice(name.lastIndexOf(':'))}`;
  };

  it('that is written says what it was given', () => {
    fc.assert(
      fc.property(written, ({ source, destination, bytes }) => {
        const answer = read(bytes);
        assert.equal(answer.length, bytes.length);
        assert.equal(canonical(answer.source), canonical(source));
        assert.equal(canonical(answer.destination), canonical(destination));
      }),
      { numRuns: runs(500) },
    );
  });

  it('is read whatever is behind it, and waited for until it is whole', () => {
    fc.assert(
      fc.property(written, fc.uint8Array({ maxLength: 40 }), ({ bytes }, rest) => {
        assert.deepEqual(read(Buffer.concat([bytes, rest])), read(bytes));
        for (let length = 0; length < bytes.length; length++)
          assert.equal(read(bytes.subarray(0, length)).length, HEADER.MORE, `after ${length}`);
      }),
      { numRuns: runs(200) },
    );
  });

  it('leads to an answer however it is damaged', () => {
    fc.assert(
      fc.property(written, fc.nat(120), fc.nat(255), ({ bytes }, at, byte) => {
        const damaged = Uint8Array.from(bytes);
        if (at < damaged.length) damaged[at] = byte;
        const { length } = read(damaged);
        assert.ok(length >= HEADER.TOO_LONG && length <= damaged.length);
      }),
      { numRuns: runs(1000) },
    );
  });

  it('is told from everything else at the first byte that differs', () => {
    for (const other of ['GET / HTTP/1.1\r\n', '\r\n\r\nGET', 'PRI * HTTP/2.0', '\x16\x03\x01', 'PROXYTCP4', '\0'])
      assert.equal(text(other).length, HEADER.NONE, other);
  });

  it('of a client that can’t be told says so', () => {
    const bytes = new Uint8Array(MAX_WRITTEN_BYTES);
    assert.equal(
      Buffer.from(bytes.subarray(0, writeHeader(1, '', '1.2.3.4:5', bytes, 0))).toString(),
      'PROXY UNKNOWN\r\n',
    );
    assert.equal(read(bytes.subarray(0, writeHeader(2, '1.2.3.4:5', '', bytes, 0))).length, 16);
  });

  it('has the checksum that others compute', () => {
    // RFC 3720 appendix B.4.
    assert.equal(crc32c(new Uint8Array(32), 0, 32), 0x8a9136aa);
    assert.equal(crc32c(Buffer.from('123456789'), 0, 9), 0xe3069283);
  });
});
