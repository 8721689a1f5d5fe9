// The native module: the only access to system calls. Everything here is integers and shared memory.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeTls } from './native-tls.js';

/** What `create` maps. All buffers are external memory; exactly one ArrayBuffer exists per mapping and isolate. */
export interface RingMemory {
  readonly executor: 'uring' | 'epoll';
  /** Why `auto` selected this executor, for the log: e.g. `io_uring_setup: EPERM`. Empty if the executor was requested. */
  readonly reason: string;
  /** Names this ring in MSG_RING entries of other rings (the fd of a uring, a registry index of an epoll ring). */
  readonly ringId: number;
  /** Submission and completion rings, as the kernel maps them. */
  readonly rings: ArrayBuffer;
  /** Submission entries, 64 bytes each. */
  readonly entries: ArrayBuffer;
  /** Provided-buffer ring of group 1: `ringBuffers` entries of 16 bytes. */
  readonly bufferRing: ArrayBuffer;
  /** 1: a receive may fill several buffers, and be told how much it may take. */
  readonly bundles: number;
  /** The slab. It never crosses a 4 GiB boundary, so `slabHigh` is the high half of every address in it. */
  readonly slab: ArrayBuffer;
  readonly slabLow: number;
  readonly slabHigh: number;
  /**
   * Float64 values written by the native side: 0 is the time (monotonic, µs); for the last `pump`, 1 is the bytes into and 2 those out of
   * the pipe.
   */
  readonly page: ArrayBuffer;
  /** Byte offsets into `rings`. */
  readonly sqHead: number;
  readonly sqTail: number;
  readonly cqHead: number;
  readonly cqTail: number;
  readonly cqes: number;
  readonly sqEntries: number;
  readonly cqEntries: number;
}

/** Who else may listen on a port. */
export const PORT = {
  /** Nobody. */
  ALONE: 0,
  /** Processes that share it already, and later ones (SO_REUSEPORT). */
  SHARED: 1,
  /** Nobody so far; later ones may. */
  FIRST: 2,
} as const;

export interface Native extends NativeTls {
  /**
   * Creates this thread's only ring (another one only after `destroy`). `ringBuffers` is a power of two up to 32768, `slabBytes` at most 2
   * GiB; the caller fills in the provided buffers. The completion ring is four times as large as the submission ring, and nothing is lost
   * when it overflows. Throws an Error with `code` (e.g. EPERM) and `syscall` if the requested executor is refused.
   */
  create(executor: 'auto' | 'uring' | 'epoll', entries: number, ringBuffers: number, slabBytes: number): RingMemory;
  /**
   * Submits up to `submit` entries and waits until `minComplete` completions are there or `timeoutUs` has passed (-1: no limit, 0: no
   * wait). With `minWaitUs` > 0 it waits that long for all of `minComplete`, after that for one. If the executor can't do that (before
   * Linux 6.12, epoll before 5.11), `minComplete` counts as at most 1. Writes the clock into the page. Returns the number of entries
   * consumed or -errno (-9 without a ring); a timeout or a signal is not an error. If memory for some entries is missing, it does not wait;
   * if there is none for any, it takes about a millisecond and returns -EAGAIN or -ENOMEM. The next call submits the remaining entries.
   */
  enter(submit: number, minComplete: number, timeoutUs: number, minWaitUs: number): number;
  /**
   * Hosts `step` in a uv_prepare handle. `step` returns 1 to let libuv run a turn, 0 to be called again after microtasks have run. libuv
   * never sleeps while a step is hosted: the ring does the waiting. Throwing is fatal to the thread (uncaught exception) and ends the
   * hosting.
   */
  run(step: () => number): void;
  /** Ends the hosting, even from inside `step`, so that the thread's event loop can end. `run` may be called again. */
  stopRun(): void;
  /** Milliseconds to libuv's next timer, -1 if it has none, 0 if it has work now or watchers wait to be registered. */
  uvTimeout(): number;
  /** libuv's own epoll fd: readable when libuv has I/O to handle. */
  uvFd(): number;
  /**
   * Returns the pages of slab areas to the system: `numbers[from]` and the next `count` - 1, of `bytes` each. Returns the number returned.
   */
  discard(numbers: Int32Array, from: number, count: number, bytes: number): number;
  /**
   * The same for the pages that lie wholly within `count` cells of a column: they are 0 from then on. Not for shared memory. Returns how many
   * pages were given back.
   */
  discardCells(column: ArrayBufferView, from: number, count: number): number;
  /** Gives back what the executor has grown by in a burst, as far as it does not use it. */
  shrinkRing(): void;
  /** Returns malloc's free memory to the kernel. Once, after a start, because it walks the whole heap. */
  trimHeap(): void;
  /** A 32-bit checksum of a file, to detect changes. */
  checksum(octets: Uint8Array): number;
  /**
   * Closes the ring: submits what is queued, cancels, reaps, unmaps. The slab stays mapped if the kernel did not release an operation that
   * might still write there. The env's cleanup hook does the same.
   */
  destroy(): void;

