// Ring memory without a ring, and the kernel's end of the provided buffers.
import type { RingMemory } from '../../src/io/native.js';
import { BUFFER_SIZE, RING_BUFFERS } from '../../src/io/slab.js';

export function fakeMemory(buffers: number, fixedBytes = 0): RingMemory {
  return {
    executor: 'epoll',
    reason: '',
    ringId: 0,
    rings: new ArrayBuffer(0),
    entries: new ArrayBuffer(0),
    bufferRing: new ArrayBuffer(RING_BUFFERS * 16),
    bundles: 0,
    slab: new ArrayBuffer(buffers * BUFFER_SIZE + fixedBytes),
    slabLow: 0xf000_0000,
    slabHigh: 0x7f12,
    page: new ArrayBuffer(64),
    sqHead: 0,
    sqTail: 0,
    cqHead: 0,
    cqTail: 0,
    cqes: 0,
    sqEntries: 0,
    cqEntries: 0,
  };
}

/** Takes lent buffers in the order of the ring, as the kernel does. */
export class Borrower {
  low = 0;
  high = 0;
  length = 0;
  private head = 0;
  private readonly view: DataView;

  constructor(memory: RingMemory) {
    this.view = new DataView(memory.bufferRing);
  }

  get available(): number {
    return (this.view.getUint16(14, true) - this.head) & 0xffff;
  }

  /** The next buffer's id, its entry in `low`, `high` and `length`; -1 if none is lent. */
  take(): number {
    if (this.available === 0) return -1;
    const at = (this.head & (RING_BUFFERS - 1)) * 16;
    this.head = (this.head + 1) & 0xffff;
    this.low = this.view.getUint32(at, true);
    this.high = this.view.getUint32(at + 4, true);
    this.length = this.view.getUint32(at + 8, true);
    return this.view.getUint16(at + 12, true);
  }
}
