// WebSocket (RFC 6455): messages that a server echoes, on connections that were upgraded before the load begins.
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { METHOD } from '../http/methods.js';
import { Head } from '../http1/head.js';
import { MORE, parseResponse } from '../http1/head-parser.js';
import type { DriverContext, ProtocolDriver } from './driver.js';
import type { LoadPlan, LoadTarget } from './plan.js';
import { bodyOf, WeightedRoundRobin } from './requests.js';
import { ERROR } from './tally.js';

const LIMITS = { maxHeaderBytes: 15 * 1024, maxHeaders: 256, maxTargetBytes: 0 } as const;
const KEY = 'c2x1aWNlIGJlbmNoIHJ1bg==';
/** A conforming server's answer (section 1.3). */
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const OPCODE = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 } as const;
const FIN = 0x80;
const MASKED = 0x80;
const MASK_BYTES = 4;
const MAX_HEADER = 10;
/** Octets of the payload of a control frame. */
const MAX_CONTROL = 125;

const opcodeOf = (octet: number): number => octet & 15;

function upgradeHead(plan: LoadPlan, { authority, path }: LoadTarget): string {
  const host = plan.headers.find(([name]) => name === 'host')?.[1] ?? authority;
  const own = plan.headers.filter(([name]) => name !== 'host').map(([name, value]) => `${name}: ${value}\r\n`);
  const fields = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`;
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}${own.join('')}\r\n`;
}

/** A whole message in one frame; a client's is masked, here with zeros, which leave it unchanged. */
function frameOf(opcode: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = FIN | opcode;
  head[1] = MASKED | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, new Uint8Array(MASK_BYTES), payload]);
}

export class WebSocketDriver implements ProtocolDriver {
  /** Upgrade requests of each share, and a message: positions in the slab. */
  private readonly upgrades: readonly { readonly at: number; readonly length: number }[][];
  private readonly rotation: readonly WeightedRoundRobin[];
  private readonly messageAt: number;
  private readonly messageLength: number;
  /** Incomplete answers to upgrade requests; a connection is not upgraded while it is here. */
  private readonly answers = new Map<number, Buffer>();
  private readonly head = new Head(LIMITS.maxHeaders);
  private readonly awaiting: Uint8Array;
  /** Of the current frame: received bytes of its header, and these bytes; remaining bytes of its payload. */
  private readonly headerBytes: Uint8Array;
  private readonly header: Uint8Array;
  private readonly left: Float64Array;
  private readonly pings = new Map<number, number[]>();

  constructor(private readonly context: DriverContext) {
    const { reactor, plan, shares, shareOf } = context;
    const { slab } = reactor;
    const put = (bytes: Uint8Array): { at: number; length: number } => {
      const at = slab.fixed(bytes.length);
      slab.bytes.set(bytes, at);
      return { at, length: bytes.length };
    };
    this.upgrades = shares.map(({ targets }) =>
      targets.map((target) => put(Buffer.from(upgradeHead(plan, target), 'latin1'))),
    );
    this.rotation = shares.map(({ targets }) => new WeightedRoundRobin(targets.map(({ weight }) => weight)));
    const payload = bodyOf(plan);
    const { at, length } = put(frameOf(isUtf8(payload) ? OPCODE.TEXT : OPCODE.BINARY, payload));
    this.messageAt = at;
    this.messageLength = length;
    const n = shareOf.length;
    this.awaiting = new Uint8Array(n);
    this.headerBytes = new Uint8Array(n);
    this.header = new Uint8Array(n * MAX_HEADER);
    this.left = new Float64Array(n);
  }

  /** Bytes of the fixed region. */
  static fixedBytes(plan: LoadPlan, targets: readonly LoadTarget[]): number {
    const heads = targets.reduce((sum, target) => sum + upgradeHead(plan, target).length + 32, 0);
    return heads + plan.bodyBytes + 64;
  }

  opened(connection: number, socket: number): void {
    const share = this.context.shareOf[connection];
    const { at, length } = this.upgrades[share][this.rotation[share].next()];
    this.answers.set(connection, Buffer.alloc(0));
    this.headerBytes[connection] = 0;
    this.pings.delete(connection);
    this.context.reactor.sockets.queue(socket, at, length, -1);
  }

  send(connection: number, socket: number): number {
    this.awaiting[connection] = 1;
    this.context.reactor.sockets.queue(socket, this.messageAt, this.messageLength, -1);
    return connection;
  }

  data(connection: number, socket: number, bid: number, at: number, length: number): void {
    const { slab } = this.context.reactor;
    if (this.answers.has(connection)) this.switched(connection, socket, slab.bytes.subarray(at, at + length));
    else this.read(connection, socket, slab.bytes, at, at + length);
    slab.release(bid);
  }

  ended(): void {
    // Requests in progress end with the connection.
  }

