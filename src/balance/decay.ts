// e^-x for the estimates, from a table: a pick needs two of them.

export const STEPS_PER_UNIT = 64;
const RANGE = 16; // e^-16 is 1e-7: nothing is left of an estimate.
/** From here on it is 0. */
export const LAST_STEP = RANGE * STEPS_PER_UNIT;
/** e^-(i / STEPS_PER_UNIT), for callers that interpolate themselves. */
export const DECAY = new Float64Array(LAST_STEP + 2);
for (let i = 0; i < LAST_STEP; i++) DECAY[i] = Math.exp(-i / STEPS_PER_UNIT);

/**
 * e^-x for x >= 0, interpolated (at most 4e-5 off); 1 below 0 (time that went back), 0 above 16. Interpolation preserves the slope near 0,
 * where the steps between two samples are; rounding would turn it into 1.
 */
export function decayFactor(x: number): number {
  if (!(x > 0)) return 1;
  if (x >= RANGE) return 0;
  const scaled = x * STEPS_PER_UNIT;
  const at = scaled | 0;
  return DECAY[at] + (DECAY[at + 1] - DECAY[at]) * (scaled - at);
}
