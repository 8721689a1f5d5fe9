// Memory for the benchmarks: the slab of a real ring, because TLS needs one. One per thread.

import { HeaderMemory } from '../hpack/memory/header-memory.js';
import { SCRATCH_BUFFERS_BYTES } from '../http/scratch-buffers.js';
import type { Native } from '../io/native.js';
import { native } from '../io/native.js';
import { RING_BUFFERS, Slab } from '../io/slab.js';

const ENTRIES = 64;
const BUFFERS_BYTES = 16 * 1024 * 1024;
const HEADER_BYTES = 4 * 1024 * 1024;
const FIXED_BYTES = HEADER_BYTES + SCRATCH_BUFFERS_BYTES + 1024 * 1024;

export class Arena {
  readonly native: Native = native();
  readonly slab: Slab;
  /** Shared by a worker's connections. */
  readonly headers: HeaderMemory;

  constructor() {
    const memory = this.native.create('epoll', ENTRIES, RING_BUFFERS, BUFFERS_BYTES + FIXED_BYTES);
    this.slab = new Slab(memory, FIXED_BYTES);
    this.headers = new HeaderMemory(this.slab.bytes, this.slab.fixed(HEADER_BYTES), HEADER_BYTES);
  }

  get bytes(): Uint8Array {
    return this.slab.bytes;
  }

  /** Places `text` permanently; returns its position. */
  text(text: string): number {
    const at = this.slab.fixed(text.length);
    this.write(text, at);
    return at;
  }

  /** Writes `text` at `at`; returns the position behind it. */
  write(text: string, at: number): number {
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
    return at + text.length;
  }

  end(): void {
    this.native.destroy();
  }
}
