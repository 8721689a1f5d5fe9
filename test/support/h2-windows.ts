// Flow control as a raw HTTP/2 peer sees it: what it may send, and what it has received and not given back yet.

/** Octets that are given back at once: not each by itself, as no real peer does. */
const CREDIT_BYTES = 4096;

export class Windows {
  /** What may still be sent on the connection. */
  connection = 65_535;
  /** What may still be sent on streams, less their initial window. */
  private readonly streams = new Map<number, number>();
  private readonly owed = new Map<number, number>();

  /** WINDOW_UPDATE has come. */
  widen(stream: number, octets: number): void {
    if (stream === 0) this.connection += octets;
    else this.widenStream(stream, octets);
  }

  /** DATA has been sent. */
  charge(stream: number, octets: number): void {
    this.connection -= octets;
    this.widenStream(stream, -octets);
  }

  /** What may be sent on a stream now. */
  room(stream: number, initial: number): number {
    return Math.min(this.connection, initial + (this.streams.get(stream) ?? 0));
  }

  /** DATA has come: how much is to be given back now. */
  due(stream: number, octets: number): number {
    const owed = (this.owed.get(stream) ?? 0) + octets;
    const due = owed < CREDIT_BYTES ? 0 : owed;
    this.owed.set(stream, owed - due);
    return due;
  }

  private widenStream(stream: number, octets: number): void {
    this.streams.set(stream, (this.streams.get(stream) ?? 0) + octets);
  }
}
