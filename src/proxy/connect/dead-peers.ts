// Detects dead peers: data was sent, and nothing is acknowledged. The kernel's TCP_USER_TIMEOUT would take a reader that pauses for dead,
// because it counts the time of a closed window too. Here a peer that answers window probes is alive, however long it reads nothing.
import { column } from '../../http/columns.js';
import { ERRNO } from '../../io/abi.js';
import { FREE, SOCKET } from '../../io/sockets.js';
import { LIMITS } from '../../metrics/layout.js';
import type { Context } from '../context.js';

/**
 * Maximum number of sockets to query at a time. A query is a system call; a thousand readers that stall together would otherwise be queried
 * together, which takes a millisecond. This fraction of all, or this number.
 */
const QUERIES_SHIFT = 4;
const MIN_QUERIES = 64;
/** How often to query a socket within its timeout, if there is time. */
const QUERIES_PER_TIMEOUT = 4;
const LIMIT_USER_TIMEOUT = LIMITS.indexOf('user-timeout');

export class DeadPeers {
  /** Since when nothing has been acknowledged although data was sent, ms; 0: not observed. */
  private readonly since: Float64Array;
  /** When to query next, ms. */
  private readonly next: Float64Array;
  /** The slot's generation at the last query: another one means another socket. */
  private readonly queried: Uint16Array;
  private cursor = 0;

  constructor(
    private readonly context: Context,
    private readonly failed: (slot: number, errno: number) => void,
  ) {
    this.since = column(Float64Array, context.sockets.capacity);
    this.next = column(Float64Array, context.sockets.capacity);
    this.queried = column(Uint16Array, context.sockets.capacity);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.since, this.next, this.queried];
  }

  /** Checks the sockets that data was sent to. Called now and then. Returns the latest time for the next call. */
  check(now: number): number {
    const { sockets } = this.context;
    const { unacknowledged } = sockets;
    const n = sockets.used;
    const most = Math.max(MIN_QUERIES, n >> QUERIES_SHIFT);
    let asked = 0;
    let again = Number.POSITIVE_INFINITY;
    for (let i = 0; i < n; i++) {
      if (asked === most) return now;
      if (this.cursor >= n) this.cursor = 0;
      const slot = this.cursor++;
      if (unacknowledged[slot] === 0) continue;
      if (now >= this.next[slot] && this.query(slot, now)) asked++;
      if (unacknowledged[slot] !== 0) again = Math.min(again, this.next[slot]);
    }
    return again;
  }

  /** False if there was nothing to query. */
  private query(slot: number, now: number): boolean {
    const { sockets, native } = this.context;
    const timeout = this.timeout(slot);
    if (timeout === 0 || sockets.kind[slot] === FREE || (sockets.flags[slot] & SOCKET.CLOSED) !== 0) {
      sockets.unacknowledged[slot] = 0;
      this.clear(slot);
      return false;
    }
    this.next[slot] = now + timeout / QUERIES_PER_TIMEOUT;
    if (this.queried[slot] !== sockets.generation[slot]) {
      this.queried[slot] = sockets.generation[slot];
      this.clear(slot);
    }
    const silent = native.unanswered(sockets.fd[slot]);
    if (silent < 0) {
      this.clear(slot);
      // With a closed window, something waits that the kernel will probe for.
      if (silent === ALL_ACKNOWLEDGED && (sockets.flags[slot] & SOCKET.SENDING) === 0) sockets.unacknowledged[slot] = 0;
      return true;
    }
    // Earlier contact does not count: it may have been long before anything was sent.
    if (this.since[slot] === 0) this.since[slot] = now;
    else this.since[slot] = Math.max(this.since[slot], now - silent);
    if (now - this.since[slot] < timeout) return true;
    this.since[slot] = 0;
    this.context.limited(LIMIT_USER_TIMEOUT);
    // The kernel would keep trying for a quarter of an hour.
    sockets.resetOnClose(slot);
    this.failed(slot, ERRNO.ETIMEDOUT);
    return true;
  }

  /**
   * The data was acknowledged, or the socket is another one. Only written if necessary: writing takes memory, and most sockets are never
   * silent.
   */
  private clear(slot: number): void {
    if (this.since[slot] !== 0) this.since[slot] = 0;
  }

  /** How long the peer of a socket may be silent, ms; 0: no limit. */
  private timeout(slot: number): number {
    const { connections, services, endpoints, userTimeoutMs } = this.context;
    const listener = connections.listener[slot];
    if (listener >= 0) return userTimeoutMs[listener];
    const service = endpoints.service[connections.endpoint[slot]];
    return service < 0 ? 0 : services.userTimeoutMs[service];
  }
}

/** `Native.unanswered` for a peer that has acknowledged everything. */
const ALL_ACKNOWLEDGED = -1;
