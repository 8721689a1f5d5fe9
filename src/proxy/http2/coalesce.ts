// How many completions a loop turn waits for when much is in flight. A turn writes each connection once, so fewer turns mean fewer writes.
// `coalesce` bounds the wait; a lone request never waits. docs/performance.md has measurements.

/** From this many HTTP/1 exchanges in flight a turn waits for a share of them ... */
const HTTP1_FROM = 128;
/** ... an eighth. */
const HTTP1_SHIFT = 3;
/** For HTTP/2 exchanges it is a quarter. */
const HTTP2_SHIFT = 2;
/** A turn with more completions than this gains nothing from waiting. */
const HTTP2_MAX = 32;
/**
 * Clients with one stream each need a write per answer however long we wait, but the endpoint's connection needs fewer writes and the
 * thread sleeps less often. From this many exchanges on we wait for all of them: this saves 5 % of CPU with 64 × 1 in a closed loop. At
 * half that rate there are about seven, and waiting would raise the median latency by a third.
 */
const HTTP2_SINGLE_FROM = 12;

/** Number of completions to wait for, at least 1. `streams`: HTTP/2 exchanges in flight; `clients`: the connections they came on. */
export function completionsToAwait(http1InFlight: number, streams: number, clients: number): number {
  let wait = http1InFlight >= HTTP1_FROM ? http1InFlight >> HTTP1_SHIFT : 1;
  const single = streams >= HTTP2_SINGLE_FROM && streams <= clients;
  const share = Math.min(single ? streams : streams >> HTTP2_SHIFT, HTTP2_MAX);
  if (share > wait) wait = share;
  return wait;
}
