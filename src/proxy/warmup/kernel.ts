// A stand-in for the kernel, for a worker that only rehearses: a ring, sockets connected to each other, and nothing else. It executes the
// entries of ring.ts in memory, as the native executors do with the kernel. So a rehearsal needs no port, no descriptor and no network.
import {
  CQE_F,
  ERRNO,
  IORING_OP,
  IOSQE,
  OP,
  OP_SHIFT,
  POLLIN,
  POLLOUT,
  RECV_MULTISHOT,
  SLOT_MASK,
} from '../../io/abi.js';
import type { Native, RingMemory } from '../../io/native.js';
import type { NativeTls } from '../../io/native-tls.js';
import { Ring } from '../../io/ring.js';
import { connected, type End } from './pipes.js';

/** Words of `rings`: heads and tails, then the completions. */
const SQ_HEAD = 0;
const SQ_TAIL = 1;
const CQ_HEAD = 2;
const CQ_TAIL = 3;
const CQES = 16;
const FIRST_FD = 16;
/** Total number of descriptors it may hand out. */
export const MAX_FDS = 4096;
const UV_FD = 1;
const PORT_AT = 2;
const NATIVE_TURNS = 16;
/** Where the slab claims to be: as large as addresses are, or compiled code would take halves of them for small integers. */
const SLAB_LOW = 0x9a000000;
const SLAB_HIGH = 0x7f3a;
/** One receive in so many gets only part of what is there, so that messages come in pieces. */
const PIECES = 16;
const PIECE_BYTES = 77;
/** Mappings consist of whole pages. */
const PAGE_BYTES = 4096;

/** A waiting operation. */
interface Pending {
  readonly low: number;
  readonly high: number;
  readonly many: boolean;
}

interface Poll extends Pending {
  readonly fd: number;
  readonly events: number;
}

interface Listening {
  readonly backlog: End[];
  /** Accepts its connections, if no ring does. */
  readonly take: ((end: End) => void) | undefined;
  accept: Pending | undefined;
}

export class Kernel {
  /** Replaces the native module; functions it does not have are those of the real one. */
  readonly native: Native;
  private readonly ends: (End | undefined)[] = [];
  private readonly receives: (Pending | undefined)[] = [];
  private readonly polls: Poll[] = [];
  private readonly listening = new Map<number, Listening>();
  private readonly portOf = new Map<number, number>();
  private nextFd = FIRST_FD;
  private step: (() => number) | undefined;
  private rings = new Int32Array(0);
  private words = new Uint32Array(0);
  private halves = new Uint16Array(0);
  private lent32 = new Uint32Array(0);
  private lent16 = new Uint16Array(0);
  private slab = new Uint8Array(0);
  private slab32 = new Uint32Array(0);
  private page = new Float64Array(0);
  private entries = 0;
  private lentHead = 0;
  private turns = 0;
  private received = 0;
  /** Used to enter the native module, with a ring that is idle. */
  private idle: Ring | undefined;

  /** Resolves when the worker has handed over its loop. */
  readonly hosted: Promise<void>;
  private hosts: () => void = () => undefined;
  private act: () => boolean = () => true;

  constructor(
    private readonly real: Native,
    /** Its clock, µs. */
    private readonly micros: () => number = () => performance.now() * 1000,
  ) {
    this.hosted = new Promise((resolve) => {
      this.hosts = resolve;
    });
    // Complete, so that the compiler complains about new functions. TLS is not rehearsed.
    const own: Omit<Native, keyof NativeTls> = {
      create: (_executor, entries, ringBuffers, slabBytes) => this.create(entries, ringBuffers, slabBytes),
      enter: (submit) => this.enter(submit),
      run: (step) => {
        this.step = step;
        this.hosts();
      },
      stopRun: () => {
        this.step = undefined;
      },
      uvTimeout: () => -1,
      uvFd: () => UV_FD,
      discard: () => 0,
      discardCells: () => 0,
      shrinkRing: () => undefined,
      trimHeap: () => undefined,
      checksum: () => 0,
      destroy: () => undefined,
      listen: () => -ERRNO.EADDRNOTAVAIL,
      refuse: () => 0,
      unanswered: () => -1,
      socket: () => this.open(),
      close: (fd) => this.close(fd),
      shutdown: (fd) => {
        this.ends[fd]?.shutdown();
        return 0;
      },
      resetOnClose: () => 0,
      nonblock: () => 0,
      connectedToItself: () => 0,
      localPort: (fd) => this.portOf.get(fd) ?? 0,
      peerName: () => '127.0.0.1:1',
      localName: (fd) => `127.0.0.1:${this.portOf.get(fd) ?? 0}`,
      originalDestination: () => '',
      originalSockaddr: () => 0,
      peek: () => -ERRNO.EAGAIN,
      pipe: () => -ERRNO.EMFILE,
      pump: () => 0,
      raiseFileLimit: () => real.raiseFileLimit(),
      threadCpu: (tid) => real.threadCpu(tid),
      threadRunnable: () => 0,
      threadBackground: () => 0,
      rest: () => undefined,
      sockaddr: (host, port, into, at) => real.sockaddr(host, port, into, at),
    };
    this.native = { ...real, ...own };
  }

