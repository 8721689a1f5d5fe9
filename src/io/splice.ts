// Splicing: bytes that go from socket to socket through a kernel pipe, never through this process. It costs a third of a copy for bulk
// flows and more than a copy for small messages, so the protocols switch to it once a flow has proved to be bulk.
//
// `splice(2)` is called directly when a poll says ready: the ring's own SPLICE always goes to a kernel worker thread.
import { column } from '../http/columns.js';
import { ERRNO, OP, POLLIN, POLLOUT, POLLRDHUP } from './abi.js';
import type { Native } from './native.js';
import type { Ring } from './ring.js';
import { SOCKET, type Sockets } from './sockets.js';

/** Why a pump stopped; returned by `Splicer.step`. */
export const PUMP = {
  /** Waiting for a poll, or on the list of flows to continue this turn. */
  WAIT: 0,
  /** The limit is reached and everything has been delivered. */
  DONE: 1,
  /** The source is at its end and everything has been delivered. */
  EOF: 2,
  SOURCE_FAILED: 3,
  DESTINATION_FAILED: 4,
  /** The flow has become slow: copying is cheaper for small messages. The pipe is empty. */
  SLOW: 5,
} as const;

/** Flags returned by `Native.pump`. */
const SOURCE_BLOCKS = 1;
const DESTINATION_BLOCKS = 2;
const SOURCE_EOF = 4;
const SOURCE_ERROR = 8;
const DESTINATION_ERROR = 16;
const LIMIT_REACHED = 32;

const PIPE_BYTES = 1 << 20;
/** Moves smaller than this count as slow ... */
const SLOW_BYTES = 8192;
/** ... and this many in a row end the splicing. */
const SLOW_MOVES = 16;

export class Splicer {
  /** errno of the last failure that `step` reported. */
  errno = 0;
  /** Bytes that the last `step` took from the source and gave to the destination. */
  bytesIn = 0;
  bytesOut = 0;
  /** Bytes delivered by splicing so far. */
  spliced = 0;
  /** Pipes in use or idle. */
  open = 0;
  /** Number of times no pipe was available. */
  limited = 0;

  private readonly pipeRead: Int32Array;
  private readonly pipeWrite: Int32Array;
  private readonly inPipe: Int32Array;
  private readonly limit: Float64Array;
  private readonly destination: Int32Array;
  /** The socket that is spliced to this one, plus 1; 0: none. */
  private readonly origin: Int32Array;
  private readonly slow: Uint8Array;
  private readonly polling: Uint8Array;
  /** errno of the last poll, 0 if it has fired. */
  private readonly pollErrno: Int32Array;
  private readonly again: Int32Array;
  private againCount = 0;
  private readonly freeRead: Int32Array;
  private readonly freeWrite: Int32Array;
  private free = 0;
  /** Where `Native.pipe` writes a new pipe's ends. */
  private readonly ends = new Int32Array(2);
  private readonly page: Float64Array;

  constructor(
    private readonly native: Native,
    private readonly ring: Ring,
    private readonly sockets: Sockets,
    private readonly owner: Int32Array,
    private readonly ownerId: number,
    private readonly maxPipes: number,
    page: ArrayBuffer,
  ) {
    const n = sockets.capacity;
    this.pipeRead = column(Int32Array, n);
    this.pipeWrite = column(Int32Array, n);
    this.inPipe = column(Int32Array, n);
    this.limit = column(Float64Array, n);
    this.destination = column(Int32Array, n);
    sockets.setDefault(this.destination, -1);
    this.origin = column(Int32Array, n);
    this.slow = column(Uint8Array, n);
    this.polling = column(Uint8Array, n);
    this.pollErrno = column(Int32Array, n);
    this.again = column(Int32Array, n);
    this.freeRead = column(Int32Array, Math.max(1, maxPipes));
    this.freeWrite = column(Int32Array, Math.max(1, maxPipes));
    this.page = new Float64Array(page);
  }

  /** True while all permitted pipes are in use. */
  get exhausted(): boolean {
    return this.free === 0 && this.open >= this.maxPipes;
  }

  /** True while `source` is being spliced. */
  active(source: number): boolean {
    return this.destination[source] >= 0;
  }

