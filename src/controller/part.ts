// What the controller is made of: parts that each serve a port, or keep something current, and begin and end together.

export interface Part {
  /** For the log, and for who asks why the controller is not ready. */
  readonly name: string;
  /** Resolves when it serves, or does what it is for; rejects where it can't begin, with what an operator can do about it. */
  start(): Promise<void>;
  /** Begins nothing more, and ends what is open, within a grace of its own; true if nothing had to be cut off. */
  close(): Promise<boolean>;
  /** Why the controller must not be asked; null: it may. */
  unready(): string | null;
  /** What is wrong while it serves all the same; null: nothing. */
  readonly problem: string | null;
}