  closed(connection: number): void {
    this.answers.delete(connection);
    if (this.awaiting[connection] === 0) return;
    this.awaiting[connection] = 0;
    this.context.aborted(connection);
  }

  expire(connection: number, _socket: number, time: number): void {
    if (this.awaiting[connection] === 1 && this.context.sent[connection] < time)
      this.context.lost(connection, ERROR.timeout);
  }

  /** The answer to the upgrade request, and what follows it. */
  private switched(connection: number, socket: number, more: Uint8Array): void {
    const bytes = Buffer.concat([this.answers.get(connection) ?? Buffer.alloc(0), more]);
    const { head } = this;
    const after = parseResponse(bytes, 0, bytes.length, head, METHOD.GET, LIMITS);
    if (after === MORE) {
      this.answers.set(connection, bytes);
      return;
    }
    if (after < 0 || head.status !== 101 || !this.accepted(bytes)) {
      // It answers, but does not switch.
      this.context.tally.unexpected(bytes, 0, bytes.length);
      this.context.lost(connection, after > 0 && head.status >= 400 ? ERROR.status : ERROR.protocol);
      return;
    }
    this.answers.delete(connection);
    this.context.ready(connection, 1);
    this.read(connection, socket, bytes, after, bytes.length);
  }

  private accepted(bytes: Buffer): boolean {
    const { fields, count } = this.head;
    for (let i = 0; i < count; i++) {
      const [nameStart, nameEnd, valueStart, valueEnd] = fields.subarray(4 * i, 4 * i + 4);
      if (bytes.toString('latin1', nameStart, nameEnd).toLowerCase() === 'sec-websocket-accept')
        return bytes.toString('latin1', valueStart, valueEnd) === ACCEPT;
    }
    return false;
  }

  /** Reads frames in [start, end). */
  private read(connection: number, socket: number, bytes: Uint8Array, start: number, end: number): void {
    const { headerBytes, left, header } = this;
    const first = connection * MAX_HEADER;
    let at = start;
    while (at < end) {
      const opcode = opcodeOf(header[first]);
      if (headerBytes[connection] > 0 && headerBytes[connection] === this.headerLength(first)) {
        const count = Math.min(left[connection], end - at);
        if (opcode === OPCODE.PING) this.pings.get(connection)?.push(...bytes.subarray(at, at + count));
        left[connection] -= count;
        at += count;
        if (left[connection] > 0) return;
      } else {
        header[first + headerBytes[connection]++] = bytes[at++];
        if (headerBytes[connection] < this.headerLength(first)) continue;
        left[connection] = this.payloadLength(first);
        // RFC 6455, section 5.5: what is to be sent back is short.
        if (opcodeOf(header[first]) >= OPCODE.CLOSE && left[connection] > MAX_CONTROL) {
          this.context.tally.unexpected(header, first, headerBytes[connection]);
          this.context.lost(connection, ERROR.protocol);
          return;
        }
        if (opcodeOf(header[first]) === OPCODE.PING) this.pings.set(connection, []);
        if (left[connection] > 0) continue;
      }
      headerBytes[connection] = 0;
      if (!this.frame(connection, socket, header[first])) return;
    }
  }

  /** A frame is complete. False if the connection is over. */
  private frame(connection: number, socket: number, first: number): boolean {
    switch (opcodeOf(first)) {
      case OPCODE.CLOSE:
        this.context.lost(connection, ERROR.closed);
        return false;
      case OPCODE.PING:
        this.pong(connection, socket);
        return true;
      case OPCODE.PONG:
        return true;
      default:
    }
    if ((first & FIN) === 0) return true;
    if (this.awaiting[connection] === 0) return true;
    this.awaiting[connection] = 0;
    this.context.answered(connection, connection, -1, true);
    return this.context.socketOf(connection) === socket;
  }

  private pong(connection: number, socket: number): void {
    const { slab, sockets } = this.context.reactor;
    const frame = frameOf(OPCODE.PONG, Uint8Array.from(this.pings.get(connection) ?? []));
    this.pings.delete(connection);
    const bid = slab.take();
    if (bid < 0) return;
    const at = slab.dataStart(bid);
    slab.bytes.set(frame, at);
    sockets.queue(socket, at, frame.length, bid);
  }

  /** Length of the header that begins at `first`, as far as known. */
  private headerLength(first: number): number {
    const length = this.header[first + 1] & 127;
    return this.headerBytes[first / MAX_HEADER] < 2 || length < 126 ? 2 : length === 126 ? 4 : 10;
  }

  private payloadLength(first: number): number {
    const { header } = this;
    const length = header[first + 1] & 127;
    if (length < 126) return length;
    let total = 0;
    for (let i = 2; i < (length === 126 ? 4 : 10); i++) total = total * 256 + header[first + i];
    return total;
  }
}
