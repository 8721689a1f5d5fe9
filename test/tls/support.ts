// Sockets with TLS by hand: no kernel, an engine that counts, and a list of what happens.

import type { Native } from '../../src/io/native.js';
import type { Ring } from '../../src/io/ring.js';
import { SendQueue } from '../../src/io/send-queue.js';
import { Slab } from '../../src/io/slab.js';
import { SOCKET, Sockets } from '../../src/io/sockets.js';
import type { TimerWheel } from '../../src/io/timer-wheel.js';
import { TransportSockets, WIRE_MESSAGE_BLOCKS } from '../../src/io/transport-sockets.js';
import type { TlsProfile } from '../../src/tls/profile.js';
import { TLS_BYTES, TlsTransport } from '../../src/tls/transport.js';
import { fakeMemory } from '../io/slab-support.js';
import { FakeEngine } from './fake-engine.js';

const SERVER = 1;
const CLIENT = 2;
export const LIMITS = { timeoutMs: 10_000, max: 100, perTurn: 4, turnMs: 1, displaceAfterMs: 1000 };

export function profile(slot: number, role: 'server' | 'client', generation = 1): TlsProfile {
  return {
    slot,
    generation,
    role,
    certificates: [],
    anchors: [],
    clientCertificate: 'none',
    minVersion: '1.3',
    alpn: [],
    tickets: false,
    serverName: role === 'client' ? 'service.example' : null,
    wholeNames: false,
  };
}

export class Bench {
  readonly happened: string[] = [];
  readonly received = new Map<number, string>();
  now = 1000;
  readonly slab: Slab;
  readonly sockets: Sockets;
  readonly transportSockets: TransportSockets;
  readonly engine: FakeEngine;
  readonly tls: TlsTransport;
  /** What was free before anything was held. */
  readonly free: number;
  /** Whether the protocols ask for data as soon as a connection is ready. */
  eager = true;
  private readonly wires = new Map<number, Buffer[]>();

  constructor(slots = 32, buffers = 256) {
    const { happened } = this;
    const fixed = 2 * SendQueue.fixedBytes(WIRE_MESSAGE_BLOCKS) + TLS_BYTES + 1024;
    this.slab = new Slab(fakeMemory(buffers, fixed), fixed);
    const ring = {
      receive: () => undefined,
      receiveOnce: () => undefined,
      poll: () => undefined,
      send: (_fd: number, slot: number, _generation: number, at: number, length: number) => this.sent(slot, at, length),
      sendMessage: (_fd: number, slot: number, _generation: number, message: number) => this.sentAll(slot, message),
      connect: () => undefined,
      cancel: () => undefined,
      close: () => undefined,
    } as unknown as Ring;
    const native = { shutdown: () => happened.push('fin'), resetOnClose: () => undefined } as unknown as Native;
    const wheel = { cancel: () => undefined } as unknown as TimerWheel;
    this.sockets = new Sockets(native, ring, this.slab, wheel, new Int32Array(16), 1, slots, WIRE_MESSAGE_BLOCKS);
    this.engine = new FakeEngine(() => this.slab.bytes);
    let tls: TlsTransport | undefined;
    this.transportSockets = new TransportSockets(this.sockets, this.slab, (channel, slab, n) => {
      tls = new TlsTransport(channel, slab, n, this.engine, () => this.now);
      return tls;
    });
    if (tls === undefined) throw new Error('no transport');
    this.tls = tls;
    this.tls.configure([profile(SERVER, 'server'), profile(CLIENT, 'client')], LIMITS);
    this.tls.targets = {
      accepts: () => SERVER,
      dials: () => CLIENT,
      serverNameOf: () => '',
      identityOf: () => '',
      offer: () => 0,
    };
    this.tls.reports = {
      established: (slot, server) => happened.push(`${server ? 'accepted' : 'dialled'} ${slot}`),
      failed: (slot, _server, cause) => happened.push(`handshake failed ${slot} ${cause}`),
      broken: (slot, _server, truncated) => happened.push(`${truncated ? 'truncated' : 'broken'} ${slot}`),
    };
    this.transportSockets.events = {
      connected: (slot, result) => {
        happened.push(`connected ${slot} ${result}`);
        if (result === 0 && this.eager) this.sockets.resume(slot);
      },
      ready: (slot) => {
        happened.push(`ready ${slot}`);
        if (this.eager) this.sockets.resume(slot);
      },
      data: (slot, bid, at, length) => {
        const text = Buffer.from(this.slab.bytes.subarray(at, at + length)).toString('latin1');
        this.received.set(slot, (this.received.get(slot) ?? '') + text);
        this.slab.release(bid);
      },
      eof: (slot) => void happened.push(`eof ${slot}`),
      failed: (slot, errno) => void happened.push(`failed ${slot} ${errno}`),
      paused: () => undefined,
    };
    this.free = this.slab.free;
  }

