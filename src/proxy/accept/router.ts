// Decides where a new connection goes. Most listeners fix that. With `originalDestination: true` it depends on the connection's original
// destination (SO_ORIGINAL_DST): a known one is used at once. Otherwise the main thread is asked, once for all connections waiting for the
// same address, while their bytes stay in the kernel. If it knows nothing, or does not answer in time, connections go to their original
// destination: redirecting must not break what worked.
import { ADDRESS_WORDS } from '../../detect/server-first-table.js';
import { column } from '../../http/columns.js';
import { PagedArray } from '../../io/paged-array.js';
import { LIMITS, MAX_LISTENERS, REASONS, W } from '../../metrics/layout.js';
import { LOCAL_DESTINATIONS } from '../capacity.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { REFUSED } from '../refusals.js';
import { type DestinationSnapshot, type FromWorker, type ListenerSnapshot, MODE, type Snapshot } from '../snapshot.js';
import { DESTINATION, DESTINATION_SLOTS, type Destinations } from './destinations.js';
import { OwnAddresses, splitAddress } from './own-addresses.js';
import type { Passthrough } from './passthrough.js';
import { FORWARD } from './transport-headers.js';

const LIMIT_RESOLVE = LIMITS.indexOf('resolve-time');
const LIMIT_DESTINATIONS = LIMITS.indexOf('destinations');
const HINT = REASONS.indexOf('hint');
const DEFAULT_PORT = REASONS.indexOf('default-port');
/** Minimum interval for logging refused connections, ms. */
const LOG_MS = 1000;

/** What the router needs of a worker. */
export interface Shared {
  readonly connections: Pick<Context['connections'], 'listener' | 'destination' | 'abort'>;
  readonly sockets: Pick<Context['sockets'], 'fd' | 'kind'>;
  readonly wheel: Pick<Context['wheel'], 'schedule' | 'cancel'>;
  readonly reactor: Pick<Context['reactor'], 'clock'>;
  readonly native: Pick<Context['native'], 'originalSockaddr' | 'originalDestination' | 'localName' | 'sockaddr'>;
  readonly values: Float64Array;
  readonly destinations: Destinations;
  readonly refusals: Pick<Context['refusals'], 'note'>;
  limited(limit: number): void;
}

export class Router {
  /** 1 for listeners whose connections have an original destination. */
  private readonly original = column(Uint8Array, MAX_LISTENERS);
  private readonly listeners = new Map<number, ListenerSnapshot>();
  private opaquePorts: ReadonlySet<number> = new Set();
  /** Per listener slot: its own list of opaque ports, if it has one. */
  private readonly ownOpaquePorts = new Map<number, ReadonlySet<number>>();
  private resolveTimeoutMs = 0;
  private idleMs = 0;
  /** The current address, as words and as the bytes of a sockaddr. */
  private readonly words = new Int32Array(ADDRESS_WORDS);
  private readonly sockaddr = new Uint8Array(this.words.buffer);
  // For original destinations:
  private readonly address = new PagedArray<string>(DESTINATION_SLOTS, '');
  private readonly bytes: Uint8Array[] = [];
  /** Id of the open question, 0: none. The slot is its remainder. */
  private readonly question = column(Float64Array, DESTINATION_SLOTS);
  /** The `epoch` of the last question; an answer from an earlier epoch may be outdated. */
  private readonly askedIn = column(Float64Array, DESTINATION_SLOTS);
  private epoch = 1;
  private questions = 0;
  private loggedAt = Number.NEGATIVE_INFINITY;
  private unlogged = 0;

  /** `opened` takes a connection whose destination is known. */
  constructor(
    private readonly context: Shared,
    private readonly passthrough: Pick<Passthrough, 'open' | 'close'>,
    private readonly opened: (client: number) => void,
    private readonly send: (message: FromWorker) => void,
    private readonly own = new OwnAddresses(),
  ) {}

  /** Applies new settings. `unresolved` follows if they may change original destinations. */
  configure(snapshot: Snapshot): void {
    const { destinations, native } = this.context;
    this.listeners.clear();
    this.ownOpaquePorts.clear();
    this.original.fill(0);
    for (const listener of snapshot.listeners) {
      destinations.setListener(listener);
      this.listeners.set(listener.slot, listener);
      if (listener.originalDestination) this.original[listener.slot] = 1;
      if (listener.opaquePorts !== null) this.ownOpaquePorts.set(listener.slot, new Set(listener.opaquePorts));
    }
    this.opaquePorts = new Set(snapshot.opaquePorts);
    this.resolveTimeoutMs = snapshot.resolveTimeoutMs;
    this.idleMs = snapshot.destinationIdleMs;
    destinations.capacity = Math.min(LOCAL_DESTINATIONS, snapshot.maxDestinations);
    this.own.configure(snapshot.listeners.filter(({ fd }) => fd >= 0).map(({ fd }) => native.localName(fd)));
  }

