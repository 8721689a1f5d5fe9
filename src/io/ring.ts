// Submission entries out, completion entries in: typed arrays over memory shared with the executor. With SINGLE_ISSUER | DEFER_TASKRUN
// completions appear only inside `enter` on this thread, so plain loads and stores are enough.
import { getSystemErrorName } from 'node:util';
import {
  ACCEPT_MULTISHOT,
  IORING_OP,
  IOSQE,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_WAITALL,
  OP,
  OP_SHIFT,
  passing,
  RECV_MULTISHOT,
  RECVSEND_BUNDLE,
} from './abi.js';
import type { Native, RingMemory } from './native.js';

const BUFFER_GROUP = 1;
const MSG_DATA = 0;
/** How long to retry when the ring is full and memory is short, µs. */
const FULL_RETRY_US = 1_000_000;

export class Ring {
  /** Completion entries as Int32: user_data low, high, result, flags; see `completionAt`. */
  readonly completions: Int32Array;
  readonly executor: 'uring' | 'epoll';
  readonly ringId: number;
  /** Whether a receive may fill several buffers. */
  readonly bundles: boolean;
  private readonly native: Native;
  private readonly rings: Int32Array;
  private readonly words: Uint32Array;
  private readonly halves: Uint16Array;
  private readonly octets: Uint8Array;
  private readonly page: Float64Array;
  private readonly sqHeadAt: number;
  private readonly sqTailAt: number;
  private readonly cqHeadAt: number;
  private readonly cqTailAt: number;
  private readonly cqesAt: number;
  private readonly sqMask: number;
  private readonly sqEntries: number;
  private readonly cqMask: number;
  private readonly low: number;
  private readonly high: number;
  private tail: number;

  constructor(native: Native, memory: RingMemory) {
    this.native = native;
    this.executor = memory.executor;
    this.ringId = memory.ringId;
    this.bundles = memory.bundles === 1;
    this.rings = new Int32Array(memory.rings);
    this.completions = this.rings;
    this.words = new Uint32Array(memory.entries);
    this.halves = new Uint16Array(memory.entries);
    this.octets = new Uint8Array(memory.entries);
    this.page = new Float64Array(memory.page);
    this.sqHeadAt = memory.sqHead >> 2;
    this.sqTailAt = memory.sqTail >> 2;
    this.cqHeadAt = memory.cqHead >> 2;
    this.cqTailAt = memory.cqTail >> 2;
    this.cqesAt = memory.cqes >> 2;
    this.sqEntries = memory.sqEntries;
    this.sqMask = memory.sqEntries - 1;
    this.cqMask = memory.cqEntries - 1;
    this.low = memory.slabLow;
    this.high = memory.slabHigh;
    this.tail = this.rings[this.sqTailAt];
  }

  /** Entries written and not yet consumed by the executor. */
  get queued(): number {
    return (this.tail - this.rings[this.sqHeadAt]) | 0;
  }

  /** Whether completions may wait for room, and be invisible so far. */
  get overfull(): boolean {
    return ((this.completedTail - this.head) | 0) > this.cqMask;
  }

  /** Submits what is queued, waits as described at `Native.enter`, returns its result. */
  enter(minComplete: number, timeoutUs: number, minWaitUs: number): number {
    return this.native.enter((this.tail - this.rings[this.sqHeadAt]) | 0, minComplete, timeoutUs, minWaitUs);
  }

  get head(): number {
    return this.rings[this.cqHeadAt];
  }

  set head(value: number) {
    this.rings[this.cqHeadAt] = value;
  }

  get completedTail(): number {
    return this.rings[this.cqTailAt];
  }

  /** Index into `completions` of completion number `head`. */
  completionAt(head: number): number {
    return this.cqesAt + ((head & this.cqMask) << 2);
  }

  /** Accepts until cancelled; with `many` false: once. */
  accept(fd: number, listener: number, many = true): void {
    const e = this.entry(IORING_OP.ACCEPT, fd, listener | (OP.ACCEPT << OP_SHIFT), 0);
    if (many) this.halves[(e << 1) + 1] = ACCEPT_MULTISHOT;
  }

  /** Multishot receive into provided buffers. */
  receive(fd: number, slot: number, generation: number): void {
    const e = this.entry(IORING_OP.RECV, fd, slot | (OP.RECV << OP_SHIFT), generation);
    this.octets[(e << 2) + 1] = IOSQE.BUFFER_SELECT;
    this.halves[(e << 1) + 1] = this.bundles ? RECV_MULTISHOT | RECVSEND_BUNDLE : RECV_MULTISHOT;
    this.halves[(e << 1) + 20] = BUFFER_GROUP;
  }

  /** The same, but ends after `bytes`. Only with bundles. */
  receiveUpTo(fd: number, slot: number, generation: number, bytes: number): void {
    const e = this.entry(IORING_OP.RECV, fd, slot | (OP.RECV << OP_SHIFT), generation);
    this.octets[(e << 2) + 1] = IOSQE.BUFFER_SELECT;
    this.halves[(e << 1) + 1] = RECV_MULTISHOT | RECVSEND_BUNDLE;
    this.halves[(e << 1) + 20] = BUFFER_GROUP;
    this.words[e + 6] = bytes;
    this.words[e + 11] = bytes;
  }

