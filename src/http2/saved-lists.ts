// Waiting lists of fields, by number: trailers after unsent data, and requests that may have to be sent again.
import type { FieldList } from '../hpack/field-list.js';
import { restoreList, saveList } from '../hpack/memory/saved-list.js';
import { column } from '../http/columns.js';
import { SCRATCH_BUFFER_BYTES, type ScratchBuffers } from '../http/scratch-buffers.js';
import type { BlockAllocator, SlabBuffers } from './block-allocator.js';
import { BufferChains } from './buffer-chains.js';

export class SavedLists {
  /** 1: a list is saved, possibly one without fields. */
  private readonly saved: Uint8Array;
  private readonly chains: BufferChains;

  constructor(
    slab: SlabBuffers,
    blocks: BlockAllocator,
    private readonly scratch: ScratchBuffers,
    count: number,
  ) {
    this.saved = column(Uint8Array, count);
    this.chains = new BufferChains(slab, blocks, count);
  }

  has(id: number): boolean {
    return this.saved[id] === 1;
  }

  /** False if there is no memory. */
  save(id: number, list: FieldList): boolean {
    const at = this.scratch.written;
    const end = saveList(list, at, at + SCRATCH_BUFFER_BYTES);
    if (end < 0) return false;
    if (end > at && !this.chains.copy(id, at, end - at)) {
      this.chains.clear(id);
      return false;
    }
    this.saved[id] = 1;
    return true;
  }

  /** Loads the list into `list`, which refers to its place until another one is restored. */
  restore(id: number, list: FieldList): void {
    const at = this.scratch.replay;
    restoreList(list, at, this.chains.gather(id, at));
  }

  drop(id: number): void {
    if (this.saved[id] === 0) return;
    this.saved[id] = 0;
    this.chains.clear(id);
  }
}
