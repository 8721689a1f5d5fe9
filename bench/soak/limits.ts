// How long workloads wait, and how much they send.

/** Longer than any pause that the proxy is put through; shorter than a hang. */
export const TIMEOUT_MS = 30_000;
/** `retry.replayBytes`, less what a head may take: a longer request that an endpoint refuses can't be sent again. */
export const REPLAYED_BYTES = 60 * 1024;
export const KIB = 1024;
export const MIB = 1024 * 1024;