  /** One receive into a provided buffer. */
  receiveOnce(fd: number, slot: number, generation: number): void {
    const e = this.entry(IORING_OP.RECV, fd, slot | (OP.RECV << OP_SHIFT), generation);
    this.octets[(e << 2) + 1] = IOSQE.BUFFER_SELECT;
    this.halves[(e << 1) + 20] = BUFFER_GROUP;
  }

  /** `silent`: it completes within the `enter` that takes it, and reports only if not everything was sent. */
  send(fd: number, slot: number, generation: number, at: number, length: number, silent = false): void {
    const e = this.entry(IORING_OP.SEND, fd, slot | (OP.SEND << OP_SHIFT), generation);
    const words = this.words;
    words[e + 4] = (this.low + at) >>> 0;
    words[e + 5] = this.high;
    words[e + 6] = length;
    words[e + 7] = silent ? MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT : MSG_NOSIGNAL | MSG_WAITALL;
    if (silent) this.octets[(e << 2) + 1] = IOSQE.CQE_SKIP_SUCCESS;
  }

  /** Sends the slices of the message header at slab offset `at`. */
  sendMessage(fd: number, slot: number, generation: number, at: number, silent = false): void {
    const e = this.entry(IORING_OP.SENDMSG, fd, slot | (OP.SEND << OP_SHIFT), generation);
    const words = this.words;
    words[e + 4] = (this.low + at) >>> 0;
    words[e + 5] = this.high;
    words[e + 6] = 1;
    words[e + 7] = silent ? MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT : MSG_NOSIGNAL | MSG_WAITALL;
    if (silent) this.octets[(e << 2) + 1] = IOSQE.CQE_SKIP_SUCCESS;
  }

  /** Connects to the sockaddr of `length` bytes at slab offset `at`. */
  connect(fd: number, slot: number, generation: number, at: number, length: number): void {
    const e = this.entry(IORING_OP.CONNECT, fd, slot | (OP.CONNECT << OP_SHIFT), generation);
    const words = this.words;
    words[e + 2] = length;
    words[e + 4] = (this.low + at) >>> 0;
    words[e + 5] = this.high;
  }

  /** Waits once for `events`; the completion carries `op`. */
  poll(fd: number, slot: number, generation: number, events: number, op: number): void {
    const e = this.entry(IORING_OP.POLL_ADD, fd, slot | (op << OP_SHIFT), generation);
    this.words[e + 7] = events;
  }

  /** Cancels the operation with this user_data; silent unless there was none. */
  cancel(slot: number, op: number, generation: number): void {
    const e = this.entry(IORING_OP.ASYNC_CANCEL, -1, OP.NONE << OP_SHIFT, 0);
    this.words[e + 4] = (slot | (op << OP_SHIFT)) >>> 0;
    this.words[e + 5] = generation;
    this.octets[(e << 2) + 1] = IOSQE.CQE_SKIP_SUCCESS;
  }

  cancelAccept(listener: number): void {
    this.cancel(listener, OP.ACCEPT, 0);
  }

  close(fd: number): void {
    const e = this.entry(IORING_OP.CLOSE, fd, OP.NONE << OP_SHIFT, 0);
    this.octets[(e << 2) + 1] = IOSQE.CQE_SKIP_SUCCESS;
  }

  /** Gives `fd` to the ring `target`: it completes there with `OP.HANDOVER` and the listener, here with `OP.HANDOVER_SENT`. */
  handOver(target: number, fd: number, listener: number): void {
    const e = this.entry(IORING_OP.MSG_RING, target, listener | (OP.HANDOVER_SENT << OP_SHIFT), fd);
    const words = this.words;
    words[e + 2] = listener | (OP.HANDOVER << OP_SHIFT);
    words[e + 3] = 0;
    words[e + 4] = MSG_DATA;
    words[e + 6] = fd;
  }

  /** The ring is full in the middle of a turn. Wait until memory is available, because there is no way back from here. */
  private makeRoom(): void {
    let until = 0;
    for (;;) {
      const result = this.native.enter(this.queued, 0, 0, 0);
      if (this.queued < this.sqEntries) return;
      const now = this.page[0];
      if (until === 0) until = now + FULL_RETRY_US;
      if (result >= 0 || !passing(result) || now > until) throw ringFailure(result);
    }
  }

  /**
   * A zeroed entry; returns its index in 32-bit words. The tail is published at once, so that a dying thread's queue can still be
   * submitted.
   */
  private entry(opcode: number, fd: number, low: number, high: number): number {
    if (this.queued >= this.sqEntries) this.makeRoom();
    const words = this.words;
    const e = (this.tail & this.sqMask) << 4;
    words[e] = opcode;
    words[e + 1] = fd;
    words[e + 2] = 0;
    words[e + 3] = 0;
    words[e + 4] = 0;
    words[e + 5] = 0;
    words[e + 6] = 0;
    words[e + 7] = 0;
    words[e + 8] = low;
    words[e + 9] = high;
    words[e + 10] = 0;
    words[e + 11] = 0;
    words[e + 12] = 0;
    words[e + 13] = 0;
    words[e + 14] = 0;
    words[e + 15] = 0;
    this.tail = (this.tail + 1) | 0;
    this.rings[this.sqTailAt] = this.tail;
    return e;
  }
}

/** The error for an `enter` that returned `result` and can't be retried. */
export function ringFailure(result: number): Error {
  const why = result < 0 ? getSystemErrorName(result) : 'it consumed none';
  return new Error(`the ring takes no more entries: ${why}`);
}
