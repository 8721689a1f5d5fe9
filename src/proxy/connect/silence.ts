// Peers that are gone: something was sent, and nothing is acknowledged. The kernel's own TCP_USER_TIMEOUT takes a reader that pauses for one
// that is gone, as it counts the time of a closed window too. Here a peer that answers window probes lives, for however long it reads nothing.
import { ERRNO } from '../../io/abi.js';
import { FREE, SOCKET } from '../../io/sockets.js';
import { LIMITS } from '../../metrics/layout.js';
import type { Context } from '../context.js';

/**
 * Sockets asked about at a time, at most: asking is a system call, and a thousand readers that stall at once would be asked about at once, which
 * takes a millisecond. This part of all, or so many.
 */
const PART_SHIFT = 4;
const FEW = 64;
/** A socket is asked about so many times within its timeout, if there is time for that. */
const LOOKS = 4;
const LIMIT_USER_TIMEOUT = LIMITS.indexOf('user-timeout');

export class SilentPeers {
  /** Since when nothing has been acknowledged although something was sent, ms; 0: not seen so yet. */
  private readonly since: Float64Array;
  /** When to ask next, ms. */
  private readonly next: Float64Array;
  /** The slot's generation when it was asked about: another one is another socket. */
  private readonly asked: Uint16Array;
  private cursor = 0;

  constructor(
    private readonly context: Context,
    private readonly failed: (slot: number, errno: number) => void,
  ) {
    this.since = new Float64Array(context.sockets.capacity);
    this.next = new Float64Array(context.sockets.capacity);
    this.asked = new Uint16Array(context.sockets.capacity);
  }

  /** Looks at the sockets to which something was sent. Called every now and then. Returns when to look again, at the latest. */
  look(now: number): number {
    const { sockets } = this.context;
    const { owes } = sockets;
    const n = sockets.used;
    const most = Math.max(FEW, n >> PART_SHIFT);
    let asked = 0;
    let again = Number.POSITIVE_INFINITY;
    for (let i = 0; i < n; i++) {
      if (asked === most) return now;
      if (this.cursor >= n) this.cursor = 0;
      const slot = this.cursor++;
      if (owes[slot] === 0) continue;
      if (now >= this.next[slot] && this.ask(slot, now)) asked++;
      if (owes[slot] !== 0) again = Math.min(again, this.next[slot]);
    }
    return again;
  }

  /** False if there was nothing to ask. */
  private ask(slot: number, now: number): boolean {
    const { sockets, native } = this.context;
    const timeout = this.timeout(slot);
    if (timeout === 0 || sockets.kind[slot] === FREE || (sockets.flags[slot] & SOCKET.CLOSED) !== 0) {
      sockets.owes[slot] = 0;
      this.heard(slot);
      return false;
    }
    this.next[slot] = now + timeout / LOOKS;
    if (this.asked[slot] !== sockets.generation[slot]) {
      this.asked[slot] = sockets.generation[slot];
      this.heard(slot);
    }
    const silent = native.unanswered(sockets.fd[slot]);
    if (silent < 0) {
      this.heard(slot);
      // Behind a closed window something waits that will be probed for.
      if (silent === NOTHING && (sockets.flags[slot] & SOCKET.SENDING) === 0) sockets.owes[slot] = 0;
      return true;
    }
    // What was heard before counts for nothing: it may have been long before anything was sent.
    if (this.since[slot] === 0) this.since[slot] = now;
    else this.since[slot] = Math.max(this.since[slot], now - silent);
    if (now - this.since[slot] < timeout) return true;
    this.since[slot] = 0;
    this.context.limited(LIMIT_USER_TIMEOUT);
    // The kernel would go on trying for a quarter of an hour.
    sockets.resetOnClose(slot);
    this.failed(slot, ERRNO.ETIMEDOUT);
    return true;
  }

  /** What was sent to it is answered, or to another socket. Memory is paid for where it is written only, and most never keep silent. */
  private heard(slot: number): void {
    if (this.since[slot] !== 0) this.since[slot] = 0;
  }

  /** How long the peer of a socket may be silent, ms; 0: for ever. */
  private timeout(slot: number): number {
    const { connections, services, endpoints, userTimeoutMs } = this.context;
    const listener = connections.listener[slot];
    if (listener >= 0) return userTimeoutMs[listener];
    const service = endpoints.service[connections.endpoint[slot]];
    return service < 0 ? 0 : services.userTimeoutMs[service];
  }
}

/** What `Native.unanswered` says of a peer that has had everything. */
const NOTHING = -1;
