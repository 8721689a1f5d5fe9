// Sends that were refused as calls: their owners are told where completions are told of, not in the middle of what they were doing.
import type { Refused } from './transport.js';

export class RefusedSends {
  count = 0;
  private readonly slots: Int32Array;
  private readonly errnos: Int32Array;

  constructor(capacity: number) {
    this.slots = new Int32Array(capacity);
    this.errnos = new Int32Array(capacity);
  }

  note(slot: number, errno: number): void {
    this.slots[this.count] = slot;
    this.errnos[this.count++] = errno;
  }

  /** Tells of all. What is refused meanwhile is told of next time. */
  tell(events: Refused): void {
    const n = this.count;
    this.count = 0;
    for (let i = 0; i < n; i++) events.sendFailed(this.slots[i], this.errnos[i]);
  }
}
