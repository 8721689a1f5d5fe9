// Limits on what header fields may teach the header memory, and how fast.
//
// An epoch ends when a table or the text is full. This costs everybody: everything has to be learned again, and encoders empty their
// tables. A client can send names, values and combinations twice each that never come again: with 128 fields a block, 35 blocks would fill
// the names. So each list that is not found whole brings an allowance, room for one template, and only a fraction of an epoch's room can be
// saved up. However that is spent, an epoch lasts at least three quarters as many such lists as it has room for templates: 1536 with 4 MiB.
// A request has two to four of them.
//
// Nobody can be kept from learning by others who spend everything: a list's allowance is granted when it begins, and pays for a name, a
// template, or eight atoms of its own. Only values of more than 256 bytes need saved allowance.

/** Longer names and values are not learned. */
export const MAX_LEARNED = 4096;
/** The fraction of an epoch's room that can be saved up: so a start, or a rush of new clients, is learned at once. */
const SAVED_PART = 4;

export class LearningBudget {
  /** Something found no room: the next block begins a new epoch. */
  full = false;
  /** Entries that were not learned for lack of allowance. */
  declined = 0;
  private allowance: number;
  private readonly max: number;

  /** `room` is what an epoch can learn, `perList` what each list brings, in bytes of text or equivalents. */
  constructor(
    room: number,
    private readonly perList: number,
  ) {
    this.max = Math.floor(room / SAVED_PART);
    this.allowance = this.max;
  }

  /** A list begins. */
  deposit(): void {
    const allowance = this.allowance + this.perList;
    this.allowance = Math.min(allowance, this.max);
  }

  /** Whether something of this cost may be learned. */
  canSpend(cost: number): boolean {
    if (cost <= this.allowance) return true;
    this.declined++;
    return false;
  }

  spend(cost: number): void {
    this.allowance -= cost;
  }
}