  taken(): string[] {
    return this.happened.splice(0);
  }

  /** A stranger connects. */
  accept(): number {
    const slot = this.sockets.adopt(4, 1);
    this.sockets.attach(slot, this.tls.accepts(0, slot), true);
    return slot;
  }

  /** We have connected. */
  dial(): number {
    const slot = this.sockets.adopt(5, 1);
    this.sockets.attach(slot, this.tls.dials(0, slot), false);
    this.sockets.connect(slot, 0, 16);
    this.sockets.connected(slot);
    this.transportSockets.connected(slot);
    return slot;
  }

  /** Whether a receive is armed that takes something in, and no poll. */
  get receives(): (slot: number) => boolean {
    return (slot) => (this.sockets.flags[slot] & SOCKET.RECEIVING) !== 0;
  }

  /** The first bytes of a stranger are there to be received. */
  knock(slot: number): void {
    this.sockets.polledIn(slot, 1);
    this.transportSockets.receiveEnded(slot);
  }

  /** Bytes arrive; the receive is over with them. */
  arrive(slot: number, bytes: Buffer): void {
    if (!this.receives(slot)) throw new Error(`${slot} does not receive`);
    for (let at = 0; at < bytes.length; at += 15_000) {
      const piece = bytes.subarray(at, at + 15_000);
      const last = at + piece.length === bytes.length;
      this.sockets.received(slot, piece.length, !last);
      const bid = this.slab.take();
      this.slab.bytes.set(piece, this.slab.dataStart(bid));
      this.transportSockets.received(slot, bid, this.slab.dataStart(bid), piece.length);
      if (last) this.transportSockets.receiveEnded(slot);
    }
  }

  fin(slot: number): void {
    this.sockets.received(slot, 0, false);
    this.transportSockets.ended(slot);
  }

  /** A loop turn without the kernel. */
  turn(): void {
    this.sockets.flush();
    this.transportSockets.turn();
  }

  turns(n: number): void {
    for (let i = 0; i < n; i++) this.turn();
  }

  /** All that was sent on a socket so far. */
  wire(slot: number): Buffer {
    const all = Buffer.concat(this.wires.get(slot) ?? []);
    this.wires.delete(slot);
    return all;
  }

  queue(slot: number, bytes: string | Buffer): void {
    const all = Buffer.from(bytes);
    for (let at = 0; at < all.length; at += 15_000) {
      const piece = all.subarray(at, at + 15_000);
      const bid = this.slab.take();
      this.slab.bytes.set(piece, this.slab.dataStart(bid));
      this.sockets.queue(slot, this.slab.dataStart(bid), piece.length, bid);
    }
  }

  private note(slot: number, at: number, length: number): void {
    const wires = this.wires.get(slot) ?? [];
    wires.push(Buffer.from(this.slab.bytes.subarray(at, at + length)));
    this.wires.set(slot, wires);
  }

  private sent(slot: number, at: number, length: number): void {
    this.note(slot, at, length);
    this.complete(slot, length);
  }

  /** A struct msghdr and its slices. */
  private sentAll(slot: number, message: number): void {
    const view = new DataView(this.slab.bytes.buffer);
    const slices = view.getUint32(message + 24, true);
    let total = 0;
    for (let i = 0; i < slices; i++) {
      const iov = message + 56 + i * 16;
      const length = view.getUint32(iov + 8, true);
      this.note(slot, (view.getUint32(iov, true) - this.slab.low) >>> 0, length);
      total += length;
    }
    this.complete(slot, total);
  }

  /** The kernel takes everything at once, and says so a moment later. */
  private complete(slot: number, length: number): void {
    queueMicrotask(() => {
      this.transportSockets.sent(slot, length);
      this.sockets.sent(slot, length);
    });
  }
}
