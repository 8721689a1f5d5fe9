// What somebody who taps a proxy asks for: plain data, as workers are told of it.
import type { Network } from '../config/addresses.js';

export interface TapRequest {
  /** Of one tap, while the process lives. */
  readonly id: number;
  /** Null: any. Methods and paths are compared octet for octet; a path is the beginning of one. */
  readonly method: string | null;
  readonly path: string | null;
  readonly authority: string | null;
  readonly service: string | null;
  /** Who has asked: an address of one of these networks, or this name by certificate. */
  readonly network: Network | null;
  readonly identity: string | null;
  /** Status of the response; both 0: any. */
  readonly statusFrom: number;
  readonly statusTo: number;
  /** The head of the response took longer than this, ms; -1: any. */
  readonly latencyAboveMs: number;
  /** Records a second at most. */
  readonly maxRps: number;
}

/** Taps that there may be at once: a bit of a number for each. */
export const MAX_TAPS = 16;

/** Whether a request has to be remembered until its end before it is known whether it is one of those that are asked for. */
export const asksForAnswer = ({ statusTo, latencyAboveMs }: TapRequest): boolean => statusTo > 0 || latencyAboveMs >= 0;

/** Whether it asks for something that only HTTP has. */
export const asksForHttp = (tap: TapRequest): boolean =>
  tap.method !== null || tap.path !== null || tap.authority !== null || asksForAnswer(tap);

/** What a worker has for one of those who tap. */
export interface TapRecords {
  readonly id: number;
  /** Objects of JSON, without their braces. */
  readonly lines: readonly string[];
  /** Those that matched and were left out, for the rate or for want of memory. */
  readonly leftOut: number;
}
