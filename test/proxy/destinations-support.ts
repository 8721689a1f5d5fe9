// A router and what it reaches for, as the tests of destinations need them.
import assert from 'node:assert/strict';
import { ADDRESS_WORDS } from '../../src/detect/server-first-table.js';
import { LIMITS, W } from '../../src/metrics/layout.js';
import { Destinations } from '../../src/proxy/accept/destinations.js';
import { OwnAddresses } from '../../src/proxy/accept/own-addresses.js';
import { Router } from '../../src/proxy/accept/router.js';
import { LOCAL_DESTINATIONS } from '../../src/proxy/capacity.js';
import { CLOSE, SOCKET_KIND } from '../../src/proxy/connect/connections.js';
import {
  type DestinationSnapshot,
  type FromWorker,
  type ListenerSnapshot,
  MODE,
  type Snapshot,
} from '../../src/proxy/snapshot.js';

export const SOCKETS = 2048;
/** Descriptors of clients; below are those of listeners, at their slots. */
const CLIENT_FDS = 100;
export const FIXED = 1;
export const ORIGINAL = 2;
/** Service that the fake passthrough gives destination slot 0; the next ones follow. */
export const LOCAL = 5000;

export const listener = (slot: number, more: Partial<ListenerSnapshot> = {}): ListenerSnapshot => ({
  slot,
  name: `listener${slot}`,
  mode: MODE.DETECT,
  reason: 0,
  services: [-1, -1, -1, -1],
  raceMs: 3,
  helloMs: 0,
  timeoutMs: 10_000,
  learnTtlMs: 600_000,
  originalDestination: slot === ORIGINAL,
  halfClose: false,
  via: null,
  inbound: true,
  date: false,
  authorization: null,
  meshHeaders: false,
  proxyProtocol: null,
  tls: 0,
  mesh: false,
  userTimeoutMs: 0,
  connectTimeoutMs: 1000,
  opaquePorts: null,
  fd: slot,
  ...more,
});

export const answer = (
  services: readonly number[] | null,
  more: Partial<DestinationSnapshot> = {},
): DestinationSnapshot => ({
  mode: MODE.DETECT,
  reason: 0,
  services,
  raceMs: 50,
  timeoutMs: 1000,
  learnTtlMs: 1000,
  ...more,
});

/** A worker around a router, with a clock that is set by hand and a main thread that is asked and answers by hand. */
export class Fake {
  now = 1000;
  readonly asked: Extract<FromWorker, { kind: 'resolve' }>[] = [];
  readonly logged: Extract<FromWorker, { kind: 'log' }>[] = [];
  readonly forgotten: string[] = [];
  /** Clients whose destination is known, in that order. */
  readonly routed: number[] = [];
  /** Clients refused, with the CLOSE they were refused for. */
  readonly refused = new Map<number, number>();
  readonly deadlines = new Map<number, number>();
  readonly limits: string[] = [];
  readonly closedServices: number[] = [];
  readonly values = new Float64Array(W.SIZE);
  readonly destinations = new Destinations(SOCKETS);
  readonly destination = new Int32Array(SOCKETS);
  readonly kind = new Uint8Array(SOCKETS);
  readonly router: Router;
  private readonly listener = new Int16Array(SOCKETS);
  private readonly originals = new Map<number, string>();
  private next = 0;

  constructor(
    more: Partial<Snapshot> = {},
    listeners = [listener(FIXED, { services: [7, 8, 9, 10] }), listener(ORIGINAL)],
  ) {
    const fake = this;
    const own = new OwnAddresses(() => ['10.0.0.9', 'fd00::9']);
    this.router = new Router(
      {
        connections: { listener: this.listener, destination: this.destination, abort: (c, why) => this.close(c, why) },
        sockets: { fd: Int32Array.from({ length: SOCKETS }, (_, i) => i + CLIENT_FDS), kind: this.kind },
        wheel: {
          schedule: (client, at) => this.deadlines.set(client, at),
          cancel: (client) => this.deadlines.delete(client),
        },
        reactor: { clock: () => this.now },
        native: {
          originalSockaddr: (fd, into) => sockaddr(this.originals.get(fd) ?? '', into),
          originalDestination: (fd) => this.originals.get(fd) ?? '',
          sockaddr: (host, port, into) => sockaddr(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, into),
          localName: (fd) => (this.slotOf(fd) === FIXED ? '127.0.0.1:8080' : '[::]:15001'),
        },
        values: this.values,
        get destinations() {
          return fake.destinations;
        },
        refusals: { note: () => undefined },
        limited: (limit) => this.limits.push(LIMITS[limit]),
      },
      { open: (slot) => LOCAL + slot, close: (slot) => this.closedServices.push(LOCAL + slot) },
      (client) => this.routed.push(client),
      (message) => {
        if (message.kind === 'resolve') this.asked.push(message);
        else if (message.kind === 'log') this.logged.push(message);
        else if (message.kind === 'forgotten')
          this.forgotten.push(`${message.listener} ${message.host} ${message.port}`);
        else assert.fail(message.kind);
      },
      own,
    );
    this.configure(more, listeners);
  }

  configure(more: Partial<Snapshot>, listeners: ListenerSnapshot[]): void {
    this.router.configure({
      listeners,
      resolveTimeoutMs: 500,
      opaquePorts: [5432],
      maxDestinations: LOCAL_DESTINATIONS,
      destinationIdleMs: 300_000,
      ...more,
    } as Snapshot);
  }

  /** A client on `slot` that was going to `address`; '' where it was not redirected. */
  accept(slot: number, address: string): number {
    const client = this.next++;
    this.listener[client] = slot;
    this.destination[client] = slot;
    this.kind[client] = SOCKET_KIND.DETECT;
    this.originals.set(client + CLIENT_FDS, address);
    this.router.open(client);
    return client;
  }

  private slotOf(fd: number): number {
    return fd < CLIENT_FDS ? fd : this.listener[fd - CLIENT_FDS];
  }

  close(client: number, reason: number = CLOSE.OK): void {
    if (reason !== CLOSE.OK) this.refused.set(client, reason);
    const slot = this.destination[client];
    if (this.destinations.isOriginal(slot)) this.destinations.release(slot, client, this.now);
  }

  /** Timers that are due. */
  fire(): void {
    for (const [client, at] of [...this.deadlines])
      if (at <= this.now && this.deadlines.get(client) === at) this.router.timer(client);
  }

  services(client: number): number[] {
    const at = this.destination[client] * 4;
    return [...this.destinations.service.subarray(at, at + 4)];
  }

  mode(client: number): number {
    return this.destinations.mode[this.destination[client]];
  }
}

export function sockaddr(name: string, into: Uint8Array): number {
  if (name === '') return 0;
  const colon = name.lastIndexOf(':');
  const port = Number(name.slice(colon + 1));
  into[2] = port >> 8;
  into[3] = port & 0xff;
  const host = name.slice(0, colon);
  into[0] = host.startsWith('[') ? 10 : 2;
  // What the bytes of an address are does not matter here, as long as they tell addresses apart.
  if (host.startsWith('[')) into.set(Buffer.from(host.slice(1, -1)).subarray(0, 16), 8);
  else into.set(host.split('.').map(Number), 4);
  return host.startsWith('[') ? 28 : 16;
}

export const words = (...values: number[]): Int32Array =>
  Int32Array.from({ length: ADDRESS_WORDS }, (_, i) => values[i] ?? 0);
