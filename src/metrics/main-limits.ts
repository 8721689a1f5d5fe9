// Limits that fire on the main thread: those of who looks on. (The size of files is counted with the files.)

export const MAIN_LIMITS = ['live-listeners', 'live-waiting', 'live-missed', 'live-errors', 'scrapes'] as const;

/** Times that each has fired. */
export type MainLimitCounts = Record<(typeof MAIN_LIMITS)[number], number>;

export const noMainLimits = (): MainLimitCounts => ({
  'live-listeners': 0,
  'live-waiting': 0,
  'live-missed': 0,
  'live-errors': 0,
  scrapes: 0,
});
