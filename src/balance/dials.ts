// Dials in progress per endpoint, and recent failed or slow ones. An endpoint that does not answer has the fewest connections, and would
// attract every new one. It is in doubt while it keeps a dial waiting, and for a while after a dial failed or lost to a faster one; a
// successful dial ends all doubt. The breaker counts failures; this only prefers others.
import { column } from '../http/columns.js';

/** A dial is late after this multiple of the usual time plus this many ms. */
const LATE_FACTOR = 2;
const LATE_MARGIN_MS = 10;
/** How long the first unsuccessful dial puts an endpoint in doubt, ms; each further one doubles it, up to ... */
const DOUBT_MS = 1000;
const MAX_DOUBLINGS = 5;

export class Dials {
  /** Dials under way. */
  readonly inProgress: Int32Array;
  /** When the dials in progress began to wait, or the last of them was decided, ms. */
  private readonly since: Float64Array;
  /** Consecutive unsuccessful dials, and the end of the doubt they cause, ms. */
  private readonly failures: Uint8Array;
  private readonly until: Float64Array;

  constructor(endpoints: number) {
    this.inProgress = column(Int32Array, endpoints);
    this.since = column(Float64Array, endpoints);
    this.failures = column(Uint8Array, endpoints);
    this.until = column(Float64Array, endpoints);
  }

  begun(endpoint: number, now: number): void {
    if (this.inProgress[endpoint]++ === 0) this.since[endpoint] = now;
  }

  succeeded(endpoint: number, now: number): void {
    this.finished(endpoint, now);
    this.failures[endpoint] = 0;
  }

  failed(endpoint: number, now: number): void {
    this.finished(endpoint, now);
    this.recordFailure(endpoint, now);
  }

  /** Nobody wants the connection any more. `overtaken`: because another endpoint was faster. */
  abandoned(endpoint: number, now: number, overtaken: boolean): void {
    if (this.inProgress[endpoint] > 0) this.inProgress[endpoint]--;
    if (overtaken) this.recordFailure(endpoint, now);
  }

  /** 1 while other endpoints should be preferred, else 0. `usualMs`: usual duration of a dial. */
  doubt(endpoint: number, now: number, usualMs: number): number {
    const waiting = this.inProgress[endpoint] > 0;
    if (this.failures[endpoint] > 0) return waiting || now < this.until[endpoint] ? 1 : 0;
    return waiting && now - this.since[endpoint] > LATE_FACTOR * usualMs + LATE_MARGIN_MS ? 1 : 0;
  }

  /** The slot will be used for another endpoint. */
  reset(endpoint: number): void {
    this.inProgress[endpoint] = 0;
    this.failures[endpoint] = 0;
  }

  private finished(endpoint: number, now: number): void {
    if (this.inProgress[endpoint] > 0) this.inProgress[endpoint]--;
    this.since[endpoint] = now;
  }

  private recordFailure(endpoint: number, now: number): void {
    this.until[endpoint] = now + DOUBT_MS * 2 ** Math.min(this.failures[endpoint], MAX_DOUBLINGS);
    if (this.failures[endpoint] < 255) this.failures[endpoint]++;
  }
}
