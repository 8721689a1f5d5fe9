// HTTP/2 connections to endpoints: as few as possible, each with as many streams as it may have. Another one is dialled when they are full,
// and old ones are replaced. Requests are queued for a connection being established.
import { column } from '../../http/columns.js';
import { CONNECTION_STATE, type Connection } from '../../http2/connection.js';
import { MAX_STREAM_ID } from '../../http2/frame.js';
import { PagedArray } from '../../io/paged-array.js';
import { E } from '../../metrics/layout.js';
import { ENDPOINT_SLOTS } from '../capacity.js';
import type { Context } from '../context.js';
import { type Exchanges, LEG } from '../exchange/exchange.js';
import type { ExchangeSlot } from '../slots.js';

/** Share of the age limit: connections established together should not be replaced together. */
const AGE_JITTER = 0.2;
const NO_CONNECTIONS: readonly Connection[] = [];

export class Http2Pool {
  /** Only endpoints that have ever had a connection have their own list. */
  private readonly connections = new PagedArray<readonly Connection[]>(ENDPOINT_SLOTS, NO_CONNECTIONS);
  /** The values that the endpoint's gauges were last set to; several endpoints may share the gauges. */
  private readonly shownConnections = column(Int32Array, ENDPOINT_SLOTS);
  private readonly shownCapacity = column(Int32Array, ENDPOINT_SLOTS);
  /** First and last exchange queued for an endpoint, plus 1; 0 for none. */
  private readonly head = column(Int32Array, ENDPOINT_SLOTS);
  private readonly tail = column(Int32Array, ENDPOINT_SLOTS);

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly dial: (endpoint: number) => number,
  ) {}

  /** A connection of `endpoint` that can take a stream now, or null. */
  ready(endpoint: number): Connection | null {
    const list = this.connections.get(endpoint);
    for (let i = 0; i < list.length; i++) if (this.open(list[i]) > 0) return list[i];
    return null;
  }

  /** How many streams a connection could take now. */
  open(connection: Connection): number {
    if (
      !connection.settingsSeen ||
      connection.state !== CONNECTION_STATE.OPEN ||
      connection.congested ||
      connection.overBuffered
    )
      return 0;
    if (connection.nextId >= MAX_STREAM_ID - 2) return 0;
    return this.capacity(connection) - connection.active;
  }

  /** How many streams a connection may have. */
  capacity(connection: Connection): number {
    const { services, endpoints, connections } = this.context;
    const service = endpoints.service[connections.endpoint[connection.socket]];
    const own = service < 0 ? 0 : services.poolMaxStreams[service];
    return Math.min(own, connection.peerStreams);
  }

  /** Queues an exchange for `endpoint`, and dials if no dial is in progress. Returns 0, or a DIAL code if there is no hope. */
  enqueue(x: ExchangeSlot, endpoint: number): number {
    const { exchanges } = this;
    const tail = this.tail[endpoint];
    exchanges.kind[x] = LEG.PENDING;
    exchanges.endpoint[x] = endpoint;
    exchanges.pendingNext[x] = 0;
    exchanges.pendingPrev[x] = tail;
    exchanges.pendingSince[x] = this.context.reactor.now;
    if (tail === 0) this.head[endpoint] = x + 1;
    else exchanges.pendingNext[tail - 1] = x + 1;
    this.tail[endpoint] = x + 1;
    const result = this.ensure(endpoint);
    if (result < 0 && this.connections.get(endpoint).length === 0) {
      this.dequeue(x);
      return result;
    }
    return 0;
  }

  /** Removes it from the queue. */
  dequeue(x: ExchangeSlot): void {
    const { exchanges } = this;
    if (exchanges.kind[x] !== LEG.PENDING) return;
    exchanges.kind[x] = LEG.NONE;
    const endpoint = exchanges.endpoint[x];
    const next = exchanges.pendingNext[x];
    const prev = exchanges.pendingPrev[x];
    if (next !== 0) exchanges.pendingPrev[next - 1] = prev;
    else this.tail[endpoint] = prev;
    if (prev !== 0) exchanges.pendingNext[prev - 1] = next;
    else this.head[endpoint] = next;
  }

  /** The first in the queue for `endpoint`, or -1. */
  first(endpoint: number): ExchangeSlot | -1 {
    return (this.head[endpoint] - 1) as ExchangeSlot | -1;
  }

  /** The last in the queue for `endpoint`, or -1. */
  last(endpoint: number): ExchangeSlot | -1 {
    return (this.tail[endpoint] - 1) as ExchangeSlot | -1;
  }

  /** Dials one more connection unless a dial is in progress or there are enough. Returns 0 or the DIAL code. */
  ensure(endpoint: number): number {
    const { services, endpoints } = this.context;
    const list = this.connections.get(endpoint);
    const service = endpoints.service[endpoint];
    for (let i = 0; i < list.length; i++)
      if (!list[i].settingsSeen && list[i].state === CONNECTION_STATE.OPEN) return 0;
    if (service >= 0 && this.taking(endpoint) >= services.http2Connections[service]) return 0;
    return Math.min(0, this.dial(endpoint));
  }

  add(endpoint: number, connection: Connection): void {
    this.connections.set(endpoint, [...this.connections.get(endpoint), connection]);
    this.gauge(endpoint);
  }

  remove(endpoint: number, connection: Connection): void {
    const others = this.connections.get(endpoint).filter((other) => other !== connection);
    this.connections.set(endpoint, others);
    this.gauge(endpoint);
  }

  of(endpoint: number): readonly Connection[] {
    return this.connections.get(endpoint);
  }

  /** Whether an idle connection is one of the spares to keep. */
  isSpare(connection: Connection): boolean {
    const { services, endpoints, connections, draining } = this.context;
    const endpoint = connections.endpoint[connection.socket];
    const service = endpoints.service[endpoint];
    if (service < 0 || draining) return false;
    let before = 0;
    for (const other of this.connections.get(endpoint)) {
      if (other === connection) break;
      if (other.state === CONNECTION_STATE.OPEN && other.active === 0) before++;
    }
    return before < services.poolSpares[service];
  }

  /** Whether a connection to `endpoint` is being established. */
  dialing(endpoint: number): boolean {
    return this.connections.get(endpoint).some((other) => !other.settingsSeen && other.state === CONNECTION_STATE.OPEN);
  }

  /** Keeps up the number of spare connections, dialled ahead of need, after each change. */
  spare(endpoint: number): void {
    const { services, endpoints, draining } = this.context;
    const service = endpoints.service[endpoint];
    if (service < 0 || draining || services.poolSpares[service] === 0) return;
    let idle = 0;
    const list = this.connections.get(endpoint);
    for (const connection of list) if (connection.state === CONNECTION_STATE.OPEN && connection.active === 0) idle++;
    if (idle < services.poolSpares[service]) this.ensure(endpoint);
  }

  /** When a connection is to be replaced, ms; Infinity for never. */
  expires(connection: Connection): number {
    const { services, endpoints, connections } = this.context;
    const service = endpoints.service[connections.endpoint[connection.socket]];
    const age = service < 0 ? 0 : services.poolMaxAgeMs[service];
    if (age === 0) return Number.POSITIVE_INFINITY;
    // Spread by slot, so that the result is the same each time for a connection.
    const spread = ((Math.imul(connection.socket + 1, 0x9e3779b1) >>> 16) & 0xff) / 255;
    return connection.since + age * (1 - AGE_JITTER * spread);
  }

  /** Updates the gauges of the endpoint's pool. */
  gauge(endpoint: number): void {
    const { values } = this.context;
    const base = this.context.endpoints.base[endpoint];
    let capacity = 0;
    const list = this.connections.get(endpoint);
    for (let i = 0; i < list.length; i++) {
      if (list[i].settingsSeen && list[i].state === CONNECTION_STATE.OPEN) capacity += this.capacity(list[i]);
    }
    values[base + E.H2_CONNECTIONS] += list.length - this.shownConnections[endpoint];
    values[base + E.H2_STREAM_CAPACITY] += capacity - this.shownCapacity[endpoint];
    this.shownConnections[endpoint] = list.length;
    this.shownCapacity[endpoint] = capacity;
  }

  /** Connections that take streams, or will; of those blocked by slow readers, every second one counts. */
  private taking(endpoint: number): number {
    let count = 0;
    let overBuffered = 0;
    const list = this.connections.get(endpoint);
    for (let i = 0; i < list.length; i++) {
      if (list[i].state !== CONNECTION_STATE.OPEN) continue;
      if (list[i].overBuffered) overBuffered++;
      else count++;
    }
    return count + (overBuffered >> 1);
  }
}
