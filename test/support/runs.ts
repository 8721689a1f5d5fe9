// How often a property is tried: what its test says, many times that in `make fuzz`.
const FACTOR = Number(process.env.FUZZ_FACTOR ?? 1);

/** `usual` runs, or FUZZ_FACTOR times as many. */
export const runs = (usual: number): number => usual * FACTOR;
