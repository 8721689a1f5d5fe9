// Accepting, and spreading connections over the workers. Every worker accepts on its own SO_REUSEPORT socket and keeps a
// connection unless a sibling is less loaded; then the fd, an integer, goes straight to the sibling's ring.

import { ERRNO } from '../../io/abi.js';
import { LIMITS, W } from '../../metrics/layout.js';
import { SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { BOARD, type ListenerSnapshot } from '../snapshot.js';

/** Up to this load connections are spread exactly; above, a sibling must be lighter by an eighth to be worth the trip. */
const EXACT_LOAD = 16;
/** After running out of descriptors: how long until accepting is tried again, ms. */
const RETRY_MS = 100;
/** How long handshakes that had begun before `refuse` may take to complete, ms. */
const REFUSE_MS = 100;

const LIMIT_CONNECTIONS = LIMITS.indexOf('connections');
const LIMIT_FILES = LIMITS.indexOf('file-descriptors');

const STATE = {
  ACCEPTING: 0,
  /** New handshakes are dropped; those under way may still end in the queue. */
  REFUSING: 1,
  /** The queue is being accepted to its end. */
  EMPTYING: 2,
} as const;

/** A listening socket. A listener that moves to another address has two for a while. */
interface Door {
  readonly fd: number;
  readonly listener: number;
  armed: boolean;
  state: number;
  /** Connections found since the socket was last armed. */
  found: number;
}

export class Acceptor {
  /** The index is what the ring's entries carry. */
  private readonly doors: (Door | undefined)[] = [];
  /** Sockets that still accept. */
  listening = 0;
  /** No more hand-overs: the siblings are about to leave too. */
  private leaving = false;
  private stopped = false;

  /** `opened` takes a new client over; `unlistened` hears of each listening socket whose queue is empty for good. */
  constructor(
    private readonly context: Context,
    private readonly owner: Int32Array,
    private readonly opened: (client: number) => void,
    private readonly unlistened: (fd: number) => void,
  ) {}

  /** Accepts on the sockets of these listeners and on no others. */
  configure(listeners: readonly ListenerSnapshot[]): void {
    this.doors.forEach((door, index) => {
      if (door !== undefined && !listeners.some(({ fd }) => fd === door.fd)) this.close(index);
    });
    for (const { slot, fd } of listeners) {
      if (fd < 0 || this.doors.some((door) => door?.fd === fd)) continue;
      const free = this.doors.indexOf(undefined);
      const index = free < 0 ? this.doors.length : free;
      this.doors[index] = { fd, listener: slot, armed: false, state: STATE.ACCEPTING, found: 0 };
      this.listening++;
      this.arm(index);
    }
  }

  /** Refuses new connections everywhere and accepts those that are queued; `unlistened` is called as each queue is empty. */
  leave(): void {
    const { board, workerId } = this.context;
    this.leaving = true;
    Atomics.store(board, BOARD.RING + workerId, -1);
    for (let index = 0; index < this.doors.length; index++) this.close(index);
  }

  /** The ring is about to go: nothing is armed any more. */
  stop(): void {
    this.stopped = true;
  }

  accepted(index: number, result: number, more: boolean): void {
    const door = this.doors[index];
    if (door === undefined) return;
    if (!more) door.armed = false;
    if (result >= 0) {
      door.found++;
      this.context.values[W.ACCEPTED]++;
      this.place(door.listener, result);
    } else if (result !== -ERRNO.ECANCELED && result !== -ERRNO.ECONNABORTED && result !== -ERRNO.EINTR) {
      this.context.values[W.ACCEPT_ERRORS]++;
      if (result === -ERRNO.EMFILE || result === -ERRNO.ENFILE) this.context.limited(LIMIT_FILES);
      // Not at once: whatever it is, it may last.
      if (!more) this.later(RETRY_MS, index);
      return;
    }
    if (!more) this.next(index);
  }

  /** Another worker gave us a connection; it has counted it as ours already. */
  handedIn(listener: number, fd: number): void {
    this.context.values[W.HANDED_IN]++;
    this.open(listener, fd);
  }

  handedOver(listener: number, fd: number, result: number): void {
    if (result >= 0) return;
    const { board, workerId } = this.context;
    const target = this.owner[fd] - 1;
    // The sibling is gone. The fd is ours again, unless the supervisor has closed it along with the sibling's own.
    if (target < 0 || Atomics.compareExchange(this.owner, fd, target + 1, workerId + 1) !== target + 1) return;
    Atomics.sub(board, BOARD.LOAD + target, 1);
    Atomics.add(board, BOARD.LOAD + workerId, 1);
    this.open(listener, fd);
  }

  private place(listener: number, fd: number): void {
    const { board, workerId, workers, values, reactor } = this.context;
    let target = workerId;
    if (workers > 1 && !this.leaving) {
      const own = board[BOARD.LOAD + workerId];
      let best = own <= EXACT_LOAD ? own : own - (own >> 3);
      for (let worker = 0; worker < workers; worker++) {
        if (worker === workerId || board[BOARD.RING + worker] < 0) continue;
        const load = board[BOARD.LOAD + worker];
        if (load < best) {
          best = load;
          target = worker;
        }
      }
    }
    Atomics.add(board, BOARD.LOAD + target, 1);
    // Told before anything else: should this worker or its sibling die now, the supervisor closes it.
    this.owner[fd] = target + 1;
    if (target === workerId) {
      this.open(listener, fd);
      return;
    }
    values[W.HANDED_OVER]++;
    reactor.ring.handOver(board[BOARD.RING + target], fd, listener);
  }

  private open(listener: number, fd: number): void {
    const { connections, limits, native, board, workerId, reactor } = this.context;
    const client =
      connections.clients >= limits.maxConnections ? -1 : connections.openClient(fd, listener, SOCKET_KIND.DETECT);
    if (client < 0) {
      this.context.limited(LIMIT_CONNECTIONS);
      Atomics.sub(board, BOARD.LOAD + workerId, 1);
      native.resetOnClose(fd);
      this.owner[fd] = 0;
      reactor.ring.close(fd);
      return;
    }
    this.opened(client);
  }

  private arm(index: number): void {
    const door = this.doors[index];
    if (door === undefined || door.armed) return;
    door.armed = true;
    door.found = 0;
    this.context.reactor.ring.accept(door.fd, index);
  }

  private close(index: number): void {
    const door = this.doors[index];
    if (door === undefined || door.state !== STATE.ACCEPTING) return;
    door.state = STATE.REFUSING;
    this.context.native.refuse(door.fd);
    this.later(REFUSE_MS, index);
  }

  private later(delayMs: number, index: number): void {
    setTimeout(() => {
      const door = this.doors[index];
      if (this.stopped || door === undefined) return;
      if (door.state === STATE.REFUSING) {
        door.state = STATE.EMPTYING;
        door.found = 1;
        if (door.armed) this.context.reactor.ring.cancelAccept(index);
      }
      this.next(index);
      this.context.reactor.wantMicrotasks = true;
    }, delayMs);
  }

  /** Arms again what is not armed. A queue that is emptied is looked at until there was nothing in it. */
  private next(index: number): void {
    const door = this.doors[index];
    if (door === undefined || door.armed) return;
    if (door.state !== STATE.EMPTYING) {
      this.arm(index);
    } else if (door.found > 0) {
      // Accepts what is there, then is cancelled: both in one batch, in this order.
      this.arm(index);
      this.context.reactor.ring.cancelAccept(index);
    } else {
      this.doors[index] = undefined;
      this.listening--;
      this.unlistened(door.fd);
    }
  }
}
