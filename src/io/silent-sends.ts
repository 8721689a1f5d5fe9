// Sends that are over when the system call that submits them returns, and say nothing if all was sent. A completion would end the wait that
// begins with that very call, and cost another turn of the loop and another call: at light load as many as all else together.
//
// Such a send never waits in the kernel (MSG_DONTWAIT), and a success has no completion (CQE_SKIP_SUCCESS); one that is not whole has failed, for
// it says MSG_WAITALL. So once the executor has taken the entries, each of which no completion is there has sent everything.

/** In one turn. */
const MOST = 64;

export class SilentSends {
  count = 0;
  private readonly slots = new Int32Array(MOST);
  private readonly lengths = new Int32Array(MOST);

  /** False if there are as many as may be. */
  add(slot: number, bytes: number): boolean {
    if (this.count === MOST) return false;
    this.slots[this.count] = slot;
    this.lengths[this.count++] = bytes;
    return true;
  }

  /** There is a completion for the send of `slot`, if it is one of them. */
  spoke(slot: number): void {
    for (let i = 0; i < this.count; i++) if (this.slots[i] === slot) this.lengths[i] = 0;
  }

  slot(i: number): number {
    return this.slots[i];
  }

  /** What was sent; 0: its completion says so. */
  bytes(i: number): number {
    return this.lengths[i];
  }

  clear(): void {
    this.count = 0;
  }
}