  /** A new client connection. */
  open(client: number): void {
    if (this.original[this.context.connections.listener[client]] === 1) this.openOriginal(client);
    else this.opened(client);
  }

  /**
   * A client of the opaque transport wants `port` on this machine, at the address it connected to. Returns a FORWARD; the client is refused
   * unless that is OK.
   */
  forward(client: number, port: number): number {
    const { connections, destinations, native, sockets, reactor } = this.context;
    const listener = connections.listener[client];
    const fd = sockets.fd[client];
    // A redirected connection was accepted at another address.
    const original = this.original[listener] === 1 ? native.originalDestination(fd) : '';
    const { host } = splitAddress(original === '' ? native.localName(fd) : original);
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    if (this.own.hasPort(port) && this.own.includes(address, reactor.clock())) return FORWARD.LOOP;
    this.words.fill(0);
    const length = native.sockaddr(host, port, this.sockaddr, 0);
    if (length === 0) return FORWARD.LOOP;
    const before = connections.destination[client];
    let slot = destinations.find(listener, this.words);
    if (slot < 0) slot = this.add(address, listener, port, length);
    if (slot < 0) {
      this.context.limited(LIMIT_DESTINATIONS);
      return FORWARD.FULL;
    }
    if (destinations.isOriginal(before)) destinations.release(before, client, reactor.clock());
    this.go(client, slot);
    return FORWARD.OK;
  }

  /** The main thread has answered question `id`. */
  resolved(id: number, answer: DestinationSnapshot): void {
    const slot = id % DESTINATION_SLOTS;
    // The answer is about an address that was dropped, or asked about again, in the meantime.
    if (this.question[slot] !== id) return;
    this.question[slot] = 0;
    let { services } = answer;
    if (services === null) {
      const service = this.passthrough.open(slot, this.bytes[slot], this.address.get(slot));
      services = [service, service, service, service];
    }
    this.context.destinations.setAnswer(slot, answer, services);
    this.releaseWaiting(slot);
  }

  /** The main thread's answers may be outdated. Ask again about addresses in use now, about others later. */
  unresolved(): void {
    const { destinations } = this.context;
    this.epoch++;
    for (let slot = MAX_LISTENERS; slot < destinations.end; slot++) if (destinations.users[slot] > 0) this.ask(slot);
  }

  /** The main thread's answer about one address is outdated. */
  changed(host: string, port: number): void {
    const { destinations, native } = this.context;
    this.words.fill(0);
    if (native.sockaddr(host, port, this.sockaddr, 0) === 0) return;
    for (const { slot: listener, originalDestination } of this.listeners.values()) {
      const slot = originalDestination ? destinations.find(listener, this.words) : -1;
      if (slot < 0) continue;
      this.askedIn[slot] = 0;
      if (destinations.users[slot] > 0) this.ask(slot);
    }
  }

  /** A connection has waited too long for an answer. */
  timer(client: number): void {
    const { connections, destinations } = this.context;
    const slot = connections.destination[client];
    const listener = this.listeners.get(destinations.listener[slot]);
    if (listener === undefined) {
      connections.abort(client, CLOSE.REFUSED);
      return;
    }
    const service = this.passthrough.open(slot, this.bytes[slot], this.address.get(slot));
    const hinted = listener.mode !== MODE.DETECT && listener.reason === HINT;
    const opaque = (this.ownOpaquePorts.get(listener.slot) ?? this.opaquePorts).has(destinations.port[slot]);
    const mode = hinted ? listener.mode : opaque ? MODE.OPAQUE : MODE.DETECT;
    destinations.setLate(slot, listener, mode, hinted ? HINT : DEFAULT_PORT, service);
    for (let waits = this.releaseWaiting(slot); waits > 0; waits--) this.context.limited(LIMIT_RESOLVE);
  }

  /** Drops destinations that were unused for long. Returns the time of the next sweep. */
  sweep(): number {
    const { destinations, reactor } = this.context;
    const before = reactor.clock() - this.idleMs;
    for (;;) {
      const slot = destinations.oldestIdle();
      if (slot < 0) return Number.POSITIVE_INFINITY;
      if (destinations.lastUsed[slot] > before) return destinations.lastUsed[slot] + this.idleMs;
      this.evict(slot);
    }
  }

