// The taps of this worker, and which requests and connections they see (docs/tap.md). Nothing here runs without a tap. Filters on the
// request are applied byte by byte when it arrives, so that requests nobody wants cost no text.
import { column } from '../../http/columns.js';
import type { Core } from '../../http2/shared-state.js';
import { addressWords, NetworkList, readAddress } from '../../policy/network-list.js';
import { asksForAnswer, asksForHttp, type TapRecords, type TapRequest } from '../../tap/request.js';
import { TokenBucket } from '../../tap/token-bucket.js';
import { NOBODY } from '../../tls/peers.js';
import type { Context } from '../context.js';
import type { ExchangeSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';
import type { RequestSpans } from './request-spans.js';

/** How long records are collected before sending, ms. */
const FLUSH_MS = 100;
/** Maximum number of requests whose text is kept until the answer decides whether a tap wants them. */
export const MAX_HELD = 4096;
const COLON = 0x3a;
const LOWER = 0x20;

class Tap {
  readonly method: Uint8Array | null;
  readonly path: Uint8Array | null;
  readonly authority: Uint8Array | null;
  readonly networks: NetworkList | null;
  /** Something has to be compared when a request arrives. */
  readonly selects: boolean;
  /** The filter needs the answer. */
  readonly late: boolean;
  readonly http: boolean;
  readonly bucket: TokenBucket;
  lines: string[] = [];
  /** Dropped for lack of memory. */
  lost = 0;

  constructor(
    readonly asked: TapRequest,
    readonly bit: number,
    clock: { readonly now: number },
  ) {
    const octets = (text: string | null) => (text === null ? null : new Uint8Array(Buffer.from(text)));
    this.method = octets(asked.method);
    this.path = octets(asked.path);
    this.authority = octets(asked.authority);
    this.networks = asked.network === null ? null : new NetworkList([{ cidr: asked.network, except: [] }]);
    this.late = asksForAnswer(asked);
    this.http = asksForHttp(asked);
    this.selects =
      this.method !== null || this.path !== null || this.authority !== null || asked.service !== null || this.asksWho;
    this.bucket = new TokenBucket(asked.maxRps, clock);
  }

  get asksWho(): boolean {
    return this.networks !== null || this.asked.identity !== null;
  }
}

export class Taps {
  /** Whether there is a tap. */
  active = false;
  /** Is told of records. */
  send: (records: TapRecords) => void = () => undefined;
  /** By exchange: bits of the taps that see it. */
  private readonly mask: Uint16Array;
  private taps: Tap[] = [];
  private free = 0xffff;
  private lateBits = 0;
  /** No filter depends on the request. */
  private plain = false;
  /** Until this time, ms, all taps have used up their rate; and the number of records they missed. */
  private dryUntil = 0;
  private dry = 0;
  private held = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly words = addressWords();
  private readonly flushLater = (): void => this.flush();

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Pick<Exchanges, 'capacity' | 'client' | 'service' | 'latencyUs' | 'started'>,
    private readonly spans: RequestSpans,
  ) {
    this.mask = column(Uint16Array, exchanges.capacity);
  }

  /** Sets the active taps; existing ones continue. */
  configure(requests: readonly TapRequest[]): void {
    this.flush();
    const wanted = new Set(requests.map(({ id }) => id));
    let gone = 0;
    for (const tap of this.taps) if (!wanted.has(tap.asked.id)) gone |= tap.bit;
    this.taps = this.taps.filter(({ bit }) => (gone & bit) === 0);
    if (gone !== 0) this.forget(gone);
    this.free |= gone;
    for (const asked of requests) {
      if (this.free === 0 || this.taps.some((tap) => tap.asked.id === asked.id)) continue;
      const bit = this.free & -this.free;
      this.free &= ~bit;
      this.taps.push(new Tap(asked, bit, this.context.reactor));
    }
    this.lateBits = this.taps.reduce((bits, { late, bit }) => (late ? bits | bit : bits), 0);
    this.active = this.taps.length > 0;
    this.plain = this.active && this.taps.every(({ selects, late }) => !selects && !late);
    this.dryUntil = 0;
  }

  /** A request has arrived: whether a tap may want to see it. */
  look(): boolean {
    if (!this.active) return false;
    // At high rates, most requests stop here.
    if (this.context.reactor.now >= this.dryUntil) return true;
    this.dry++;
    return false;
  }

  /** The same, after a look at the request, which is in no tap's mask yet. */
  begun(x: ExchangeSlot): boolean {
    if (!this.look()) return false;
    let mask = 0;
    let located = false;
    for (let i = 0; i < this.taps.length; i++) {
      const tap = this.taps[i];
      if (tap.selects) {
        if (!located) this.spans.locate(x);
        located = true;
        const client = this.exchanges.client(x, this.core);
        if (!this.selects(tap, client, this.exchanges.service[x]) || !this.matches(tap)) continue;
      }
      if (tap.late ? this.hasRoom(tap, mask) : tap.bucket.admits()) mask |= tap.bit;
      this.wake();
    }
    if ((mask & this.lateBits) !== 0) this.held++;
    this.mask[x] = mask;
    if (mask === 0 && this.plain) this.dryUntil = Math.min(...this.taps.map(({ bucket }) => bucket.next));
    return mask !== 0;
  }

  /** It is over: bits of the taps that see it. `status` is what the client got, 0: nothing. */
  ended(x: ExchangeSlot, status: number): number {
    const mask = this.mask[x];
    if (mask === 0) return 0;
    this.mask[x] = 0;
    if ((mask & this.lateBits) === 0) return mask;
    this.held--;
    const { latencyUs, started } = this.exchanges;
    const waited = latencyUs[x] >= 0 ? latencyUs[x] / 1000 : this.context.reactor.now - started[x];
    let left = mask;
    for (const { late, bit, asked, bucket } of this.taps) {
      if (!late || (mask & bit) === 0) continue;
      const fits = asked.statusTo === 0 || (status >= asked.statusFrom && status <= asked.statusTo);
      if (!fits || waited <= asked.latencyAboveMs || !bucket.admits()) left &= ~bit;
    }
    return left;
  }

  /** No tap sees it any more. */
  leave(x: ExchangeSlot): void {
    if ((this.mask[x] & this.lateBits) !== 0) this.held--;
    this.mask[x] = 0;
  }

  /** The same as `ended` for a client connection that was not HTTP. */
  connection(client: number, service: number): number {
    let mask = 0;
    for (const tap of this.taps) {
      if (tap.http || !this.selects(tap, client, service)) continue;
      if (tap.bucket.admits()) mask |= tap.bit;
      this.wake();
    }
    return mask;
  }

  /** Adds a record: the members of an object. */
  show(mask: number, members: string): void {
    const line = `"time":"${new Date().toISOString()}",${members}`;
    for (const tap of this.taps) if ((mask & tap.bit) !== 0) tap.lines.push(line);
    this.wake();
  }

  flush(): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    for (const tap of this.taps) {
      const leftOut = tap.bucket.takeRefused() + tap.lost + this.dry;
      if (tap.lines.length === 0 && leftOut === 0) continue;
      this.send({ id: tap.asked.id, lines: tap.lines, leftOut });
      tap.lines = [];
      tap.lost = 0;
    }
    this.dry = 0;
  }

  private wake(): void {
    this.timer ??= this.context.reactor.later(FLUSH_MS, this.flushLater);
  }

  /** Whether a request may be kept until it is answered. One that is kept already serves other taps too. */
  private hasRoom(tap: Tap, mask: number): boolean {
    if ((mask & this.lateBits) !== 0 || this.held < MAX_HELD) return true;
    tap.lost++;
    return false;
  }

  /** Whether client and service match the filter. */
  private selects({ asked, networks, asksWho }: Tap, client: number, service: number): boolean {
    const { services, connections, peers } = this.context;
    if (asked.service !== null && (service < 0 || services.name.get(service) !== asked.service)) return false;
    if (!asksWho) return true;
    if (client < 0) return false;
    if (networks !== null) return readAddress(connections.peerName(client), this.words) && networks.has(this.words);
    const identity = peers.identity[client];
    return identity !== NOBODY && asked.identity !== null && peers.namesOf(identity).includes(asked.identity);
  }

  /** Whether method, path and authority do. */
  private matches({ method, path, authority }: Tap): boolean {
    const { spans } = this;
    const { methodAt, methodEnd, pathAt, pathEnd, authorityAt, authorityEnd } = spans;
    if (method !== null && (methodEnd - methodAt !== method.length || !this.begins(methodAt, methodEnd, method)))
      return false;
    if (path !== null && !this.begins(pathAt, pathEnd, path)) return false;
    return authority === null || this.isHost(authorityAt, authorityEnd, authority);
  }

  private begins(at: number, end: number, text: Uint8Array): boolean {
    const { bytes } = this.context;
    if (at < 0 || end - at < text.length) return false;
    for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false;
    return true;
  }

  /** Whether an authority is `text`, with or without a port. Hosts are case-insensitive. */
  private isHost(at: number, end: number, text: Uint8Array): boolean {
    const { bytes } = this.context;
    if (at < 0 || end - at < text.length) return false;
    for (let i = 0; i < text.length; i++) {
      const octet = bytes[at + i];
      if ((octet >= 0x41 && octet <= 0x5a ? octet | LOWER : octet) !== text[i]) return false;
    }
    return end - at === text.length || (bytes[at + text.length] === COLON && !text.includes(COLON));
  }

  /** These bits are no longer assigned. */
  private forget(bits: number): void {
    const { mask } = this;
    for (let x = 0; x < mask.length; x++) if ((mask[x] & bits) !== 0) mask[x] &= ~bits;
    this.lateBits &= ~bits;
    this.held = 0;
    for (let x = 0; x < mask.length; x++) if ((mask[x] & this.lateBits) !== 0) this.held++;
  }
}