  /** True while bytes from `source` are in the pipe because the destination accepts none. */
  blocked(source: number): boolean {
    return this.destination[source] >= 0 && this.inPipe[source] > 0;
  }

  /**
   * Begins splicing from `source` to `destination`, at most `limit` bytes (Infinity: to the end of the stream). Neither may have a receive
   * armed, or bytes queued, in this direction. False if no pipe is available. The caller then calls `step` or `schedule`.
   */
  start(source: number, destination: number, limit: number): boolean {
    if (this.free > 0) {
      this.free--;
      this.pipeRead[source] = this.freeRead[this.free];
      this.pipeWrite[source] = this.freeWrite[this.free];
    } else {
      if (this.open >= this.maxPipes) {
        this.limited++;
        return false;
      }
      if (this.native.pipe(PIPE_BYTES, this.ends) < 0) {
        this.limited++;
        return false;
      }
      const [read, write] = this.ends;
      this.pipeRead[source] = read;
      this.pipeWrite[source] = write;
      this.own(read, this.ownerId);
      this.own(write, this.ownerId);
      this.open++;
    }
    this.inPipe[source] = 0;
    this.limit[source] = limit;
    this.slow[source] = 0;
    this.polling[source] = 0;
    this.pollErrno[source] = 0;
    this.destination[source] = destination;
    this.origin[destination] = source + 1;
    if (this.setNonblock(source, true) && this.setNonblock(destination, true)) return true;
    this.limited++;
    this.finish(source);
    return false;
  }

  /** Moves what can be moved now. Returns a PUMP result; anything but WAIT has ended the splicing. */
  step(source: number): number {
    const destination = this.destination[source];
    this.bytesIn = 0;
    this.bytesOut = 0;
    if (destination < 0 || this.polling[source] !== 0) return PUMP.WAIT;
    const sockets = this.sockets;
    const limit = this.limit[source];
    const held = this.inPipe[source];
    if (this.pollErrno[source] !== 0) {
      this.errno = this.pollErrno[source];
      this.finish(source);
      // With bytes in the pipe the poll was for the destination.
      return held > 0 ? PUMP.DESTINATION_FAILED : PUMP.SOURCE_FAILED;
    }
    const result = this.native.pump(
      sockets.fd[source],
      this.pipeRead[source],
      this.pipeWrite[source],
      sockets.fd[destination],
      held,
      limit,
    );
    const bytesIn = this.page[1];
    const bytesOut = this.page[2];
    this.bytesIn = bytesIn;
    this.bytesOut = bytesOut;
    this.spliced += bytesOut;
    if (bytesOut > 0) sockets.unacknowledged[destination] = 1;
    const inPipe = held + bytesIn - bytesOut;
    this.inPipe[source] = inPipe;
    this.limit[source] = limit - bytesIn;
    const flags = result & 0xff;
    if ((flags & (SOURCE_ERROR | DESTINATION_ERROR)) !== 0) {
      this.errno = result >>> 8;
      this.finish(source);
      return (flags & SOURCE_ERROR) !== 0 ? PUMP.SOURCE_FAILED : PUMP.DESTINATION_FAILED;
    }
    if ((flags & DESTINATION_BLOCKS) !== 0 && inPipe > 0) {
      this.wait(source, sockets.fd[destination], POLLOUT, OP.PUMP_OUT);
      return PUMP.WAIT;
    }
    if (inPipe === 0) {
      if ((flags & LIMIT_REACHED) !== 0 || limit - bytesIn <= 0) {
        this.finish(source);
        return PUMP.DONE;
      }
      if ((flags & SOURCE_EOF) !== 0) {
        this.finish(source);
        return PUMP.EOF;
      }
      if (bytesIn < SLOW_BYTES) {
        if (++this.slow[source] >= SLOW_MOVES) {
          this.finish(source);
          return PUMP.SLOW;
        }
      } else this.slow[source] = 0;
      if ((flags & SOURCE_BLOCKS) !== 0) {
        this.wait(source, sockets.fd[source], POLLIN | POLLRDHUP, OP.PUMP_IN);
        return PUMP.WAIT;
      }
    }
    // The native side stopped for fairness: continue in the next turn.
    this.schedule(source);
    return PUMP.WAIT;
  }

