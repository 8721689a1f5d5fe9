// When a lost connection is made again: at once, or after a pause that doubles while its successors are of no use either. Half of each pause
// is random: connections that a server has ended together do not return together.

const NEVER = Number.POSITIVE_INFINITY;
/** Longest pause before redialling a connection that has failed twice in a row; doubled with each further failure. */
const MIN_PAUSE_US = 10_000;
const MAX_PAUSE_US = 1_000_000;
const MAX_FAILURES = 20;
/** A connection that ends earlier without an answer has failed. One that lasts needs no pause: it makes few dials. */
export const BRIEF_US = MAX_PAUSE_US;

export class Retries {
  /** Connections to redial this turn: not where one is dropped, because its slot may be in use there. */
  private readonly soon: Int32Array;
  private soonCount = 0;
  /** Failures in a row. */
  private readonly failures: Uint8Array;
  /** When to redial a waiting connection. */
  private readonly at: Float64Array;

  constructor(
    connections: number,
    /** From 0 to below 1. */
    private readonly random: () => number = Math.random,
  ) {
    this.soon = new Int32Array(connections);
    this.failures = new Uint8Array(connections);
    this.at = new Float64Array(connections).fill(NEVER);
  }

  /** The connection has served a request: failures before it are forgotten. */
  succeeded(connection: number): void {
    this.failures[connection] = 0;
  }

  /**
   * The connection has ended `lived` µs after it was dialled. Returns the pause before redialling, µs. How it ended does not matter: a server
   * that closes connections in good order, but serves none of them, would be dialled without end.
   */
  backoff(connection: number, lived: number): number {
    const failures = lived >= BRIEF_US ? 0 : Math.min(this.failures[connection] + 1, MAX_FAILURES);
    this.failures[connection] = failures;
    if (failures <= 1) return 0;
    const longest = Math.min(MAX_PAUSE_US, MIN_PAUSE_US * 2 ** (failures - 2));
    return longest * (0.5 + this.random() / 2);
  }

  /** Dialling failed at once, and would again: the next failure counts as one of several in a row. */
  failedAtOnce(connection: number): void {
    this.failures[connection] = Math.max(this.failures[connection], 1);
  }

  /** Redial at `at`: `due` says when that is over. */
  wait(connection: number, at: number): void {
    this.at[connection] = at;
  }

  /** The connection is being made. */
  made(connection: number): void {
    this.at[connection] = NEVER;
  }

  /** Whether the wait is over. True once per wait. */
  due(connection: number, now: number): boolean {
    if (this.at[connection] > now) return false;
    this.at[connection] = NEVER;
    return true;
  }

  /** Redial this turn. */
  atOnce(connection: number): void {
    this.soon[this.soonCount++] = connection;
  }

  /** Number of connections to redial this turn. */
  get soonest(): number {
    return this.soonCount;
  }

  /** Calls `make` for each of them. A connection that fails at once is not listed again: it waits. */
  takeSoon(make: (connection: number) => void): void {
    const count = this.soonCount;
    this.soonCount = 0;
    for (let i = 0; i < count; i++) make(this.soon[i]);
  }
}
