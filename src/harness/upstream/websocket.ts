// A WebSocket server without sockets (RFC 6455), as cheap as Node allows: upgrades each connection, and sends each message back.
import { createHash } from 'node:crypto';

const END = Buffer.from('\r\n\r\n');
const NOTHING: Buffer = Buffer.alloc(0);
/** RFC 6455 section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MASKED = 0x80;
const MASK_BYTES = 4;

export class WebSocketEchoServer {
  #kept = NOTHING;
  #upgraded = false;

  /** The output for it. */
  take(chunk: Buffer): Buffer {
    let data = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    const out: Buffer[] = [];
    if (!this.#upgraded) {
      const end = data.indexOf(END);
      this.#kept = data;
      if (end < 0) return NOTHING;
      out.push(upgrade(data.toString('latin1', 0, end)));
      data = data.subarray(end + END.length);
      this.#upgraded = true;
    }
    for (let echo = echoOf(data); echo !== null; echo = echoOf(data)) {
      out.push(echo.head, echo.payload);
      data = data.subarray(echo.taken);
    }
    this.#kept = data;
    return Buffer.concat(out);
  }
}

function upgrade(head: string): Buffer {
  const key = /\r\nsec-websocket-key:\s*([^\s]+)/i.exec(head)?.[1] ?? '';
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
  return Buffer.from(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
}

interface Echo {
  readonly head: Buffer;
  readonly payload: Buffer;
  /** Octets of the frame it answers. */
  readonly taken: number;
}

/** The answer to the frame that `data` begins with; null: it is not complete. */
function echoOf(data: Buffer): Echo | null {
  if (data.length < 2) return null;
  const short = data[1] & 127;
  const lengthBytes = short < 126 ? 0 : short === 126 ? 2 : 8;
  const maskAt = 2 + lengthBytes;
  const from = maskAt + ((data[1] & MASKED) === 0 ? 0 : MASK_BYTES);
  if (data.length < from) return null;
  // Up to 2^48, which is more than anybody sends.
  const length =
    lengthBytes === 0 ? short : data.readUIntBE(maskAt - Math.min(lengthBytes, 6), Math.min(lengthBytes, 6));
  if (data.length < from + length) return null;
  const payload = Buffer.from(data.subarray(from, from + length));
  if (from > maskAt) for (let i = 0; i < length; i++) payload[i] ^= data[maskAt + (i & 3)];
  const head = Buffer.from(data.subarray(0, maskAt));
  head[1] &= 127;
  return { head, payload, taken: from + length };
}