  private openOriginal(client: number): void {
    const { connections, sockets, native, destinations, reactor, values } = this.context;
    const listener = connections.listener[client];
    const fd = sockets.fd[client];
    this.words.fill(0);
    const length = native.originalSockaddr(fd, this.sockaddr, 0);
    // On a mesh listener a client names its destination inside TLS, or is refused. A client that connected to this port itself looks as if
    // it was not redirected, although a rule for all ports did redirect it.
    const mesh = this.listeners.get(listener)?.mesh === true;
    if (length === 0 && mesh) {
      this.opened(client);
      return;
    }
    if (length === 0) {
      values[W.DESTINATIONS_MISSING]++;
      this.refuse(client, '', 'it was not redirected here, so it has no original destination');
      return;
    }
    const port = (this.sockaddr[2] << 8) | this.sockaddr[3];
    if (this.own.hasPort(port)) {
      const address = native.originalDestination(fd);
      if (this.own.includes(address, reactor.clock())) {
        if (mesh) {
          this.opened(client);
          return;
        }
        values[W.DESTINATION_LOOPS]++;
        this.refuse(client, address, 'its original destination is a listener of this proxy, which would be a loop');
        return;
      }
    }
    let slot = destinations.find(listener, this.words);
    if (slot < 0) slot = this.add(native.originalDestination(fd), listener, port, length);
    if (slot < 0) {
      this.context.limited(LIMIT_DESTINATIONS);
      this.context.refusals.note(REFUSED.DESTINATIONS, client, -1, -1);
      connections.abort(client, CLOSE.LIMIT);
      return;
    }
    this.go(client, slot);
  }

  /** Sends `client` to the original destination `slot`, once it is resolved. */
  private go(client: number, slot: number): void {
    const { connections, sockets, destinations, reactor } = this.context;
    destinations.use(slot);
    connections.destination[client] = slot;
    if (this.askedIn[slot] !== this.epoch) this.ask(slot);
    if (destinations.state[slot] !== DESTINATION.ASKED) {
      this.opened(client);
      return;
    }
    sockets.kind[client] = SOCKET_KIND.ROUTE;
    destinations.wait(slot, client);
    this.context.wheel.schedule(client, reactor.clock() + this.resolveTimeoutMs);
  }

  /** A slot for a new address, if necessary that of an unused one; -1 if all are in use. */
  private add(address: string, listener: number, port: number, length: number): number {
    const { destinations, reactor, values } = this.context;
    let slot = destinations.add(listener, this.words, port, reactor.clock());
    if (slot < 0 && destinations.oldestIdle() >= 0) {
      this.evict(destinations.oldestIdle());
      slot = destinations.add(listener, this.words, port, reactor.clock());
    }
    if (slot < 0) return slot;
    this.address.set(slot, address);
    this.bytes[slot] = this.sockaddr.slice(0, length);
    // No epoch: the first connection asks.
    this.askedIn[slot] = 0;
    values[W.DESTINATIONS] = destinations.count;
    return slot;
  }

  private evict(slot: number): void {
    const { destinations, values } = this.context;
    const { host, port } = splitAddress(this.address.get(slot));
    this.send({ kind: 'forgotten', listener: destinations.listener[slot], host, port });
    this.question[slot] = 0;
    this.passthrough.close(slot);
    destinations.remove(slot);
    values[W.DESTINATIONS_EVICTED]++;
    values[W.DESTINATIONS] = destinations.count;
  }

  private ask(slot: number): void {
    const { destinations, values } = this.context;
    const id = ++this.questions * DESTINATION_SLOTS + slot;
    this.question[slot] = id;
    this.askedIn[slot] = this.epoch;
    destinations.state[slot] = DESTINATION.ASKED;
    values[W.DESTINATIONS_ASKED]++;
    const { host, port } = splitAddress(this.address.get(slot));
    this.send({ kind: 'resolve', id, listener: destinations.listener[slot], host, port });
  }

  /** The destination is resolved: waiting clients continue. Returns their number. */
  private releaseWaiting(slot: number): number {
    const { destinations, sockets, wheel } = this.context;
    let count = 0;
    for (let client = destinations.firstWaiting(slot); client >= 0; client = destinations.firstWaiting(slot)) {
      destinations.unwait(slot, client);
      wheel.cancel(client);
      sockets.kind[client] = SOCKET_KIND.DETECT;
      count++;
      this.opened(client);
    }
    return count;
  }

  private refuse(client: number, destination: string, why: string): void {
    const { connections, reactor } = this.context;
    const now = reactor.clock();
    connections.abort(client, CLOSE.REFUSED);
    if (now < this.loggedAt + LOG_MS) {
      this.unlogged++;
      return;
    }
    const fields: Record<string, string | number> = {
      listener: this.listeners.get(connections.listener[client])?.name ?? '',
    };
    if (destination !== '') fields.destination = destination;
    if (this.unlogged > 0) fields.alsoRefused = this.unlogged;
    this.send({ kind: 'log', level: 'warn', message: `refused a connection: ${why}`, fields });
    this.loggedAt = now;
    this.unlogged = 0;
  }
}