  /** Opens a listening socket of the worker. */
  listen(port: number): number {
    const fd = this.nextFd++;
    this.portOf.set(fd, port);
    this.listening.set(port, { backlog: [], take: undefined, accept: undefined });
    return fd;
  }

  /** A port where somebody else accepts connections. */
  serve(port: number, take: (end: End) => void): void {
    this.listening.set(port, { backlog: [], take, accept: undefined });
  }

  /** Connects to `port`; undefined if nobody listens. */
  connect(port: number): End | undefined {
    const listening = this.listening.get(port);
    if (listening === undefined || this.nextFd >= MAX_FDS) return undefined;
    const [ours, theirs] = connected();
    if (listening.take === undefined) listening.backlog.push(theirs);
    else listening.take(theirs);
    return ours;
  }

  /** Runs the worker's loop. `act` plays the other ends each time the worker waits; the loop stops when it returns true. */
  run(act: () => boolean): void {
    this.act = act;
    this.step?.();
  }

  private create(entries: number, ringBuffers: number, slabBytes: number): RingMemory {
    this.entries = entries;
    const completions = entries * 4;
    this.rings = new Int32Array(CQES + completions * 4);
    this.words = new Uint32Array(entries * 16);
    this.halves = new Uint16Array(this.words.buffer);
    this.lent32 = new Uint32Array(ringBuffers * 4);
    this.lent16 = new Uint16Array(this.lent32.buffer);
    this.slab = new Uint8Array(Math.ceil(slabBytes / PAGE_BYTES) * PAGE_BYTES);
    this.slab32 = new Uint32Array(this.slab.buffer);
    this.page = new Float64Array(8);
    const memory: RingMemory = {
      executor: 'uring',
      reason: '',
      ringId: 0,
      rings: this.rings.buffer,
      entries: this.words.buffer,
      bufferRing: this.lent32.buffer,
      bundles: 0,
      slab: this.slab.buffer,
      slabLow: SLAB_LOW,
      slabHigh: SLAB_HIGH,
      page: this.page.buffer,
      sqHead: SQ_HEAD * 4,
      sqTail: SQ_TAIL * 4,
      cqHead: CQ_HEAD * 4,
      cqTail: CQ_TAIL * 4,
      cqes: CQES * 4,
      sqEntries: entries,
      cqEntries: completions,
    };
    this.idle = new Ring(this.real, memory);
    return memory;
  }

  private enter(submit: number): number {
    // Code compiled here must have seen the native call as well, or it would be thrown away at the first real one.
    if (this.turns++ % NATIVE_TURNS === 0) this.idle?.enter(0, 0, 0);
    const head = this.rings[SQ_HEAD];
    for (let i = 0; i < submit; i++) this.execute(((head + i) & (this.entries - 1)) << 4);
    this.rings[SQ_HEAD] = (head + submit) | 0;
    const over = this.act();
    this.deliver(over);
    this.page[0] = this.micros();
    return submit;
  }

  private execute(e: number): void {
    const { words } = this;
    const fd = words[e + 1] | 0;
    const low = words[e + 8] | 0;
    const high = words[e + 9] | 0;
    // Of the slab; other entries have no address there.
    const at = (words[e + 4] - SLAB_LOW) >>> 0;
    const flags = this.halves[(e << 1) + 1];
    switch (words[e] & 0xff) {
      case IORING_OP.RECV:
        this.receives[fd] = { low, high, many: (flags & RECV_MULTISHOT) !== 0 };
        break;
      case IORING_OP.SEND:
        this.sent(low, high, this.send(fd, at, words[e + 6]), words[e]);
        break;
      case IORING_OP.SENDMSG:
        this.sent(low, high, this.sendMessage(fd, at), words[e]);
        break;
      case IORING_OP.ACCEPT:
        this.accept(fd, { low, high, many: flags !== 0 });
        break;
      case IORING_OP.CONNECT:
        this.complete(low, high, this.dial(fd, at), 0);
        break;
      case IORING_OP.POLL_ADD:
        this.polls.push({ low, high, many: false, fd, events: words[e + 7] });
        break;
      case IORING_OP.ASYNC_CANCEL:
        this.cancel(words[e + 4] | 0, words[e + 5] | 0);
        break;
      case IORING_OP.CLOSE:
        this.close(fd);
        break;
      default:
        break;
    }
  }

  /** Completes waiting operations that can proceed. */
  private deliver(over: boolean): void {
    for (const { backlog, accept } of this.listening.values()) {
      for (let end = accept && backlog.shift(); end !== undefined && accept; end = backlog.shift())
        this.complete(accept.low, accept.high, this.adopt(end), CQE_F.MORE);
    }
    for (let fd = FIRST_FD; fd < this.receives.length; fd++) if (this.receives[fd] !== undefined) this.receive(fd);
    for (let i = this.polls.length - 1; i >= 0; i--) {
      const poll = this.polls[i];
      const events = poll.fd === UV_FD ? (over ? POLLIN : 0) : this.polled(poll);
      if (events === 0) continue;
      this.polls.splice(i, 1);
      this.complete(poll.low, poll.high, events, 0);
    }
  }

