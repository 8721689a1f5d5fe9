// Sockets in order of arrival, each at most once: linked through typed arrays, so that one can leave from the middle.
import { column } from '../http/columns.js';

export class SlotList {
  size = 0;
  /** A slot plus 1; 0 is none. Pages of unused slots stay untouched. */
  private head = 0;
  private tail = 0;
  private readonly next: Int32Array;
  private readonly before: Int32Array;
  private readonly listed: Uint8Array;

  constructor(slots: number) {
    this.next = column(Int32Array, slots);
    this.before = column(Int32Array, slots);
    this.listed = column(Uint8Array, slots);
  }

  has(slot: number): boolean {
    return this.listed[slot] === 1;
  }

  /** The oldest entry, or -1. */
  get first(): number {
    return this.head - 1;
  }

  /** Appends it, unless it is already in the list. */
  push(slot: number): void {
    if (this.listed[slot] === 1) return;
    this.listed[slot] = 1;
    this.next[slot] = 0;
    this.before[slot] = this.tail;
    if (this.tail === 0) this.head = slot + 1;
    else this.next[this.tail - 1] = slot + 1;
    this.tail = slot + 1;
    this.size++;
  }

  remove(slot: number): void {
    if (this.listed[slot] === 0) return;
    const next = this.next[slot];
    const before = this.before[slot];
    if (before === 0) this.head = next;
    else this.next[before - 1] = next;
    if (next === 0) this.tail = before;
    else this.before[next - 1] = before;
    this.listed[slot] = 0;
    this.size--;
  }

  /** Removes the first one; -1 if there is none. */
  shift(): number {
    const slot = this.head - 1;
    if (slot >= 0) this.remove(slot);
    return slot;
  }
}
