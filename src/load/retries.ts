// When a lost connection is redialled: at once, or after a pause that doubles while it keeps failing.

const NEVER = Number.POSITIVE_INFINITY;
/** Pause before redialling a connection that has failed twice in a row; doubled with each further failure. */
const MIN_PAUSE_US = 10_000;
const MAX_PAUSE_US = 1_000_000;
const MAX_FAILURES = 20;

export class Retries {
  /** Connections to redial this turn: not where one is dropped, because its slot may be in use there. */
  private readonly soon: Int32Array;
  private soonCount = 0;
  /** Failures in a row. */
  private readonly failures: Uint8Array;
  /** When to redial a waiting connection. */
  private readonly at: Float64Array;

  constructor(connections: number) {
    this.soon = new Int32Array(connections);
    this.failures = new Uint8Array(connections);
    this.at = new Float64Array(connections).fill(NEVER);
  }

  /** The connection works: its failures are forgotten. */
  succeeded(connection: number): void {
    this.failures[connection] = 0;
  }

  /** The connection has ended. Returns the pause before redialling, µs. */
  backoff(connection: number, inOrder: boolean): number {
    const failures = inOrder ? 0 : Math.min(this.failures[connection] + 1, MAX_FAILURES);
    this.failures[connection] = failures;
    return failures <= 1 ? 0 : Math.min(MAX_PAUSE_US, MIN_PAUSE_US * 2 ** (failures - 2));
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