  /** Makes the loop call for `source` once more this turn or the next, without a poll. */
  schedule(source: number): void {
    this.again[this.againCount++] = source;
    this.polling[source] = 2;
  }

  /** The poll that `step` asked for has completed with `result`; call `step` next, unless the slot is closed. */
  polled(source: number, result: number): void {
    this.polling[source] = 0;
    if (result < 0 && result !== -ERRNO.ECANCELED) this.pollErrno[source] = -result;
    this.sockets.unhold(source);
  }

  /** Flows that can continue without waiting: the loop must not block. */
  get runnable(): number {
    return this.againCount;
  }

  /** Takes one flow off the list of `runnable`; the caller then calls `step`. -1 if it has ended meanwhile. */
  takeRunnable(i: number): number {
    const source = this.again[i];
    if (this.polling[source] !== 2) return -1;
    this.polling[source] = 0;
    return source;
  }

  /** Removes the first `n` flows from the list after they were taken. */
  dropRunnable(n: number): void {
    this.again.copyWithin(0, n, this.againCount);
    this.againCount -= n;
  }

  /** Ends the splicing of a socket being closed; bytes left in the pipe are lost. */
  stop(source: number): void {
    if (this.destination[source] < 0) return;
    if (this.polling[source] === 1) {
      this.ring.cancel(source, OP.PUMP_IN, this.sockets.generation[source]);
      this.ring.cancel(source, OP.PUMP_OUT, this.sockets.generation[source]);
    }
    if (this.polling[source] === 2) this.polling[source] = 0;
    this.finish(source);
  }

  /** Closes the idle pipes. */
  trim(): void {
    while (this.free > 0) {
      this.free--;
      this.closePipe(this.freeRead[this.free], this.freeWrite[this.free]);
    }
  }

  private finish(source: number): void {
    const destination = this.destination[source];
    this.destination[source] = -1;
    if (this.origin[destination] === source + 1) this.origin[destination] = 0;
    const read = this.pipeRead[source];
    const write = this.pipeWrite[source];
    // Bytes in a pipe must not get into another connection.
    if (this.inPipe[source] === 0) {
      this.freeRead[this.free] = read;
      this.freeWrite[this.free] = write;
      this.free++;
    } else this.closePipe(read, write);
    this.settle(source);
    this.settle(destination);
  }

  /** Back to blocking mode once neither direction of the socket is spliced: in it, a splice waits for a peer that reads nothing. */
  private settle(slot: number): void {
    if ((this.sockets.flags[slot] & SOCKET.CLOSED) !== 0) return;
    if (this.destination[slot] >= 0 || this.origin[slot] !== 0) return;
    this.setNonblock(slot, false);
  }

  /** False if the kernel refuses to set O_NONBLOCK. */
  private setNonblock(slot: number, on: boolean): boolean {
    const sockets = this.sockets;
    if (((sockets.flags[slot] & SOCKET.NONBLOCK) !== 0) === on) return true;
    // splice(2) on a blocking socket would block the thread. But io_uring answers EAGAIN on a non-blocking one instead of waiting, so the
    // flag is removed afterwards; the epoll executor does not mind.
    let result = 0;
    if (on || this.ring.executor === 'uring') result = this.native.nonblock(sockets.fd[slot], on);
    if (on && result < 0) return false;
    if (on) sockets.flags[slot] |= SOCKET.NONBLOCK;
    else sockets.flags[slot] &= ~SOCKET.NONBLOCK;
    return true;
  }

  private wait(source: number, fd: number, events: number, op: number): void {
    this.polling[source] = 1;
    this.sockets.hold(source);
    this.ring.poll(fd, source, this.sockets.generation[source], events, op);
  }

  private closePipe(read: number, write: number): void {
    this.own(read, 0);
    this.own(write, 0);
    this.native.close(read);
    this.native.close(write);
    this.open--;
  }

  private own(fd: number, id: number): void {
    if (fd < this.owner.length) this.owner[fd] = id;
  }
}
