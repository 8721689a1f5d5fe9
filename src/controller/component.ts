// A component of the controller: serves a port, or keeps something current. Components start and stop together.

export interface Component {
  /** For the log, and for explaining why the controller is not ready. */
  readonly name: string;
  /** Resolves when it works; rejects if it can't start, with a remedy for the operator. */
  start(): Promise<void>;
  /** Starts nothing more, and ends what is open, within its own grace; true if nothing had to be cut off. */
  close(): Promise<boolean>;
  /** Why the controller must not be used; null: it may. */
  unready(): string | null;
  /** A problem that does not prevent service; null: none. */
  readonly problem: string | null;
}
