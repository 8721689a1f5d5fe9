// A plain driver of the native ring for tests: one completion list, no slots, no pooling.
import { setImmediate as turn } from 'node:timers/promises';
import { native, type RingMemory } from '../../src/io/native.js';

export type Executor = 'uring' | 'epoll';

export const NOP = 0;
export const POLL_ADD = 6;
export const SENDMSG = 9;
export const ACCEPT = 13;
export const ASYNC_CANCEL = 14;
export const CONNECT = 16;
export const CLOSE = 19;
export const SEND = 26;
export const RECV = 27;
export const SHUTDOWN = 34;
export const MSG_RING = 40;

export const IO_LINK = 4;
export const IO_HARDLINK = 8;
export const BUFFER_SELECT = 32;
/** `ioprio` of a receive that goes on, and may fill several buffers at once. */
export const MANY = 2 | 16;
export const CQE_SKIP_SUCCESS = 64;

export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;

export const F_BUFFER = 1;
export const F_MORE = 2;

export const ECANCELED = -125;
export const ENOBUFS = -105;

export interface Completion {
  readonly tag: number;
  readonly result: number;
  readonly flags: number;
  /** Provided buffer, -1 where there is none. */
  readonly buffer: number;
}

/** Fields of an entry beyond opcode, descriptor and tag; `at` is a slab offset that becomes an address. */
export interface Fields {
  readonly flags?: number;
  readonly ioprio?: number;
  readonly offset?: number;
  /** What a receive that goes on may take in all. */
  readonly limit?: number;
  readonly at?: number;
  readonly address?: number;
  readonly length?: number;
  readonly operation?: number;
}

const TIMEOUT_MS = 30_000;

export class TestRing {
  readonly memory: RingMemory;
  readonly slab: Buffer;
  readonly bufferSize: number;
  readonly completions: Completion[] = [];
  readonly #words: Int32Array;
  readonly #entries: DataView;
  readonly #bufferRing: DataView;
  readonly #buffers: number;
  #tail: number;
  #pending = 0;
  #bufferTail = 0;

  /** The first `buffers` × `bufferSize` bytes of the slab are provided; 1 MiB follows for the test's own data. */
  constructor(executor: Executor, buffers = 16, bufferSize = 4096, entries = 64) {
    const memory = native().create(executor, entries, buffers, buffers * bufferSize + (1 << 20));
    this.memory = memory;
    this.bufferSize = bufferSize;
    this.slab = Buffer.from(memory.slab);
    this.#words = new Int32Array(memory.rings);
    this.#entries = new DataView(memory.entries);
    this.#bufferRing = new DataView(memory.bufferRing);
    this.#buffers = buffers;
    this.#tail = this.#words[memory.sqTail >> 2];
    for (let id = 0; id < buffers; id++) this.give(id);
  }

  /** Slab offset of the test's own data. */
  get scratch(): number {
    return this.#buffers * this.bufferSize;
  }