  /**
   * A listening socket on a numeric address, not yet accepting for anyone; '::' covers both families. Accepted sockets inherit TCP_NODELAY
   * and the timeouts (0: the system's). It is blocking, as io_uring needs it; the epoll executor sets O_NONBLOCK when it first accepts.
   * `sharing` is a PORT. Throws with `code`, `syscall` and `errno`.
   */
  listen(
    host: string,
    port: number,
    backlog: number,
    sharing: number,
    keepAliveMs: number,
    userTimeoutMs: number,
  ): number;
  /**
   * Drops new SYNs (with a socket filter), so that the queue can be accepted to its end before the socket is closed; handshakes in flight
   * still complete. Returns 0 or -errno.
   */
  refuse(fd: number): number;
  /**
   * Milliseconds since the peer last acknowledged anything, while sent data is unacknowledged. -1: nothing is unacknowledged or unsent; -2:
   * data waits for the peer's closed window, and it has answered every probe.
   */
  unanswered(fd: number): number;
  /** A stream socket for CONNECT, with TCP_NODELAY, close-on-exec and what the executor needs. Returns its descriptor or -errno. */
  socket(family: 4 | 6, keepAliveMs: number, userTimeoutMs: number): number;
  close(fd: number): number;
  /** 0 read, 1 write, 2 both. */
  shutdown(fd: number, how: number): number;
  /** Makes the next close of `fd` send RST (SO_LINGER with zero time). */
  resetOnClose(fd: number): number;
  /** O_NONBLOCK on or off. */
  nonblock(fd: number, on: boolean): number;
  /** 1 if both ends of a connection are this socket: nobody listens there, and the kernel gave it the port that it connects to. */
  connectedToItself(fd: number): number;
  /** Port the socket is bound to, or -errno. */
  localPort(fd: number): number;
  /** `ip:port` (also for IPv4 mapped into IPv6), `[ip6]:port`, or '' if unavailable. Cold path only. */
  peerName(fd: number): string;
  localName(fd: number): string;
  /** SO_ORIGINAL_DST of IPv4 or IPv6 as `ip:port`, '' if the connection was not redirected. */
  originalDestination(fd: number): string;
  /** The same as sockaddr bytes written into `into` at `at`: 16 (IPv4) or 28 (IPv6) bytes, 0 if the connection was not redirected. */
  originalSockaddr(fd: number, into: Uint8Array, at: number): number;
  /** MSG_PEEK into `into`. Returns bytes, 0 at end of stream, or -errno (-11: nothing there). */
  peek(fd: number, into: Uint8Array): number;
  /** A non-blocking, close-on-exec pipe, enlarged to `bytes` if allowed; its read and write ends are in `ends`. Returns 0 or -errno. */
  pipe(bytes: number, ends: Int32Array): number;
  /**
   * Moves up to `limit` more bytes from `source` through the pipe (holding `inPipe` bytes) to `destination`. Both sockets must be
   * non-blocking; `limit` may be Infinity. The pipe is emptied before the source is read, so 1, 4 and 8 imply that it is empty. Returns
   * flags, 0 if there may be more (call again): 1 source would block, 2 destination would block, 4 source at its end, 8 source failed, 16
   * destination failed, 32 limit reached; errno of a failure in bits 8 and up. The byte counts are in the page.
   */
  pump(source: number, pipeRead: number, pipeWrite: number, destination: number, inPipe: number, limit: number): number;
  /** Raises RLIMIT_NOFILE to its hard limit; returns the limit now in force. */
  raiseFileLimit(): number;
  /** CPU time of this thread, or of thread `tid` of this process, µs; -errno if there is none. */
  threadCpu(tid?: number): number;
  /** 1 if thread `tid` of this process runs or waits for a core, 0 if it sleeps, -errno if that can't be read. */
  threadRunnable(tid: number): number;
  /** Lets a thread run only where no other wants the core (SCHED_IDLE), for good. Returns 0 or -errno. */
  threadBackground(tid: number): number;
  /** Stops this thread for so long, µs. */
  rest(us: number): void;
  /** Writes sockaddr bytes for a numeric address into `into` at `at`; returns their length, 0 if the address is not numeric. */
  sockaddr(host: string, port: number, into: Uint8Array, at: number): number;
}

const HELP =
  'Sluice needs its native module. Install a C compiler, make and Python 3 ' +
  '(Debian: apt-get install build-essential python3), then run: npm rebuild sluice (or make build in a checkout).';

let loaded: Native | undefined;

/** The native module; throws an Error that says what to install if it can't be loaded. */
export function native(): Native {
  if (loaded === undefined) {
    const root = fileURLToPath(new URL('../../../', import.meta.url));
    const require = createRequire(import.meta.url);
    try {
      loaded = require('node-gyp-build')(root) as Native;
    } catch (error) {
      const cause = error instanceof Error ? error.message.split('\n')[0] : String(error);
      throw new Error(`cannot load the native module (${process.platform}-${process.arch}): ${cause}\n${HELP}`);
    }
  }
  return loaded;
}
