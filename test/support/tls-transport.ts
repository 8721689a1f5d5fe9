// TLS under every connection of a worker, for peers that are plain: the worker's own TLS below its protocols, and below that the other end of each
// connection, which turns what plain peers say into TLS and back. So the end-to-end tests run through handshakes, records and close_notify on each
// leg as they are.
import { Inbox } from '../../src/io/inbox.js';
import type { Native } from '../../src/io/native.js';
import { TLS, TLS_PAGE } from '../../src/io/native-tls.js';
import { BUFFER_SIZE, type Slab } from '../../src/io/slab.js';
import type { Channel, Transport } from '../../src/io/transport.js';
import type { TlsProfile } from '../../src/tls/profile.js';
import { SlotList } from '../../src/tls/slot-list.js';
import { TlsTransport } from '../../src/tls/transport.js';

const NAME = 'endpoint.test';
const SERVER = 1;
const CLIENT = 2;
/** With more than this waiting for the handshake nothing is received. */
const BACKLOG_BYTES = 16 * 1024;
const RECORD_BYTES = 15_000;

/** PEM texts of a certificate for NAME, and of who has signed it. */
export interface Papers {
  readonly chain: string;
  readonly key: string;
  readonly anchor: string;
}

/** What has happened to the socket and is to be told once all that came before has been. */
const INPUT = { MORE: 0, END: 1, FAILED: 2, TOLD: 3 } as const;

export class TestTls implements Transport, Channel {
  private readonly inner: TlsTransport;
  private readonly contexts: readonly [number, number];
  /** The other end of a connection, plus 1. */
  private readonly far: Int32Array;
  /** 1 where it has begun (as a client), and 1 where its handshake is over. */
  private readonly begun: Uint8Array;
  private readonly done: Uint8Array;
  private readonly server: Uint8Array;
  /** Plain bytes of the peer that are to be encrypted; and records that the worker's TLS is to get. */
  private readonly plain: Inbox;
  private readonly wire: Inbox;
  private readonly watched: Uint8Array;
  private readonly input: Uint8Array;
  private readonly errno: Uint8Array;
  /** 1 where the worker has no more to say. */
  private readonly over: Uint8Array;
  private readonly work: SlotList;
  private readonly page: Int32Array;

  constructor(
    private readonly channel: Channel,
    private readonly slab: Slab,
    sockets: number,
    private readonly native: Native,
    papers: Papers,
  ) {
    this.inner = new TlsTransport(this, slab, sockets, native);
    this.inner.configure([profileOf(SERVER, papers), profileOf(CLIENT, papers)], {
      timeoutMs: 10_000,
      max: 1024,
      perTurn: 8,
      turnMs: 1,
      displaceAfterMs: 1000,
    });
    this.inner.targets = {
      accepts: () => SERVER,
      dials: () => CLIENT,
      serverNameOf: () => '',
      identityOf: () => '',
      offer: () => 0,
    };
    this.contexts = [this.context(true, papers), this.context(false, papers)];
    this.page = native.tlsPage();
    this.far = new Int32Array(sockets);
    this.begun = new Uint8Array(sockets);
    this.done = new Uint8Array(sockets);
    this.server = new Uint8Array(sockets);
    this.plain = new Inbox(slab, sockets);
    this.wire = new Inbox(slab, sockets);
    this.watched = new Uint8Array(sockets);
    this.input = new Uint8Array(sockets);
    this.errno = new Uint8Array(sockets);
    this.over = new Uint8Array(sockets);
    this.work = new SlotList(sockets);
  }

  // What the sockets tell.

  accepts(listener: number, slot: number): number {
    this.server[slot] = 0;
    return this.inner.accepts(listener, slot);
  }

  dials(endpoint: number, slot: number): number {
    this.server[slot] = 1;
    return this.inner.dials(endpoint, slot);
  }

  opened(slot: number): void {
    const server = this.server[slot] === 1;
    const handle = this.native.tlsOpen(this.contexts[server ? 0 : 1], server ? null : NAME, server ? null : NAME);
    if (handle < 0) throw new Error(`no TLS for the other end: ${handle}`);
    this.far[slot] = handle + 1;
    this.begun[slot] = 0;
    this.done[slot] = 0;
    this.watched[slot] = 0;
    this.over[slot] = 0;
    this.input[slot] = INPUT.MORE;
    this.inner.opened(slot);
    this.work.push(slot);
  }

