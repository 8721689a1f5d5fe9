// Accepting, and spreading connections over the workers. Every worker accepts on its own SO_REUSEPORT socket and keeps a
// connection unless a sibling is less loaded; then the fd, an integer, goes straight to the sibling's ring.
import { ERRNO } from '../io/abi.js';
import { LIMITS, MAX_LISTENERS, W } from '../metrics/layout.js';
import { KIND } from './connections.js';
import type { Context } from './context.js';
import { BOARD } from './snapshot.js';

/** Up to this load connections are spread exactly; above, a sibling must be lighter by an eighth to be worth the trip. */
const EXACT_LOAD = 16;
/** After running out of descriptors: how long until accepting is tried again, ms. */
const RETRY_MS = 100;

const LIMIT_CONNECTIONS = LIMITS.indexOf('connections');
const LIMIT_FILES = LIMITS.indexOf('file-descriptors');

export class Acceptor {
  private readonly armed = new Uint8Array(MAX_LISTENERS);
  /** Listeners whose queue is being emptied before their socket is closed. */
  private readonly closing = new Uint8Array(MAX_LISTENERS);

  constructor(
    private readonly context: Context,
    private readonly owner: Int32Array,
    private readonly opened: (client: number) => void,
    private readonly unlistened: (listener: number) => void,
  ) {}

  /** Starts to accept on `fd` for `listener`. */
  listen(listener: number, fd: number): void {
    const { listeners } = this.context;
    listeners.fd[listener] = fd;
    this.closing[listener] = 0;
    if (fd >= 0) this.arm(listener);
  }

  /** Refuses new connections and accepts those that are queued; `unlistened` is called when there are no more. */
  close(listener: number): void {
    const { listeners, native, reactor } = this.context;
    const fd = listeners.fd[listener];
    if (fd < 0 || this.closing[listener] === 1) return;
    this.closing[listener] = 1;
    native.refuse(fd);
    // Handshakes under way are completed by their clients' ACKs; then the queue stays as it is and runs empty.
    setTimeout(() => {
      if (this.armed[listener] === 1) this.context.reactor.ring.cancelAccept(listener);
      else this.finish(listener);
      reactor.wantMicrotasks = true;
    }, REFUSE_MS);
  }

  accepted(listener: number, result: number, more: boolean): void {
    const { values } = this.context;
    if (!more) this.armed[listener] = 0;
    if (result >= 0) this.place(listener, result);
    else if (result === -ERRNO.EMFILE || result === -ERRNO.ENFILE) {
      values[W.ACCEPT_ERRORS]++;
      this.context.limited(LIMIT_FILES);
      setTimeout(() => this.rearm(listener), RETRY_MS);
      return;
    } else if (result !== -ERRNO.ECANCELED && result !== -ERRNO.ECONNABORTED && result !== -ERRNO.EINTR && result !== -ERRNO.EAGAIN) {
      values[W.ACCEPT_ERRORS]++;
    }
    if (!more) {
      if (this.closing[listener] === 1 && result === -ERRNO.ECANCELED) this.finish(listener);
      else this.rearm(listener);
    }
  }

  /** Another worker gave us a connection; it has counted it as ours already. */
  handedIn(listener: number, fd: number): void {
    this.context.values[W.HANDED_IN]++;
    this.open(listener, fd);
  }

  handedOver(listener: number, fd: number, result: number): void {
    if (result >= 0) return;
    // The sibling is gone: the fd is still ours.
    const { board, workerId } = this.context;
    this.owner[fd] = workerId + 1;
    Atomics.add(board, BOARD.LOAD + workerId, 1);
    this.open(listener, fd);
  }

  private place(listener: number, fd: number): void {
    const { board, workerId, workers, values, reactor } = this.context;
    let target = workerId;
    if (workers > 1) {
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
    if (target === workerId) {
      this.open(listener, fd);
      return;
    }
    values[W.HANDED_OVER]++;
    // From here on it is the sibling's to close, also if it dies before it looks.
    this.owner[fd] = target + 1;
    reactor.ring.handOver(board[BOARD.RING + target], fd, listener);
  }

  private open(listener: number, fd: number): void {
    const { connections, limits, native, board, workerId, reactor } = this.context;
    const client = connections.clients >= limits.maxConnections ? -1 : connections.openClient(fd, listener, KIND.DETECT);
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

  private rearm(listener: number): void {
    if (this.armed[listener] === 1 || this.context.listeners.fd[listener] < 0) return;
    this.arm(listener);
    this.context.reactor.wantMicrotasks = true;
  }

  private arm(listener: number): void {
    this.armed[listener] = 1;
    this.context.reactor.ring.accept(this.context.listeners.fd[listener], listener);
  }

  private finish(listener: number): void {
    this.context.listeners.fd[listener] = -1;
    this.unlistened(listener);
  }
}

/** How long handshakes that had begun before `refuse` may take to complete, ms. */
const REFUSE_MS = 100;
