// Bounds of classic buckets.

/** Of Linkerd's `response_latency_ms`. */
export const LATENCY_BOUNDS_MS = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000, 30_000,
  40_000, 50_000,
];
/** The same bounds, for names of our own: these are in base units. */
export const LATENCY_BOUNDS_S = LATENCY_BOUNDS_MS.map((bound) => bound / 1000);
export const CONNECT_BOUNDS_S = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
export const STREAM_BOUNDS = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];
export const LOOP_BOUNDS_S = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1];