  readable(): void {}

  received(slot: number, bid: number, at: number, length: number): void {
    this.plain.push(slot, bid, at, at + length);
    this.work.push(slot);
  }

  full(slot: number): boolean {
    const kept = this.plain.bytes[slot] + this.wire.bytes[slot];
    return kept > BACKLOG_BYTES || (this.done[slot] === 1 && this.inner.full(slot));
  }

  ended(slot: number): void {
    this.input[slot] = INPUT.END;
    this.work.push(slot);
  }

  failed(slot: number, errno: number): void {
    this.input[slot] = INPUT.FAILED;
    this.errno[slot] = errno;
    this.work.push(slot);
  }

  resumed(slot: number): void {
    this.inner.resumed(slot);
    this.work.push(slot);
  }

  send(slot: number): void {
    this.inner.send(slot);
  }

  shutdown(slot: number): void {
    this.inner.shutdown(slot);
  }

  closed(slot: number): void {
    this.inner.closed(slot);
    if (this.far[slot] > 0) this.native.tlsClose(this.far[slot] - 1);
    this.far[slot] = 0;
    this.plain.clear(slot);
    this.wire.clear(slot);
    this.work.remove(slot);
  }

  turn(): void {
    for (let n = this.work.size; n > 0; n--) {
      const slot = this.work.shift();
      if (slot >= 0 && this.far[slot] > 0) this.step(slot);
    }
    this.inner.turn();
  }

  get pending(): number {
    return this.work.size + this.inner.pending;
  }

  // What the worker's TLS calls: records go to the other end, all else to the sockets.

  established(slot: number): void {
    this.channel.established(slot);
    this.work.push(slot);
  }

  wantsData(slot: number): boolean {
    return this.channel.wantsData(slot);
  }

  deliver(slot: number, bid: number, at: number, length: number): void {
    this.channel.deliver(slot, bid, at, length);
  }

  receive(slot: number): void {
    this.work.push(slot);
    this.channel.receive(slot);
  }

  watchInput(slot: number): void {
    this.watched[slot] = 1;
    this.work.push(slot);
  }

  end(slot: number): void {
    this.channel.end(slot);
  }

  fail(slot: number, errno: number): void {
    this.channel.fail(slot, errno);
  }

  payloadAt(slot: number): number {
    return this.channel.payloadAt(slot);
  }

  payloadLength(slot: number): number {
    return this.channel.payloadLength(slot);
  }

  take(slot: number, length: number): void {
    this.channel.take(slot, length);
  }

  write(slot: number, at: number, length: number, bid: number): void {
    if (this.far[slot] > 0) this.hear(slot, at, length);
    if (bid >= 0) this.slab.release(bid);
  }

  endWire(slot: number): void {
    this.over[slot] = 1;
    this.channel.endWire(slot);
  }

  unsent(slot: number): number {
    return this.channel.unsent(slot);
  }

  flushSoon(slot: number): void {
    this.channel.flushSoon(slot);
  }

  // The other end.

  private step(slot: number): void {
    if (this.watched[slot] === 1) {
      // Its hello is there to be received.
      this.watched[slot] = 0;
      this.inner.readable(slot);
    }
    if (this.server[slot] === 0 && this.begun[slot] === 0) {
      this.begun[slot] = 1;
      this.hear(slot, 0, 0);
    }
    if (this.done[slot] === 1) this.encrypt(slot);
    // The worker's TLS gets what it would receive from the kernel.
    while (this.far[slot] > 0 && !this.wire.empty(slot)) {
      const bid = this.wire.shift(slot);
      const at = this.wire.startOf(bid);
      this.inner.received(slot, bid, at, this.wire.endOf(bid) - at);
    }
    if (this.far[slot] === 0) return;
    this.tell(slot);
    if (this.far[slot] > 0 && this.done[slot] === 1 && !this.full(slot)) this.channel.receive(slot);
  }

