// TLS between sockets and protocols: one instance for all TLS sockets of a worker. OpenSSL does the work over slab buffers (engine.ts);
// this file and handshakes.ts decide when.
import { isIP } from 'node:net';
import { column } from '../http/columns.js';
import type { TlsPeer } from '../io/native-tls.js';
import type { Slab } from '../io/slab.js';
import type { Channel, Transport } from '../io/transport.js';
import { ALPN, ALPN_NAMES, alpnOf } from './alpn.js';
import { Contexts, type HandshakeSizes } from './contexts.js';
import type { TlsEngine } from './engine.js';
import { FAILURE } from './failures.js';
import type { HandshakeLimits, Handshakes } from './handshakes.js';
import { Handshaking } from './handshaking.js';
import { TlsPeers } from './peers.js';
import type { TlsProfile } from './profile.js';
import { RecordsIn } from './records-in.js';
import { RecordsOut } from './records-out.js';
import { FLAG, PHASE, SCRATCH_BYTES, type TlsReports, TlsSockets, WIRE_BYTES } from './sockets.js';

/** Size of this part in the slab's fixed region. */
export const TLS_BYTES = WIRE_BYTES + SCRATCH_BYTES + 64;
/** The layer of TLS sockets. */
export const TLS_LAYER = 1;

/** Implemented by the proxy. Profiles are slots; 0 is plain text. */
export interface TlsTargets {
  /** For connections accepted on a listener: TLS from the first byte. */
  accepts(listener: number): number;
  /** For connections dialled to an endpoint. */
  dials(endpoint: number): number;
  /** The name that an endpoint's certificate must be for; empty: the name in the profile. */
  identityOf(endpoint: number): string;
  /** The SNI for it, if the profile has none; empty: the name of its certificate. */
  serverNameOf(endpoint: number): string;
  /** The OFFER of a dialled connection; asked when its handshake begins. */
  offer(slot: number): number;
}

export class TlsTransport implements Transport {
  readonly peers: TlsPeers;
  /** By socket: the negotiated ALPN. */
  readonly alpn: Uint8Array;
  /** By socket: the FAILURE of its handshake. */
  readonly cause: Int8Array;
  readonly contexts: Contexts;
  targets: TlsTargets | undefined;
  private readonly sockets: TlsSockets;
  private readonly handshaking: Handshaking;
  private readonly input: RecordsIn;
  private readonly output: RecordsOut;
  /** By dialled socket: its endpoint plus 1. */
  private readonly endpoint: Int32Array;
  /** What the proxy expects of a socket to be secured: see `secure`. */
  private readonly expected: (string | null | undefined)[] = [];

  constructor(
    channel: Channel,
    slab: Slab,
    capacity: number,
    engine: TlsEngine,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.sockets = new TlsSockets(channel, slab, engine, capacity);
    this.peers = new TlsPeers(capacity);
    this.alpn = column(Uint8Array, capacity);
    this.endpoint = column(Int32Array, capacity);
    this.contexts = new Contexts(engine);
    this.input = new RecordsIn(this.sockets);
    this.output = new RecordsOut(this.sockets);
    this.handshaking = new Handshaking(this.sockets, this, clock);
    this.cause = this.handshaking.cause;
  }

  set reports(reports: TlsReports) {
    this.sockets.reports = reports;
  }

  /** Where small input that has to wait for more rests. */
  set blocks(blocks: TlsSockets['inbox']['blocks']) {
    this.sockets.inbox.blocks = blocks;
  }

  /** Connections that use TLS, or will. */
  get open(): number {
    return this.sockets.open;
  }

  /** Whether HTTP/2 was offered to the endpoint of `slot`, and not negotiated. */
  declinedHttp2(slot: number): boolean {
    const offers = this.contexts.profile(this.sockets.profile[slot])?.alpn.includes(ALPN_NAMES.HTTP2) === true;
    return offers && this.alpn[slot] !== ALPN.HTTP2;
  }

  /** The proxy no longer waits for the handshake of `slot`, if that is what it waited for. */
  dialTimedOut(slot: number): void {
    const { sockets } = this;
    const phase = sockets.phase[slot];
    if (phase === PHASE.LINE || phase === PHASE.HANDSHAKE)
      sockets.reports?.failed(slot, sockets.isServer(slot), FAILURE.TIMEOUT);
  }

  get handshakes(): Handshakes {
    return this.handshaking.handshakes;
  }

  /** Applies new settings; returns problems of unusable profiles. */
  configure(profiles: readonly TlsProfile[], limits: HandshakeLimits, sizes?: HandshakeSizes): string[] {
    this.handshakes.limits = limits;
    return this.contexts.configure(profiles, sizes);
  }

  // Calls from the sockets.

  accepts(listener: number, slot: number): number {
    return this.choose(slot, this.targets?.accepts(listener) ?? 0, true);
  }

  dials(endpoint: number, slot: number): number {
    this.endpoint[slot] = endpoint + 1;
    return this.choose(slot, this.targets?.dials(endpoint) ?? 0, false);
  }

  /**
   * Prepares to secure an established plain connection with `profile`; the caller then attaches the layer, and passes on received bytes.
   * `expected`: as in `TlsTargets.identityOf`; null if the peer's name does not matter.
   */
  prepare(slot: number, profile: number, server: boolean, expected: string | null): number {
    const layer = this.choose(slot, profile, server);
    this.sockets.flags[slot] |= FLAG.LATE;
    this.expected[slot] = expected;
    return layer;
  }

  opened(slot: number): void {
    const { sockets } = this;
    sockets.open++;
    this.input.reset(slot);
    this.output.reset(slot);
    this.handshaking.begin(slot, sockets.isServer(slot), sockets.has(slot, FLAG.LATE));
  }

