// Sends that are complete when the system call that submits them returns, without a completion if everything was sent. A completion would
// end the wait that begins in that very call, and cost another turn of the loop and another call: at light load as much as everything else
// together.
//
// Such a send never waits in the kernel (MSG_DONTWAIT), and success has no completion (CQE_SKIP_SUCCESS). A partial send counts as failed,
// because of MSG_WAITALL. So once the executor has taken the entries, each one without a completion has sent everything.

/** Maximum per turn. */
const MAX_SENDS = 64;

export class SilentSends {
  count = 0;
  private readonly slots = new Int32Array(MAX_SENDS);
  private readonly lengths = new Int32Array(MAX_SENDS);

  /** False if the maximum is reached. */
  add(slot: number, bytes: number): boolean {
    if (this.count === MAX_SENDS) return false;
    this.slots[this.count] = slot;
    this.lengths[this.count++] = bytes;
    return true;
  }

  /** There is a completion for the send of `slot`, if it is one of them. */
  completed(slot: number): void {
    for (let i = 0; i < this.count; i++) if (this.slots[i] === slot) this.lengths[i] = 0;
  }

  slot(i: number): number {
    return this.slots[i];
  }

  /** Bytes sent; 0: its completion says. */
  bytes(i: number): number {
    return this.lengths[i];
  }

  clear(): void {
    this.count = 0;
  }
}
