// Connections to endpoints: dialling, and the pool of idle HTTP connections (last in, first out, so that surplus ones age out).
import { ERRNO } from '../../io/abi.js';
import { E, ENDPOINT_HISTOGRAMS, endpointHistogram, LIMITS } from '../../metrics/layout.js';
import { ENDPOINT_SLOTS } from '../capacity.js';
import type { Context } from '../context.js';
import { CLOSE, KIND } from './connections.js';

const NONE = -1;
const LIMIT_POOL = LIMITS.indexOf('pool-connections');
const LIMIT_FILES = LIMITS.indexOf('file-descriptors');
const LIMIT_CONNECT = LIMITS.indexOf('connect-time');
const CONNECT_US = ENDPOINT_HISTOGRAMS.indexOf('connect_us');

/** Why `dial` gave no connection. */
export const DIAL = {
  /** The endpoint has as many connections as it may. */
  LIMIT: -1,
  /** No file descriptor or slot is left, or the address family is not to be had. */
  FAILED: -2,
} as const;

export class Upstreams {
  private readonly idleHead = new Int32Array(ENDPOINT_SLOTS).fill(NONE);
  /** Idle connections of each endpoint. The gauge may be that of many endpoints together. */
  private readonly idleCount = new Int32Array(ENDPOINT_SLOTS);
  private readonly next: Int32Array;
  private readonly prev: Int32Array;
  /** Of a slot: it lies idle in its endpoint's pool. */
  private readonly pooled: Uint8Array;

  constructor(private readonly context: Context) {
    const n = context.sockets.capacity;
    this.next = new Int32Array(n);
    this.prev = new Int32Array(n);
    this.pooled = new Uint8Array(n);
  }

  /** Starts connecting to `endpoint`; a slot, or a DIAL code. The handler of `kind` hears of the outcome. */
  dial(endpoint: number, kind: number): number {
    const context = this.context;
    const { endpoints, services, connections, balancer } = context;
    const service = endpoints.service[endpoint];
    if (service < 0) return DIAL.FAILED;
    if (balancer.connections(endpoint) >= services.maxConnections[service]) {
      context.limited(LIMIT_POOL);
      return DIAL.LIMIT;
    }
    const family = endpoints.family[endpoint] === 6 ? 6 : 4;
    const fd = context.native.socket(family, services.keepAliveMs[service], services.userTimeoutMs[service]);
    if (fd < 0) {
      if (fd === -ERRNO.EMFILE || fd === -ERRNO.ENFILE) context.limited(LIMIT_FILES);
      return DIAL.FAILED;
    }
    const slot = connections.openUpstream(fd, endpoint, kind);
    if (slot < 0) {
      context.native.close(fd);
      return DIAL.FAILED;
    }
    this.pooled[slot] = 0;
    balancer.opened(endpoint);
    context.sockets.connect(slot, endpoints.addressAt[endpoint], endpoints.addressLength[endpoint]);
    const timeout = services.connectTimeoutMs[service];
    if (timeout > 0) context.wheel.pull(slot, context.reactor.now + timeout);
    return slot;
  }

  /** Tells the balancer how the dial ended. Returns true if the connection stands. */
  connected(slot: number, result: number): boolean {
    const { connections, balancer, reactor, metrics, values } = this.context;
    const endpoint = connections.endpoint[slot];
    const elapsed = reactor.now - connections.opened[slot];
    if (result < 0) {
      values[this.context.endpoints.base[endpoint] + E.CONNECT_FAILURES]++;
      balancer.connectFailed(endpoint, reactor.ms);
      return false;
    }
    balancer.connected(endpoint, reactor.ms, elapsed);
    metrics.record(endpointHistogram(this.context.endpoints.series[endpoint], CONNECT_US), elapsed * 1000);
    return true;
  }

  /** A connection stood, and its endpoint did not speak what it is said to speak: as good as none. */
  unusable(endpoint: number): void {
    const { balancer, reactor, values } = this.context;
    values[this.context.endpoints.base[endpoint] + E.CONNECT_FAILURES]++;
    balancer.connectFailed(endpoint, reactor.ms);
  }

