// The opaque transport header, inside TLS: the destination port, and whether HTTP follows. A preface, the length of a message, and the
// message in the wire format of Protocol Buffers:
//
//   1 port: int32, 2 name: string, 3 session_protocol: oneof {1 http1: empty, 2 http2: empty}
import { Buffer } from 'node:buffer';

/** The ALPN protocol that announces such a header. */
export const TRANSPORT_ALPN = 'transport.l5d.io/v1';
/** Longer messages are refused: a port and a name need a tenth of it. */
export const MAX_MESSAGE_BYTES = 4096;
/** Longest header that `writeTransportHeader` writes. */
export const MAX_WRITTEN_BYTES = 320;

/** What follows the header. */
export const SESSION = { OPAQUE: 0, HTTP1: 1, HTTP2: 2 } as const;

/** Why a header is refused: negative results of `read`, and their texts. */
export const HEADER_ERROR = { PREFACE: -1, TOO_LARGE: -2, MALFORMED: -3, PORT: -4 } as const;
export const HEADER_ERRORS: readonly string[] = [
  '',
  'it does not begin with the preface',
  'its message is too large',
  'its message is malformed',
  'its port is out of range',
];

const PREFACE = Buffer.from(`${TRANSPORT_ALPN}\r\n\r\n`, 'latin1');
const BEFORE_MESSAGE = PREFACE.length + 4;
/** Longest header that is accepted. */
export const MAX_HEADER_BYTES = BEFORE_MESSAGE + MAX_MESSAGE_BYTES;
const MAX_NAME = 255;

/** Wire types. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const FIELD = { PORT: 1, NAME: 2, SESSION: 3 } as const;

/** Reads headers, one at a time; the last one's content is in its members. */
export class TransportHeaderReader {
  port = 0;
  name = '';
  /** A SESSION. */
  session: number = SESSION.OPAQUE;
  private bytes: Uint8Array = PREFACE;
  private at = 0;
  private end = 0;
  private value = 0;

  /** Length of the header in `bytes[start..end)`; 0 if it is incomplete, a HEADER_ERROR if it is invalid. */
  read(bytes: Uint8Array, start: number, end: number): number {
    const available = end - start;
    for (let i = 0; i < Math.min(available, PREFACE.length); i++)
      if (bytes[start + i] !== PREFACE[i]) return HEADER_ERROR.PREFACE;
    if (available < BEFORE_MESSAGE) return 0;
    const at = start + PREFACE.length;
    const length = bytes[at] * 0x1000000 + ((bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]);
    if (length > MAX_MESSAGE_BYTES) return HEADER_ERROR.TOO_LARGE;
    if (available < BEFORE_MESSAGE + length) return 0;
    this.port = 0;
    this.name = '';
    this.session = SESSION.OPAQUE;
    this.bytes = bytes;
    this.at = start + BEFORE_MESSAGE;
    this.end = this.at + length;
    if (!this.message()) return HEADER_ERROR.MALFORMED;
    return this.port > 0 && this.port <= 65535 ? BEFORE_MESSAGE + length : HEADER_ERROR.PORT;
  }

  private message(): boolean {
    while (this.at < this.end) {
      if (!this.varint()) return false;
      const field = this.value >>> 3;
      const type = this.value & 7;
      if (field === FIELD.PORT && type === VARINT) {
        if (!this.varint()) return false;
        this.port = this.value;
      } else if (field === FIELD.NAME && type === BYTES) {
        if (!this.varint() || this.value > this.end - this.at) return false;
        this.name = Buffer.from(this.bytes.subarray(this.at, this.at + this.value)).toString('utf8');
        this.at += this.value;
      } else if (field === FIELD.SESSION && type === BYTES) {
        if (!this.varint() || this.value > this.end - this.at) return false;
        if (!this.sessionProtocol(this.at + this.value)) return false;
      } else if (field === 0 || !this.skip(type)) return false;
    }
    return true;
  }

  /** If there are several, the last one counts; an unknown one means opaque. */
  private sessionProtocol(end: number): boolean {
    const whole = this.end;
    this.end = end;
    while (this.at < end) {
      if (!this.varint()) return false;
      const field = this.value >>> 3;
      if (field === 0 || !this.skip(this.value & 7)) return false;
      this.session = field === 1 ? SESSION.HTTP1 : field === 2 ? SESSION.HTTP2 : SESSION.OPAQUE;
    }
    this.end = whole;
    return true;
  }

  private skip(type: number): boolean {
    switch (type) {
      case VARINT:
        return this.varint();
      case FIXED64:
        this.at += 8;
        break;
      case BYTES:
        if (!this.varint()) return false;
        this.at += this.value;
        break;
      case FIXED32:
        this.at += 4;
        break;
      default:
        return false;
    }
    return this.at <= this.end;
  }

  /** At most 10 bytes. A value over 2^32, such as a negative one, is only kept as "not a port". */
  private varint(): boolean {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      if (this.at >= this.end) return false;
      const byte = this.bytes[this.at++];
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) {
        this.value = Math.min(value, 0xffffffff);
        return true;
      }
    }
    return false;
  }
}

/** Writes a header at `bytes[at]`; returns its length. A `name` over the limit is omitted. */
export function writeTransportHeader(
  bytes: Uint8Array,
  at: number,
  port: number,
  name: string,
  session: number,
): number {
  bytes.set(PREFACE, at);
  const message = at + BEFORE_MESSAGE;
  let end = message;
  bytes[end++] = (FIELD.PORT << 3) | VARINT;
  end = writeVarint(bytes, end, port);
  const length = Buffer.byteLength(name);
  if (length > 0 && length <= MAX_NAME) {
    bytes[end++] = (FIELD.NAME << 3) | BYTES;
    end = writeVarint(bytes, end, length);
    bytes.set(Buffer.from(name), end);
    end += length;
  }
  if (session !== SESSION.OPAQUE) {
    bytes[end++] = (FIELD.SESSION << 3) | BYTES;
    bytes[end++] = 2;
    bytes[end++] = (session << 3) | BYTES;
    bytes[end++] = 0;
  }
  const size = end - message;
  bytes[message - 4] = 0;
  bytes[message - 3] = 0;
  bytes[message - 2] = size >> 8;
  bytes[message - 1] = size & 255;
  return end - at;
}

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let end = at;
  let left = value;
  while (left >= 0x80) {
    bytes[end++] = (left & 0x7f) | 0x80;
    left >>>= 7;
  }
  bytes[end++] = left;
  return end;
}
