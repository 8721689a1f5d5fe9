// Accepts connections and spreads them over the workers. Each worker accepts on its own SO_REUSEPORT socket and keeps a connection unless a
// sibling is less loaded; then it passes the descriptor, an integer, to the sibling's ring.

import { getSystemErrorName } from 'node:util';
import { objectArray } from '../../http/object-array.js';
import { ERRNO } from '../../io/abi.js';
import { LIMITS, W } from '../../metrics/layout.js';
import { SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import { REFUSED } from '../refusals.js';
import { type FromWorker, type ListenerSnapshot, LOAD_BOARD } from '../snapshot.js';

/** Up to this load connections are balanced exactly; above it, a sibling must be an eighth lighter to be worth the transfer. */
const EXACT_LOAD = 16;
/** After running out of descriptors: when to try accepting again, ms. */
const RETRY_MS = 100;
/** While accepting pauses: how often to check whether clients have left, ms. */
const PAUSE_CHECK_MS = 20;
/** Minimum interval between two logs of a listener's refused accepts, ms. */
const LOG_INTERVAL_MS = 60_000;
/** Minimum interval between two calls for idle clients of other workers, ms. */
const CROWDED_INTERVAL_MS = 1000;
/** If fewer clients than the longest possible queue (net.core.somaxconn) may still be accepted, accept them one by one. */
const MULTISHOT_ROOM = 4096;
/** Time for handshakes under way to complete after `refuse`, ms. */
const REFUSE_MS = 100;

/** What a sandbox answers to what it refuses: EPERM, EACCES, ENOSYS. */
const FORBIDDEN: ReadonlySet<number> = new Set([1, 13, 38]);
const HELP = 'a sandbox (seccomp, an LSM) refuses accept4; allow it';

const LIMIT_CONNECTIONS = LIMITS.indexOf('connections');
const LIMIT_FILES = LIMITS.indexOf('file-descriptors');

const STATE = {
  ACCEPTING: 0,
  /** New handshakes are dropped; those under way may still reach the queue. */
  REFUSING: 1,
  /** The queue is being accepted to its end. */
  DRAINING: 2,
} as const;

/** A listening socket. A listener that moves to another address temporarily has two. */
interface ListeningSocket {
  readonly fd: number;
  readonly listener: number;
  readonly name: string;
  armed: boolean;
  /** The armed multishot accept is being cancelled. */
  cancelled: boolean;
  state: number;
  /** Connections found since the socket was last armed. */
  found: number;
  /** Before this time a refused accept is not logged again, ms. */
  quietUntil: number;
}

export class Acceptor {
  /** Indexed by the number that the ring's entries carry. */
  private readonly listeningSockets = objectArray<ListeningSocket | undefined>();
  /** Sockets that still accept. */
  listening = 0;
  /** No more hand-overs: the siblings are leaving too. */
  private draining = false;
  private stopped = false;
  /** File descriptors are scarce: clients wait in the kernel's queue. */
  private paused = false;
  /** Before this time siblings are not called again, ms. */
  private crowdedAfter = 0;

  /** `opened` takes over a new client; `unlistened` is told of each listening socket whose queue is finally empty. */
  constructor(
    private readonly context: Context,
    private readonly owner: Int32Array,
    private readonly opened: (client: number) => void,
    private readonly unlistened: (fd: number) => void,
    /** Asks idle clients to leave. */
    private readonly makeRoom: () => void,
    private readonly send: (message: FromWorker) => void,
  ) {}

  /** Accepts on the sockets of exactly these listeners. */
  configure(listeners: readonly ListenerSnapshot[]): void {
    this.listeningSockets.forEach((socket, index) => {
      if (socket !== undefined && !listeners.some(({ fd }) => fd === socket.fd)) this.close(index);
    });
    for (const { slot, fd, name } of listeners) {
      if (fd < 0 || this.listeningSockets.some((socket) => socket?.fd === fd)) continue;
      const free = this.listeningSockets.indexOf(undefined);
      const index = free < 0 ? this.listeningSockets.length : free;
      this.listeningSockets[index] = {
        fd,
        listener: slot,
        name,
        armed: false,
        cancelled: false,
        state: STATE.ACCEPTING,
        found: 0,
        quietUntil: 0,
      };
      this.listening++;
      this.arm(index);
    }
  }

  /** Refuses new connections on all listeners and accepts the queued ones; `unlistened` is called as each queue empties. */
  drain(): void {
    const { loadBoard, workerId } = this.context;
    this.draining = true;
    Atomics.store(loadBoard, LOAD_BOARD.RING + workerId, -1);
    for (let index = 0; index < this.listeningSockets.length; index++) this.close(index);
  }

  /** The same for some listeners only; the worker and its other listeners continue. */
  drainListeners(listeners: readonly number[]): void {
    for (const [index, socket] of this.listeningSockets.entries())
      if (socket !== undefined && listeners.includes(socket.listener)) this.close(index);
  }

  /** The ring is about to be closed: nothing is armed any more. */
  stop(): void {
    this.stopped = true;
  }

  accepted(index: number, result: number, more: boolean): void {
    const socket = this.listeningSockets[index];
    if (socket === undefined) return;
    if (!more) socket.armed = false;
    if (result >= 0) {
      socket.found++;
      this.context.values[W.ACCEPTED]++;
      const room = this.context.clientRoom.left();
      // Each of the workers may have accepted one too many at the same moment.
      if (room <= -this.context.workers) this.reject(result);
      else this.place(socket.listener, result);
      if (room <= 1 && !this.paused) this.pause();
      else if (more && room < MULTISHOT_ROOM && !socket.cancelled) this.cancel(index, socket);
    } else if (result !== -ERRNO.ECANCELED && result !== -ERRNO.ECONNABORTED && result !== -ERRNO.EINTR) {
      this.context.values[W.ACCEPT_ERRORS]++;
      if (result === -ERRNO.EMFILE || result === -ERRNO.ENFILE) this.outOfFiles();
      else this.report(socket, result);
      // Not at once: the condition, whatever it is, may last.
      if (!more) this.later(RETRY_MS, index);
      return;
    }
    if (!more) this.next(index);
  }

  /** Another worker handed a connection over; it has already counted it as ours. */
  handedIn(listener: number, fd: number): void {
    this.context.values[W.HANDED_IN]++;
    this.open(listener, fd);
  }

  handedOver(listener: number, fd: number, result: number): void {
    if (result >= 0) return;
    const { loadBoard, workerId } = this.context;
    const target = this.owner[fd] - 1;
    // The sibling is gone. The descriptor is ours again, unless the supervisor has closed it with the sibling's own.
    if (target < 0 || Atomics.compareExchange(this.owner, fd, target + 1, workerId + 1) !== target + 1) return;
    Atomics.sub(loadBoard, LOAD_BOARD.LOAD + target, 1);
    Atomics.add(loadBoard, LOAD_BOARD.LOAD + workerId, 1);
    this.open(listener, fd);
  }

  /** A sibling has found that there are as many clients as there may be. */
  crowded(): void {
    if (!this.paused && this.context.clientRoom.left() <= 1) this.pause();
  }

  private report(socket: ListeningSocket, result: number): void {
    const { now } = this.context.reactor;
    if (now < socket.quietUntil) return;
    socket.quietUntil = now + LOG_INTERVAL_MS;
    const message = 'connections cannot be accepted, and wait in the queue; this is tried again ten times a second';
    const fields = { listener: socket.name, error: getSystemErrorName(result) };
    if (!FORBIDDEN.has(-result)) this.send({ kind: 'log', level: 'warn', message, fields });
    else this.send({ kind: 'log', level: 'error', message, fields: { ...fields, help: HELP } });
  }

  private outOfFiles(): void {
    this.context.limited(LIMIT_FILES);
    this.context.refusals.note(REPLY_REASON.FILE_DESCRIPTORS, -1, -1, -1);
  }

  /** It was accepted before the pause took effect. */
  private reject(fd: number): void {
    const { native, reactor } = this.context;
    this.outOfFiles();
    native.resetOnClose(fd);
    reactor.ring.close(fd);
  }

  /** Leaves clients in the kernel's queue until others have left. */
  private pause(): void {
    const { context } = this;
    this.paused = true;
    context.values[W.ACCEPT_PAUSES]++;
    this.outOfFiles();
    this.listeningSockets.forEach((socket, index) => {
      if (socket?.armed === true && socket.state === STATE.ACCEPTING) this.cancel(index, socket);
    });
    this.setAtCapacity(true);
    this.callSiblings();
    this.retry();
  }

  /** Their idle clients have descriptors as well. */
  private callSiblings(): void {
    const { workers, reactor } = this.context;
    if (workers === 1 || reactor.now < this.crowdedAfter) return;
    this.crowdedAfter = reactor.now + CROWDED_INTERVAL_MS;
    this.send({ kind: 'crowded' });
  }

  private cancel(index: number, socket: ListeningSocket): void {
    socket.cancelled = true;
    this.context.reactor.ring.cancelAccept(index);
  }

  private retry(): void {
    this.context.reactor.later(PAUSE_CHECK_MS, () => {
      if (this.stopped) return;
      if (this.context.clientRoom.left() <= 0) {
        // One that has gone on in the meantime may have idle clients again.
        this.callSiblings();
        this.retry();
        return;
      }
      this.paused = false;
      this.setAtCapacity(false);
      for (let index = 0; index < this.listeningSockets.length; index++) this.next(index);
      this.context.reactor.wantMicrotasks = true;
    });
  }

  private setAtCapacity(yes: boolean): void {
    this.context.clientRoom.full = yes;
    if (yes) this.makeRoom();
  }

  private place(listener: number, fd: number): void {
    const { loadBoard, workerId, workers, values, reactor } = this.context;
    let target = workerId;
    if (workers > 1 && !this.draining) {
      const own = loadBoard[LOAD_BOARD.LOAD + workerId];
      let best = own <= EXACT_LOAD ? own : own - (own >> 3);
      for (let worker = 0; worker < workers; worker++) {
        if (worker === workerId || loadBoard[LOAD_BOARD.RING + worker] < 0) continue;
        const load = loadBoard[LOAD_BOARD.LOAD + worker];
        if (load < best) {
          best = load;
          target = worker;
        }
      }
    }
    Atomics.add(loadBoard, LOAD_BOARD.LOAD + target, 1);
    // Before anything else: if this worker or its sibling dies now, the supervisor closes the descriptor.
    this.owner[fd] = target + 1;
    if (target === workerId) {
      this.open(listener, fd);
      return;
    }
    values[W.HANDED_OVER]++;
    reactor.ring.handOver(loadBoard[LOAD_BOARD.RING + target], fd, listener);
  }

  private open(listener: number, fd: number): void {
    const { connections, limits, native, loadBoard, workerId, reactor } = this.context;
    const client =
      connections.clients >= limits.maxConnections ? -1 : connections.openClient(fd, listener, SOCKET_KIND.DETECT);
    if (client < 0) {
      this.context.limited(LIMIT_CONNECTIONS);
      this.context.refusals.note(REFUSED.MAX_CONNECTIONS, -1, -1, -1);
      Atomics.sub(loadBoard, LOAD_BOARD.LOAD + workerId, 1);
      native.resetOnClose(fd);
      this.owner[fd] = 0;
      reactor.ring.close(fd);
      return;
    }
    this.opened(client);
  }

  private arm(index: number): void {
    const socket = this.listeningSockets[index];
    if (socket === undefined || socket.armed || (this.paused && socket.state === STATE.ACCEPTING)) return;
    socket.armed = true;
    socket.cancelled = false;
    socket.found = 0;
    // Before it can be cancelled, a multishot accept may return as many as a queue holds.
    this.context.reactor.ring.accept(socket.fd, index, this.context.clientRoom.left() >= MULTISHOT_ROOM);
  }

  private close(index: number): void {
    const socket = this.listeningSockets[index];
    if (socket === undefined || socket.state !== STATE.ACCEPTING) return;
    socket.state = STATE.REFUSING;
    this.context.native.refuse(socket.fd);
    this.later(REFUSE_MS, index);
  }

  private later(delayMs: number, index: number): void {
    this.context.reactor.later(delayMs, () => {
      const socket = this.listeningSockets[index];
      if (this.stopped || socket === undefined) return;
      if (socket.state === STATE.REFUSING) {
        socket.state = STATE.DRAINING;
        socket.found = 1;
        if (socket.armed) this.context.reactor.ring.cancelAccept(index);
      }
      this.next(index);
      this.context.reactor.wantMicrotasks = true;
    });
  }

  /** Arms what is not armed. A queue being emptied is checked until nothing is left. */
  private next(index: number): void {
    const socket = this.listeningSockets[index];
    if (socket === undefined || socket.armed) return;
    if (socket.state !== STATE.DRAINING) {
      this.arm(index);
    } else if (socket.found > 0) {
      // Accepts what is queued and is then cancelled: both in one batch, in this order.
      this.arm(index);
      this.context.reactor.ring.cancelAccept(index);
    } else {
      this.listeningSockets[index] = undefined;
      this.listening--;
      this.unlistened(socket.fd);
    }
  }
}
