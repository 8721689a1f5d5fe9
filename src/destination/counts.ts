// What the metrics know of a client of a destination service.

/** Why an answer, or a connection, is none. */
export const LOOKUP_FAILURES = ['unreachable', 'timeout', 'status', 'garbage', 'size', 'broken'] as const;
export type LookupFailure = (typeof LOOKUP_FAILURES)[number];

export interface LookupCounts {
  /** Whether there is anybody to ask. */
  wanted: boolean;
  connected: boolean;
  /** When it was heard last, or began to be asked for, ms since 1970. */
  heardMs: number;
  connects: number;
  /** Streams that are open. */
  streams: number;
  updates: number;
  /** Addresses that clients dial and that are watched, and services that they lead to. */
  addresses: number;
  services: number;
  /** Those for which there was no room. */
  refused: number;
  readonly failures: Record<LookupFailure, number>;
  /** Puts into this what is counted elsewhere; null: it is counted here. */
  look: (() => void) | null;
}

export function noLookupCounts(): LookupCounts {
  return {
    wanted: false,
    connected: false,
    heardMs: 0,
    connects: 0,
    streams: 0,
    updates: 0,
    addresses: 0,
    services: 0,
    refused: 0,
    look: null,
    failures: Object.fromEntries(LOOKUP_FAILURES.map((reason) => [reason, 0])) as Record<LookupFailure, number>,
  };
}
