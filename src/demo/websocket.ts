// A minimal WebSocket echo (RFC 6455), so that the demo needs no package for it.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** RFC 6455, section 1.3. */
const KEY_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const MAX_MESSAGE_BYTES = 65_536;

/** Accepts an upgrade and sends every frame back. */
export function echoWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const key = request.headers['sec-websocket-key'];
  if (key === undefined || request.headers.upgrade?.toLowerCase() !== 'websocket') {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const accept = createHash('sha1').update(`${key}${KEY_SUFFIX}`).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let waiting = head;
  const read = (): void => {
    for (;;) {
      const frame = takeFrame(waiting);
      if (frame === 'more') return;
      if (frame === 'refused') {
        socket.destroy();
        return;
      }
      waiting = waiting.subarray(frame.length);
      if (frame.opcode !== PONG) socket.write(unmasked(frame));
      if (frame.opcode === CLOSE) {
        socket.end();
        return;
      }
    }
  };
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk]);
    read();
  });
  read();
}

interface Frame {
  /** Bytes on the wire, including the header. */
  readonly length: number;
  readonly final: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
}

/** The first frame in `bytes`. Clients must mask frames (section 5.1). */
function takeFrame(bytes: Buffer): Frame | 'more' | 'refused' {
  if (bytes.length < 2) return 'more';
  const short = bytes[1] & 127;
  if (bytes[1] < 128 || short === 127) return 'refused';
  const at = short === 126 ? 4 : 2;
  if (bytes.length < at) return 'more';
  const size = short === 126 ? bytes.readUInt16BE(2) : short;
  if (size > MAX_MESSAGE_BYTES) return 'refused';
  const length = at + 4 + size;
  if (bytes.length < length) return 'more';
  const mask = bytes.subarray(at, at + 4);
  const payload = Buffer.from(bytes.subarray(at + 4, length).map((octet, index) => octet ^ mask[index & 3]));
  return { length, final: bytes[0] >= 128, opcode: bytes[0] & 15, payload };
}

/** The frame to send back. A ping is answered with a pong. */
function unmasked({ final, opcode, payload }: Frame): Buffer {
  const first = (final ? 128 : 0) | (opcode === PING ? PONG : opcode);
  const { length } = payload;
  const header = length < 126 ? [first, length] : [first, 126, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(header), payload]);
}