  private polled({ fd, events }: Poll): number {
    const end = this.ends[fd];
    if (end === undefined) return 0;
    const readable = end.input.length > 0 || end.ended ? POLLIN : 0;
    // POLLRDHUP, the only other event that is requested.
    const gone = end.ended ? events & ~(POLLIN | POLLOUT) : 0;
    return (events & (readable | POLLOUT)) | gone;
  }

  private receive(fd: number): void {
    const end = this.ends[fd];
    for (let pending = this.receives[fd]; pending !== undefined; pending = this.receives[fd]) {
      const { low, high, many } = pending;
      if (end === undefined || end.input.length === 0) {
        if (end !== undefined && !end.ended) return;
        this.receives[fd] = undefined;
        this.complete(low, high, 0, 0);
        return;
      }
      if (this.lentHead === this.lent16[7]) {
        this.receives[fd] = undefined;
        this.complete(low, high, -ERRNO.ENOBUFS, 0);
        return;
      }
      const entry = (this.lentHead & ((this.lent32.length >> 2) - 1)) << 2;
      this.lentHead = (this.lentHead + 1) & 0xffff;
      const bid = this.lent16[(entry << 1) + 6];
      const got = end.input.take(this.slab, this.lent32[entry] - SLAB_LOW, this.pieceOf(this.lent32[entry + 2]));
      if (!many) this.receives[fd] = undefined;
      this.complete(low, high, got, CQE_F.BUFFER | (many ? CQE_F.MORE : 0) | (bid << 16));
    }
  }

  private pieceOf(length: number): number {
    return this.received++ % PIECES === 0 ? PIECE_BYTES : length;
  }

  private send(fd: number, at: number, length: number): number {
    const end = this.ends[fd];
    if (end === undefined || end.other.closed) return -ERRNO.EPIPE;
    end.write(this.slab, at, length);
    return length;
  }

  /** A send is complete, in full unless it failed; `word` is the first of its entry. */
  private sent(low: number, high: number, result: number, word: number): void {
    if (result < 0 || ((word >>> 8) & IOSQE.CQE_SKIP_SUCCESS) === 0) this.complete(low, high, result, 0);
  }

  /** Slices of a struct msghdr. */
  private sendMessage(fd: number, at: number): number {
    const { slab32 } = this;
    const slices = (slab32[(at + 16) >> 2] - SLAB_LOW) >>> 2;
    const count = slab32[(at + 24) >> 2];
    let sent = 0;
    for (let i = 0; i < count; i++) {
      const got = this.send(fd, slab32[slices + i * 4] - SLAB_LOW, slab32[slices + i * 4 + 2]);
      if (got < 0) return got;
      sent += got;
    }
    return sent;
  }

  private accept(fd: number, accept: Pending): void {
    const listening = this.listening.get(this.portOf.get(fd) ?? 0);
    if (listening !== undefined) listening.accept = accept;
  }

  private dial(fd: number, at: number): number {
    const port = (this.slab[at + PORT_AT] << 8) | this.slab[at + PORT_AT + 1];
    const end = this.connect(port);
    if (end === undefined) return -ERRNO.ECONNREFUSED;
    this.ends[fd] = end;
    return 0;
  }

  private cancel(low: number, high: number): void {
    const { receives, polls } = this;
    for (const listening of this.listening.values()) {
      if (listening.accept?.low !== low) continue;
      listening.accept = undefined;
      this.complete(low, high, -ERRNO.ECANCELED, 0);
    }
    const poll = polls.findIndex((each) => each.low === low && each.high === high);
    if (poll >= 0) {
      polls.splice(poll, 1);
      this.complete(low, high, -ERRNO.ECANCELED, 0);
    }
    if (low >>> OP_SHIFT !== OP.RECV) return;
    const fd = receives.findIndex((each) => each?.low === low && each.high === high);
    if (fd < 0) return;
    receives[fd] = undefined;
    this.complete(low, high, -ERRNO.ECANCELED, 0);
  }

  private open(): number {
    if (this.nextFd >= MAX_FDS) return -ERRNO.EMFILE;
    return this.nextFd++;
  }

  private adopt(end: End): number {
    const fd = this.nextFd++;
    this.ends[fd] = end;
    return fd;
  }

  private close(fd: number): number {
    this.ends[fd]?.close();
    this.ends[fd] = undefined;
    return 0;
  }

  private complete(low: number, high: number, result: number, flags: number): void {
    if (low >>> OP_SHIFT === OP.NONE && (low & SLOT_MASK) === 0) return;
    const { rings } = this;
    const tail = rings[CQ_TAIL];
    const at = CQES + ((tail & (this.entries * 4 - 1)) << 2);
    rings[at] = low;
    rings[at + 1] = high;
    rings[at + 2] = result;
    rings[at + 3] = flags;
    rings[CQ_TAIL] = (tail + 1) | 0;
  }
}
