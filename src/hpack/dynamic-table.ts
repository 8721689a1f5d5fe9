// A decoder's dynamic table (RFC 7541 section 2.3.2). It owns the text of its entries, so that it stays right whatever happens to the
// header memory. It takes almost no memory before it is used.
import { copyWords } from '../http/octets.js';
import { OVERHEAD } from './field-size.js';
import { LAST_STATIC } from './static-table.js';

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);
const NO_ENTRIES = new Int32Array(0);
const FIRST_ENTRIES = 16;
const FIRST_TEXT = 512;

// Columns of an entry.
const WIDTH = 5;
/** Start of its text, counted over all text ever held: name and value, or only the value if the name is permanent. */
const TEXT = 0;
export const NAME_LENGTH = 1;
export const VALUE_LENGTH = 2;
/** Reference of its name and its atom as of the decoder's epoch, or -1. */
export const REF = 3;
export const ATOM = 4;

export class DynamicTable {
  /** Entries evicted to make room for others. */
  evictions = 0;
  /** Bytes of text moved to make room: never more than were added, because a buffer is at most half full at that point. */
  moved = 0;
  /** Changes with every change of the table. */
  version = 0;
  count = 0;
  /** Columns by place, see `place`. Replaced when the table grows. */
  entries = NO_ENTRIES;

  // A ring of `capacity` entries, the newest at `next - 1`.
  private size = 0;
  private next = 0;
  private capacity = 0;
  // Text of the entries, contiguous; `textBase` is the position of the first byte in `bytes`.
  private bytes = NO_BYTES;
  private view = NO_VIEW;
  private textBase = 0;
  private textNext = 0;

  /**
   * Entries take their text from `source`, with its view, and return it there. `max` is the table's size (section 4.2). Names with references below
   * `permanent` are never forgotten, so the table does not copy them.
   */
  constructor(
    private readonly source: Uint8Array,
    private readonly sourceView: DataView,
    public max: number,
    private readonly permanent = 0,
  ) {}

  /** Place of the entry with this index, which must be one of this table. */
  place(index: number): number {
    return ((this.next - (index - LAST_STATIC)) & (this.capacity - 1)) * WIDTH;
  }

  /** The peer has chosen another size (section 4.3). */
  resize(max: number): void {
    this.max = max;
    this.version++;
    this.evict(0);
  }

  /** Entries' references from another epoch are void. */
  forget(): void {
    for (let place = 0; place < this.entries.length; place += WIDTH) {
      if (!this.isPermanent(this.entries[place + REF])) this.entries[place + REF] = -1;
      this.entries[place + ATOM] = -1;
    }
  }

  /** Sets the reference of an entry whose name had none. A permanent one is left out: for those, the table holds no name. */
  setRef(place: number, ref: number): void {
    if (!this.isPermanent(ref)) this.entries[place + REF] = ref;
  }

  /** Copies an entry's name, which has no reference, to `to` of the source. */
  copyName(place: number, to: number): void {
    const at = (this.entries[place + TEXT] - this.textBase) | 0;
    copyWords(this.bytes, this.view, at, at + this.entries[place + NAME_LENGTH], this.source, this.sourceView, to);
  }

  /** Copies an entry's value to `to` of the source. */
  copyValue(place: number, to: number): void {
    const { entries } = this;
    const before = this.isPermanent(entries[place + REF]) ? 0 : entries[place + NAME_LENGTH];
    const at = ((entries[place + TEXT] - this.textBase) | 0) + before;
    copyWords(this.bytes, this.view, at, at + entries[place + VALUE_LENGTH], this.source, this.sourceView, to);
  }

  /** Section 4.4. The text must not be the table's own, because its source may be evicted. */
  insert(nameAt: number, nameLength: number, valueAt: number, valueLength: number, ref: number, atom: number): void {
    this.version++;
    const size = OVERHEAD + nameLength + valueLength;
    this.evict(size);
    if (size > this.max) return;
    if (this.count === this.capacity) this.growEntries();
    const held = this.isPermanent(ref) ? 0 : nameLength;
    const length = held + valueLength;
    if (((this.textNext - this.textBase) | 0) + length > this.bytes.length) this.makeRoom(length);
    const place = (this.next & (this.capacity - 1)) * WIDTH;
    const entries = this.entries;
    entries[place + TEXT] = this.textNext;
    entries[place + NAME_LENGTH] = nameLength;
    entries[place + VALUE_LENGTH] = valueLength;
    entries[place + REF] = ref;
    entries[place + ATOM] = atom;
    const { source, sourceView, bytes, view } = this;
    const o = (this.textNext - this.textBase) | 0;
    if (held > 0) copyWords(source, sourceView, nameAt, nameAt + held, bytes, view, o);
    copyWords(source, sourceView, valueAt, valueAt + valueLength, bytes, view, o + held);
    this.textNext = (this.textNext + length) | 0;
    this.next = (this.next + 1) | 0;
    this.count++;
    this.size += size;
  }

  private isPermanent(ref: number): boolean {
    return ref >= 0 && ref < this.permanent;
  }

  /** Evicts until `size` more octets fit, or nothing is left (sections 4.3 and 4.4). */
  private evict(size: number): void {
    const entries = this.entries;
    while (this.count > 0 && this.size + size > this.max) {
      const oldest = ((this.next - this.count) & (this.capacity - 1)) * WIDTH;
      this.size -= OVERHEAD + entries[oldest + NAME_LENGTH] + entries[oldest + VALUE_LENGTH];
      this.count--;
      this.evictions++;
    }
  }

  private growEntries(): void {
    const capacity = this.capacity === 0 ? FIRST_ENTRIES : 2 * this.capacity;
    const entries = new Int32Array(capacity * WIDTH);
    for (let i = 0; i < this.count; i++) {
      const from = ((this.next - this.count + i) & (this.capacity - 1)) * WIDTH;
      for (let k = 0; k < WIDTH; k++) entries[i * WIDTH + k] = this.entries[from + k];
    }
    this.entries = entries;
    this.capacity = capacity;
    this.next = this.count;
  }

  /** Moves the text to the front, of a larger buffer if necessary: at most every `max` bytes. */
  private makeRoom(length: number): void {
    const oldest = ((this.next - this.count) & (this.capacity - 1)) * WIDTH;
    const first = this.count > 0 ? this.entries[oldest + TEXT] : this.textNext;
    const live = (this.textNext - first) | 0;
    const from = (first - this.textBase) | 0;
    let capacity = Math.max(this.bytes.length, FIRST_TEXT);
    while (capacity < 2 * (live + length)) capacity *= 2;
    if (capacity > this.bytes.length) {
      const bytes = new Uint8Array(capacity);
      bytes.set(this.bytes.subarray(from, from + live));
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
    } else this.bytes.copyWithin(0, from, from + live);
    this.moved += live;
    this.textBase = first;
  }
}