  give(id: number): void {
    const at = (this.#bufferTail & (this.#buffers - 1)) * 16;
    this.#bufferRing.setUint32(at, this.memory.slabLow + id * this.bufferSize, true);
    this.#bufferRing.setUint32(at + 4, this.memory.slabHigh, true);
    this.#bufferRing.setUint32(at + 8, this.bufferSize, true);
    this.#bufferRing.setUint16(at + 12, id, true);
    this.#bufferTail = (this.#bufferTail + 1) & 0xffff;
    this.#bufferRing.setUint16(14, this.#bufferTail, true);
  }

  entry(opcode: number, fd: number, tag: number, fields: Fields = {}): void {
    const at = (this.#tail & (this.memory.sqEntries - 1)) * 64;
    const view = this.#entries;
    for (let i = 0; i < 64; i += 4) view.setUint32(at + i, 0, true);
    view.setUint8(at, opcode);
    view.setUint8(at + 1, fields.flags ?? 0);
    view.setUint16(at + 2, fields.ioprio ?? 0, true);
    view.setInt32(at + 4, fd, true);
    view.setUint32(at + 8, fields.offset ?? 0, true);
    if (fields.at !== undefined) {
      view.setUint32(at + 16, this.memory.slabLow + fields.at, true);
      view.setUint32(at + 20, this.memory.slabHigh, true);
    } else {
      view.setUint32(at + 16, fields.address ?? 0, true);
    }
    view.setUint32(at + 24, fields.length ?? 0, true);
    view.setUint32(at + 28, fields.operation ?? 0, true);
    view.setUint32(at + 32, tag, true);
    if (((fields.flags ?? 0) & BUFFER_SELECT) !== 0) view.setUint16(at + 40, 1, true);
    if (fields.limit !== undefined) view.setUint32(at + 44, fields.limit, true);
    this.#tail = (this.#tail + 1) | 0;
    this.#pending++;
  }

  accept(fd: number, tag: number): void {
    this.entry(ACCEPT, fd, tag, { ioprio: 1, operation: 0o2000000 });
  }

  receive(fd: number, tag: number): void {
    this.entry(RECV, fd, tag, { flags: BUFFER_SELECT, ioprio: 2 });
  }

  send(fd: number, tag: number, at: number, length: number, flags = 0, messageFlags = MSG_WAITALL): void {
    this.entry(SEND, fd, tag, { flags, at, length, operation: messageFlags | MSG_NOSIGNAL });
  }

  cancelFd(fd: number, tag: number, flags = 0): void {
    this.entry(ASYNC_CANCEL, fd, tag, { flags, operation: 3 });
  }

  cancelTag(target: number, tag: number): void {
    this.entry(ASYNC_CANCEL, -1, tag, { address: target });
  }

  connect(fd: number, tag: number, host: string, port: number): void {
    const length = native().sockaddr(host, port, this.slab, this.scratch);
    this.entry(CONNECT, fd, tag, { at: this.scratch, offset: length });
  }

  /** Submits and collects; returns what `enter` returned. */
  enter(minComplete = 0, timeoutUs = 0, minWaitUs = 0): number {
    this.#words[this.memory.sqTail >> 2] = this.#tail;
    const result = native().enter(this.#pending, minComplete, timeoutUs, minWaitUs);
    this.#pending = (this.#tail - this.#words[this.memory.sqHead >> 2]) | 0;
    const at = this.memory.cqHead >> 2;
    let head = this.#words[at];
    for (; head !== this.#words[this.memory.cqTail >> 2]; head = (head + 1) | 0) {
      const cqe = (this.memory.cqes >> 2) + (head & (this.memory.cqEntries - 1)) * 4;
      const flags = this.#words[cqe + 3];
      const buffer = (flags & F_BUFFER) !== 0 ? flags >>> 16 : -1;
      this.completions.push({ tag: this.#words[cqe], result: this.#words[cqe + 2], flags, buffer });
    }
    this.#words[at] = head;
    return result;
  }

  /** Turns the ring and libuv until `condition` holds. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const end = Date.now() + TIMEOUT_MS;
    for (;;) {
      this.enter();
      if (condition()) return;
      if (Date.now() > end) throw new Error(`waited in vain for ${what}; seen: ${JSON.stringify(this.completions)}`);
      await turn();
    }
  }

  /** Turns both loops often enough for anything that is due to arrive. */
  async settle(): Promise<void> {
    const end = Date.now() + 20;
    while (Date.now() < end) {
      this.enter(1, 1000);
      await turn();
    }
  }

  of(tag: number): Completion[] {
    return this.completions.filter((completion) => completion.tag === tag);
  }

  /** The next completion of `tag`, taken off the list. */
  async take(tag: number): Promise<Completion> {
    await this.until(() => this.of(tag).length > 0, `a completion of ${tag}`);
    const at = this.completions.findIndex((completion) => completion.tag === tag);
    const completion = this.completions[at];
    this.completions.splice(at, 1);
    return completion;
  }

  /** Bytes of a completion's buffer, which goes back to the ring. */
  bytes(completion: Completion): Buffer {
    const at = completion.buffer * this.bufferSize;
    const copy = Buffer.from(this.slab.subarray(at, at + Math.max(0, completion.result)));
    if (completion.buffer >= 0) this.give(completion.buffer);
    return copy;
  }

  /** The same of a completion that may have filled several, which follow each other in the ring. */
  several(completion: Completion): Buffer {
    const parts: Buffer[] = [];
    const entries = Array.from({ length: this.#buffers }, (_, at) => this.#bufferRing.getUint16(at * 16 + 12, true));
    let left = completion.result;
    for (let at = entries.indexOf(completion.buffer); left > 0; at = (at + 1) % this.#buffers) {
      const result = Math.min(left, this.#bufferRing.getUint32(at * 16 + 8, true));
      parts.push(this.bytes({ ...completion, result, buffer: entries[at] }));
      left -= result;
    }
    return Buffer.concat(parts);
  }

  destroy(): void {
    native().destroy();
  }
}

/** Why `executor` can't be tested here, or undefined. */
export function refusal(executor: Executor): string | undefined {
  try {
    native().create(executor, 8, 8, 65536);
    native().destroy();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
