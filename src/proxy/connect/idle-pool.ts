// Idle HTTP/1 connections to endpoints, last in, first out, so that surplus ones age out.
import { column } from '../../http/columns.js';
import { E } from '../../metrics/layout.js';
import { ENDPOINT_SLOTS } from '../capacity.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';
import { CLOSE } from './connections.js';

export class IdlePool {
  /** The most recently added connection of an endpoint, plus 1; 0 for none. */
  private readonly head = column(Int32Array, ENDPOINT_SLOTS);
  /** Number per endpoint; several endpoints may share a gauge. */
  private readonly count = column(Int32Array, ENDPOINT_SLOTS);
  /** Links of that list, also plus 1. */
  private readonly next: Int32Array;
  private readonly prev: Int32Array;
  /** 1: the socket is in the pool. */
  private readonly pooled: Uint8Array;

  constructor(private readonly context: Context) {
    const n = context.sockets.capacity;
    this.next = column(Int32Array, n);
    this.prev = column(Int32Array, n);
    this.pooled = column(Uint8Array, n);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.next, this.prev, this.pooled];
  }

  /** Takes an idle connection of `endpoint` out of the pool; -1 for none. */
  take(endpoint: number): SocketSlot | -1 {
    const socket = (this.head[endpoint] - 1) as SocketSlot | -1;
    if (socket >= 0) this.unlink(socket as SocketSlot);
    return socket;
  }

  /** Puts a reusable connection into the pool, or closes it if the pool is full. */
  release(socket: SocketSlot): void {
    const { connections, services, endpoints, wheel, reactor } = this.context;
    const endpoint = connections.endpoint[socket];
    const service = endpoints.service[endpoint];
    if (this.full(endpoint) || !connections.isCurrent(socket)) {
      connections.close(socket, CLOSE.OK);
      return;
    }
    const head = this.head[endpoint];
    this.next[socket] = head;
    this.prev[socket] = 0;
    if (head !== 0) this.prev[head - 1] = socket + 1;
    this.head[endpoint] = socket + 1;
    this.joined(socket, endpoint);
    connections.active[socket] = reactor.now;
    const idle = services.poolIdleMs[service];
    if (idle > 0) wheel.pull(socket, reactor.now + idle);
  }

  /** Puts a connection that is still being established into the pool, behind the established ones; or closes it. Cold path. */
  await(socket: SocketSlot): void {
    const { connections } = this.context;
    const endpoint = connections.endpoint[socket];
    if (this.full(endpoint) || !connections.isCurrent(socket)) {
      connections.close(socket, CLOSE.OK);
      return;
    }
    let last = this.head[endpoint];
    while (last !== 0 && this.next[last - 1] !== 0) last = this.next[last - 1];
    this.next[socket] = 0;
    this.prev[socket] = last;
    if (last === 0) this.head[endpoint] = socket + 1;
    else this.next[last - 1] = socket + 1;
    this.joined(socket, endpoint);
  }

  /** Whether a connection is in the pool. */
  holds(socket: SocketSlot): boolean {
    return this.pooled[socket] === 1;
  }

  /** Takes a connection out of the pool, e.g. because its endpoint closed it. */
  remove(socket: SocketSlot): void {
    if (this.pooled[socket] === 1) this.unlink(socket);
  }

  /** The timer of an idle connection: closes it if it has been idle long enough. */
  timer(socket: SocketSlot): void {
    const { connections, services, endpoints, wheel, reactor } = this.context;
    const service = endpoints.service[connections.endpoint[socket]];
    const due = service < 0 ? 0 : connections.active[socket] + services.poolIdleMs[service];
    if (reactor.now >= due) {
      this.remove(socket);
      connections.close(socket, CLOSE.OK);
    } else wheel.schedule(socket, due);
  }

  /** Closes every idle connection of `endpoint`, and keeps its busy and unfinished ones from joining the pool. */
  retire(endpoint: number): void {
    this.context.connections.advanceEpoch(endpoint);
    this.closeOf(endpoint);
  }

  /** Closes every idle connection of `endpoint`. */
  closeOf(endpoint: number): void {
    for (let socket = this.take(endpoint); socket >= 0; socket = this.take(endpoint)) {
      this.context.connections.close(socket as SocketSlot, CLOSE.OK);
    }
  }

  /** Closes all idle connections. */
  closeAll(): void {
    for (let endpoint = 0; endpoint < ENDPOINT_SLOTS; endpoint++) this.closeOf(endpoint);
  }

  /** Whether the pool for `endpoint` is full. */
  private full(endpoint: number): boolean {
    const { services, endpoints, draining } = this.context;
    const service = endpoints.service[endpoint];
    return service < 0 || draining || this.count[endpoint] >= services.maxIdle[service];
  }

  private joined(socket: SocketSlot, endpoint: number): void {
    const { values, endpoints } = this.context;
    this.pooled[socket] = 1;
    this.count[endpoint]++;
    values[endpoints.base[endpoint] + E.POOL_IDLE]++;
  }

  private unlink(socket: SocketSlot): void {
    const { connections, values, endpoints } = this.context;
    const endpoint = connections.endpoint[socket];
    const next = this.next[socket];
    const prev = this.prev[socket];
    if (next !== 0) this.prev[next - 1] = prev;
    if (prev !== 0) this.next[prev - 1] = next;
    else this.head[endpoint] = next;
    this.pooled[socket] = 0;
    this.count[endpoint]--;
    values[endpoints.base[endpoint] + E.POOL_IDLE]--;
  }
}