  readable(slot: number): void {
    this.handshaking.readable(slot);
  }

  received(slot: number, bid: number, at: number, length: number): void {
    const { sockets } = this;
    const phase = sockets.phase[slot];
    if (phase === PHASE.OPEN && !sockets.has(slot, FLAG.ENDED)) {
      sockets.inbox.push(slot, bid, at, at + length);
      this.input.read(slot);
    } else if (phase === PHASE.OPEN || phase === PHASE.FAILED || phase === PHASE.NONE) sockets.slab.release(bid);
    else this.handshaking.received(slot, bid, at, length);
  }

  full(slot: number): boolean {
    return this.sockets.phase[slot] === PHASE.OPEN ? this.input.full(slot) : this.handshaking.full(slot);
  }

  ended(slot: number): void {
    this.over(slot, FLAG.FIN, 0);
  }

  failed(slot: number, errno: number): void {
    this.over(slot, FLAG.BROKEN, errno);
  }

  resumed(slot: number): void {
    this.input.read(slot);
  }

  send(slot: number): void {
    if (this.sockets.phase[slot] === PHASE.OPEN) this.output.send(slot);
  }

  shutdown(slot: number): void {
    const { sockets } = this;
    if (sockets.phase[slot] === PHASE.OPEN && !this.output.shutdown(slot)) sockets.starve(slot, FLAG.SHUT);
    else sockets.channel.endWire(slot);
  }

  closed(slot: number): void {
    const { sockets } = this;
    if (sockets.phase[slot] !== PHASE.NONE) {
      this.handshakes.done(slot);
      sockets.phase[slot] = PHASE.NONE;
      sockets.open--;
    }
    sockets.release(slot);
    this.peers.forget(slot);
    this.alpn[slot] = ALPN.NONE;
  }

  turn(): void {
    const { sockets } = this;
    if (sockets.open === 0) return;
    this.output.ms = Math.floor(this.clock());
    if (sockets.fed > 0) sockets.feed(this);
    this.handshakes.turn();
  }

  get pending(): number {
    return this.handshakes.runnable + this.sockets.fed;
  }

  // Calls from below.

  /** There is memory again for the purposes in `flags`. */
  fed(slot: number, flags: number): void {
    const { sockets } = this;
    if (sockets.phase[slot] === PHASE.HANDSHAKE) {
      this.handshakes.queue(slot);
      return;
    }
    if (sockets.phase[slot] !== PHASE.OPEN) return;
    if ((flags & FLAG.SHUT) !== 0) this.shutdown(slot);
    if ((flags & FLAG.SEND) !== 0) sockets.channel.flushSoon(slot);
    if ((flags & FLAG.READ) === 0) return;
    this.input.read(slot);
    if (sockets.phase[slot] === PHASE.OPEN) sockets.channel.receive(slot);
  }

  connect(slot: number): number {
    const { sockets } = this;
    const slotOfProfile = sockets.profile[slot];
    const server = sockets.isServer(slot);
    const context = this.contexts.of(slotOfProfile, server ? 0 : (this.targets?.offer(slot) ?? 0));
    if (context === 0) return -1;
    if (server) return sockets.engine.tlsOpen(context, null, null);
    const name = this.contexts.profile(slotOfProfile)?.serverName ?? null;
    const expected = this.expectedOf(slot, name);
    // Accepting any peer would defeat the purpose of TLS.
    if (expected === '') return -1;
    const endpoint = this.endpoint[slot] - 1;
    const said = endpoint < 0 ? '' : (this.targets?.serverNameOf(endpoint) ?? '');
    const asked = name ?? (said === '' ? expected : said);
    return sockets.engine.tlsOpen(context, isHostName(asked) ? asked : null, expected);
  }

  finished(slot: number, peer: TlsPeer, took: number): void {
    const { sockets } = this;
    this.alpn[slot] = alpnOf(peer.alpn);
    const name = identityIn(peer.names);
    if (name !== '') this.peers.identified(slot, name, peer.names);
    sockets.reports?.established(slot, sockets.isServer(slot), peer, took);
  }

  read(slot: number): void {
    this.input.read(slot);
  }

  private choose(slot: number, profile: number, server: boolean): number {
    if (profile === 0) return 0;
    const { sockets } = this;
    sockets.profile[slot] = profile;
    sockets.flags[slot] = server ? FLAG.SERVER : 0;
    this.expected[slot] = undefined;
    return TLS_LAYER;
  }

  private expectedOf(slot: number, serverName: string | null): string | null {
    const said = this.expected[slot];
    if (said !== undefined) return said;
    const endpoint = this.endpoint[slot] - 1;
    const identity = endpoint < 0 ? '' : (this.targets?.identityOf(endpoint) ?? '');
    return identity === '' ? (serverName ?? '') : identity;
  }

  private over(slot: number, flag: number, errno: number): void {
    const { sockets } = this;
    sockets.flags[slot] |= flag;
    const phase = sockets.phase[slot];
    if (phase === PHASE.OPEN) {
      sockets.errno[slot] = errno;
      this.input.read(slot);
    } else if (phase !== PHASE.FAILED && phase !== PHASE.NONE) this.handshaking.ended(slot, errno);
  }
}

/** The identity in a certificate: its SPIFFE ID, or else its first name. */
function identityIn(names: readonly string[]): string {
  return names.find((name) => name.startsWith('spiffe://')) ?? names[0] ?? '';
}

/** Whether SNI can carry it (RFC 6066 section 3): no addresses, no URIs. */
function isHostName(name: string | null): boolean {
  return name !== null && isIP(name) === 0 && !name.includes('/');
}
