// A tap request: plain data, in the form that is sent to workers.
import type { Network } from '../config/addresses.js';

export interface TapRequest {
  /** Unique within the process. */
  readonly id: number;
  /** Null: any. Methods and paths are compared byte by byte. A path matches as a prefix. */
  readonly method: string | null;
  readonly path: string | null;
  readonly authority: string | null;
  readonly service: string | null;
  /** The client: an address in one of these networks, or this name in its certificate. */
  readonly network: Network | null;
  readonly identity: string | null;
  /** Range of response statuses; both 0: any. */
  readonly statusFrom: number;
  readonly statusTo: number;
  /** Only responses whose head took longer than this, ms; -1: any. */
  readonly latencyAboveMs: number;
  /** Maximum records per second. */
  readonly maxRps: number;
}

/** Maximum number of taps at once: each is a bit of a number. */
export const MAX_TAPS = 16;

/** Whether a request must be remembered until its end, because only then it is known whether it matches. */
export const asksForAnswer = ({ statusTo, latencyAboveMs }: TapRequest): boolean => statusTo > 0 || latencyAboveMs >= 0;

/** Whether it has a condition that only HTTP can meet. */
export const asksForHttp = (tap: TapRequest): boolean =>
  tap.method !== null || tap.path !== null || tap.authority !== null || asksForAnswer(tap);

/** Records of a worker for one tap. */
export interface TapRecords {
  readonly id: number;
  /** JSON objects without their braces. */
  readonly lines: readonly string[];
  /** Matching records that were left out, because of the rate limit or for lack of memory. */
  readonly leftOut: number;
}
