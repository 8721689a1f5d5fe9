// Counts of taps, for the metrics.

/** Why a record was left out: the tap's rate limit, its memory limit, or a slow reader. */
export const LEFT_OUT = ['rate', 'reader'] as const;

export interface TapCounts {
  /** Number of open taps. */
  listeners: number;
  records: number;
  readonly leftOut: Record<(typeof LEFT_OUT)[number], number>;
  /** Taps refused because the maximum number was reached. */
  refused: number;
}

export const noTapCounts = (): TapCounts => ({ listeners: 0, records: 0, leftOut: { rate: 0, reader: 0 }, refused: 0 });
