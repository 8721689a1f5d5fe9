// TLS state of sockets: columns, as in the socket table.
import { column } from '../http/columns.js';
import { Inbox } from '../io/inbox.js';
import { TLS_PAGE, type TlsPeer } from '../io/native-tls.js';
import type { Slab } from '../io/slab.js';
import type { Channel } from '../io/transport.js';
import type { TlsEngine } from './engine.js';

/** Progress of a connection. */
export const PHASE = {
  /** Not a TLS connection. */
  NONE: 0,
  /** Accepted; nothing has arrived, or it has not been received. */
  QUIET: 1,
  /** Waits for a place among the handshakes. */
  LINE: 2,
  HANDSHAKE: 3,
  OPEN: 4,
  /** It has failed. */
  FAILED: 5,
} as const;

export const FLAG = {
  /** We are the server. */
  SERVER: 1,
  /** OpenSSL has more output or plaintext without further input. */
  MORE: 2,
  /** Nothing more comes from the socket: it has ended ... */
  FIN: 4,
  /** ... or is broken. */
  BROKEN: 8,
  /** The peer has sent close_notify. */
  ENDED: 16,
  /** Waits for memory: to continue a handshake or input, to send payload, to write close_notify. */
  READ: 32,
  SEND: 64,
  SHUT: 128,
  STARVED: 32 | 64 | 128,
  /** The first byte looked like TLS. */
  TLS: 256,
  /** Something has been received. */
  HEARD: 512,
  /** It was established before TLS was added: received bytes are passed on. */
  LATE: 1024,
} as const;

/** Output of one call other than payload: a flight of a handshake, an answer to KeyUpdate, an alert. */
export const WIRE_BYTES = 16 * 1024;
/** Plaintext of a handshake's last call, and joined payload. */
export const SCRATCH_BYTES = 16 * 1024;

/** Is told of handshakes: the proxy's metrics and log. */
export interface TlsReports {
  established(slot: number, server: boolean, peer: TlsPeer, ms: number): void;
  /** `cause` is a FAILURE. */
  failed(slot: number, server: boolean, cause: number): void;
  /** An established connection ended without close_notify (`truncated`), or with something that is not TLS. */
  broken(slot: number, server: boolean, truncated: boolean): void;
}

export class TlsSockets {
  /** Results of the engine's last call. */
  readonly page: Int32Array;
  readonly phase: Uint8Array;
  readonly flags: Uint16Array;
  /** The engine's connection plus 1; 0: none. */
  readonly handle: Int32Array;
  readonly profile: Int32Array;
  readonly errno: Uint8Array;
  /** Received input that is not decrypted. */
  readonly inbox: Inbox;
  /** Where the engine writes output that is neither payload nor bulk. */
  readonly wireAt: number;
  readonly scratchAt: number;
  reports: TlsReports | undefined;
  /** Sockets with an engine connection. */
  open = 0;
  private readonly list: Int32Array;
  private readonly listed: Uint8Array;
  private starved = 0;

  constructor(
    readonly channel: Channel,
    readonly slab: Slab,
    readonly engine: TlsEngine,
    readonly capacity: number,
  ) {
    this.page = engine.tlsPage();
    this.phase = column(Uint8Array, capacity);
    this.flags = column(Uint16Array, capacity);
    this.handle = column(Int32Array, capacity);
    this.profile = column(Int32Array, capacity);
    this.errno = column(Uint8Array, capacity);
    this.inbox = new Inbox(slab, capacity);
    this.list = column(Int32Array, 2 * capacity);
    this.listed = column(Uint8Array, capacity);
    this.wireAt = slab.fixed(WIRE_BYTES);
    this.scratchAt = slab.fixed(SCRATCH_BYTES);
  }

  has(slot: number, flag: number): boolean {
    return (this.flags[slot] & flag) !== 0;
  }

  isServer(slot: number): boolean {
    return this.has(slot, FLAG.SERVER);
  }

  /** Marks it as waiting for memory, for the purpose `flag`. */
  starve(slot: number, flag: number): void {
    this.flags[slot] |= flag;
    if (this.listed[slot] === 1) return;
    this.listed[slot] = 1;
    this.list[this.starved++] = slot;
  }

  /** Number of sockets waiting for memory, while there is some. */
  get fed(): number {
    return this.starved > 0 && this.slab.replaceable ? this.starved : 0;
  }

  /** Takes those waiting for memory off the list, one after the other. */
  feed(go: { fed(slot: number, flags: number): void }): void {
    const n = this.starved;
    for (let i = 0; i < n; i++) {
      const slot = this.list[i];
      this.listed[slot] = 0;
      const waits = this.flags[slot] & FLAG.STARVED;
      this.flags[slot] &= ~FLAG.STARVED;
      if (waits !== 0 && this.phase[slot] !== PHASE.NONE) go.fed(slot, waits);
    }
    this.list.copyWithin(0, n, this.starved);
    this.starved -= n;
  }

  /** A buffer for plaintext, or -1. */
  buffer(): number {
    const bid = this.slab.takeForInput();
    return bid >= 0 ? bid : this.slab.takeToReplace();
  }

  /** Sends what the engine has written to `wireAt`. A buffer is available; that was checked before. */
  writeWire(slot: number): void {
    const length = this.page[TLS_PAGE.WIRE];
    if (length === 0) return;
    const { slab } = this;
    const bid = slab.take();
    if (bid < 0) throw new Error('no buffer for what TLS has to say');
    const at = slab.bufferStart(bid);
    slab.bytes.copyWithin(at, this.wireAt, this.wireAt + length);
    this.channel.write(slot, at, length, bid);
  }

  /** The connection can't continue: releases what it holds, and tells the protocols. */
  fail(slot: number, errno: number): void {
    this.phase[slot] = PHASE.FAILED;
    this.release(slot);
    this.channel.fail(slot, errno);
  }

  /** Releases what a connection holds. */
  release(slot: number): void {
    this.inbox.clear(slot);
    const handle = this.handle[slot] - 1;
    if (handle < 0) return;
    this.handle[slot] = 0;
    this.engine.tlsClose(handle);
  }
}
