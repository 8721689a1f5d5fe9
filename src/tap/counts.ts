// What the metrics know of those who tap.

/** Why a record was left out: for the rate or the memory of whoever asked, or because they did not read. */
export const LEFT_OUT = ['rate', 'reader'] as const;

export interface TapCounts {
  /** Who listens now. */
  listeners: number;
  records: number;
  readonly leftOut: Record<(typeof LEFT_OUT)[number], number>;
  /** Those who were refused, as there were as many as may be. */
  refused: number;
}

export const noTapCounts = (): TapCounts => ({ listeners: 0, records: 0, leftOut: { rate: 0, reader: 0 }, refused: 0 });