  /** Hands on how the input has ended, when all of it has been handed on. */
  private tell(slot: number): void {
    const how = this.input[slot];
    if (how === INPUT.MORE || how === INPUT.TOLD || !this.plain.empty(slot)) return;
    if (how === INPUT.FAILED) {
      this.input[slot] = INPUT.TOLD;
      this.inner.failed(slot, this.errno[slot]);
      return;
    }
    if (this.done[slot] === 0) return;
    const bid = this.slab.take();
    if (bid < 0) {
      this.work.push(slot);
      return;
    }
    this.input[slot] = INPUT.TOLD;
    const at = this.slab.bufferStart(bid);
    this.native.tlsShutdown(this.far[slot] - 1, at, BUFFER_SIZE);
    this.inner.received(slot, bid, at, this.page[TLS_PAGE.WIRE]);
    if (this.far[slot] > 0) this.inner.ended(slot);
  }

  /** Turns what the peer has said into records. */
  private encrypt(slot: number): void {
    const { plain, wire, slab } = this;
    while (!plain.empty(slot)) {
      const to = slab.take();
      if (to < 0) {
        this.work.push(slot);
        return;
      }
      const bid = plain.shift(slot);
      const at = plain.startOf(bid);
      const length = Math.min(plain.endOf(bid) - at, RECORD_BYTES);
      const start = slab.bufferStart(to);
      this.native.tlsSend(this.far[slot] - 1, at, length, start, BUFFER_SIZE);
      const consumed = this.page[TLS_PAGE.CONSUMED];
      const written = this.page[TLS_PAGE.WIRE];
      if (at + consumed < plain.endOf(bid)) plain.unshift(slot, bid, at + consumed, plain.endOf(bid));
      else slab.release(bid);
      if (written > 0) wire.push(slot, to, start, start + written);
      else slab.release(to);
    }
  }

  /** The other end gets records of the worker's TLS; what they say goes out to the plain peer. */
  private hear(slot: number, from: number, bytes: number): void {
    const { slab, native, page } = this;
    for (let at = from, left = bytes; ; ) {
      const plain = slab.take();
      const answer = slab.take();
      if (plain < 0 || answer < 0) throw new Error('no buffers for the other end');
      const start = slab.dataStart(plain);
      const room = slab.dataEnd(plain) - start;
      const wireAt = slab.bufferStart(answer);
      const status = native.tlsReceive(this.far[slot] - 1, at, left, start, room, wireAt, BUFFER_SIZE);
      if ((status & TLS.FAILED) !== 0) throw new Error(`the other end does not understand: ${page.join(' ')}`);
      at += page[TLS_PAGE.CONSUMED];
      left -= page[TLS_PAGE.CONSUMED];
      if ((status & TLS.HANDSHAKE_DONE) !== 0) this.done[slot] = 1;
      const said = page[TLS_PAGE.PLAIN];
      const written = page[TLS_PAGE.WIRE];
      if (written > 0) this.wire.push(slot, answer, wireAt, wireAt + written);
      else slab.release(answer);
      if (said > 0) this.channel.write(slot, start, said, plain);
      else slab.release(plain);
      if ((status & (TLS.MORE_PLAIN | TLS.MORE_WIRE)) === 0) break;
    }
    this.work.push(slot);
  }

  private context(server: boolean, { chain, key, anchor }: Papers): number {
    return this.native.tlsContext({
      server,
      certificates: server ? [{ chain, key, names: [] }] : [],
      anchors: server ? [] : [anchor],
      systemTrust: false,
      clientCertificate: 0,
      minVersion: 0x0304,
      alpn: [],
      tickets: false,
      wholeNames: false,
    });
  }
}

function profileOf(slot: number, { chain, key, anchor }: Papers): TlsProfile {
  const server = slot === SERVER;
  return {
    slot,
    generation: 1,
    role: server ? 'server' : 'client',
    certificates: server ? [{ chain, key, names: [] }] : [],
    anchors: server ? [] : [anchor],
    clientCertificate: 'none',
    minVersion: '1.3',
    alpn: [],
    tickets: false,
    serverName: server ? null : NAME,
    wholeNames: false,
  };
}