  /** The connect timeout has passed: counts it as a failed dial. */
  connectTimedOut(slot: number): void {
    const { connections, balancer, reactor, values } = this.context;
    const endpoint = connections.endpoint[slot];
    values[this.context.endpoints.base[endpoint] + E.CONNECT_FAILURES]++;
    this.context.limited(LIMIT_CONNECT);
    balancer.connectFailed(endpoint, reactor.ms);
  }

  /** When the dial of `slot` times out, ms; Infinity for never. */
  connectDeadline(slot: number): number {
    const { connections, services, endpoints } = this.context;
    const service = endpoints.service[connections.endpoint[slot]];
    const timeout = service < 0 ? 1 : services.connectTimeoutMs[service];
    return timeout > 0 ? connections.opened[slot] + timeout : Number.POSITIVE_INFINITY;
  }

  /** An idle connection of `endpoint`, no longer in the pool, or -1. */
  takeIdle(endpoint: number): number {
    const slot = this.idleHead[endpoint];
    if (slot === NONE) return NONE;
    this.unlink(slot);
    return slot;
  }

  /** Puts a connection that is ready for another request into the pool, or closes it if the pool has enough. */
  release(slot: number): void {
    const { connections, services, endpoints, values, wheel, reactor, draining } = this.context;
    const endpoint = connections.endpoint[slot];
    const service = endpoints.service[endpoint];
    const base = this.context.endpoints.base[endpoint];
    if (service < 0 || draining || this.idleCount[endpoint] >= services.maxIdle[service]) {
      connections.close(slot, CLOSE.OK);
      return;
    }
    const head = this.idleHead[endpoint];
    this.next[slot] = head;
    this.prev[slot] = NONE;
    if (head !== NONE) this.prev[head] = slot;
    this.idleHead[endpoint] = slot;
    this.pooled[slot] = 1;
    this.idleCount[endpoint]++;
    values[base + E.POOL_IDLE]++;
    connections.active[slot] = reactor.now;
    const idle = services.poolIdleMs[service];
    if (idle > 0) wheel.pull(slot, reactor.now + idle);
  }

  idle(slot: number): boolean {
    return this.pooled[slot] === 1;
  }

  /** Takes a connection out of the pool, e.g. because its endpoint closed it. */
  remove(slot: number): void {
    if (this.pooled[slot] === 1) this.unlink(slot);
  }

  /** The timer of an idle connection: closes it if it has been idle long enough. */
  idleTimer(slot: number): void {
    const { connections, services, endpoints, wheel, reactor } = this.context;
    const service = endpoints.service[connections.endpoint[slot]];
    const due = service < 0 ? 0 : connections.active[slot] + services.poolIdleMs[service];
    if (reactor.now >= due) {
      this.remove(slot);
      connections.close(slot, CLOSE.OK);
    } else wheel.schedule(slot, due);
  }

  /** Closes every idle connection of `endpoint`. */
  closeIdle(endpoint: number): void {
    for (let slot = this.takeIdle(endpoint); slot >= 0; slot = this.takeIdle(endpoint)) {
      this.context.connections.close(slot, CLOSE.OK);
    }
  }

  closeAllIdle(): void {
    for (let endpoint = 0; endpoint < ENDPOINT_SLOTS; endpoint++) this.closeIdle(endpoint);
  }

  /** A dialled connection that turned out to be wanted for HTTP: from here on HTTP/1 handles it. */
  convertToHttp(slot: number): void {
    this.context.sockets.kind[slot] = KIND.HTTP1_UPSTREAM;
  }

  private unlink(slot: number): void {
    const endpoint = this.context.connections.endpoint[slot];
    const next = this.next[slot];
    const prev = this.prev[slot];
    if (next !== NONE) this.prev[next] = prev;
    if (prev !== NONE) this.next[prev] = next;
    else this.idleHead[endpoint] = next;
    this.pooled[slot] = 0;
    this.idleCount[endpoint]--;
    this.context.values[this.context.endpoints.base[endpoint] + E.POOL_IDLE]--;
  }
}
