// How many completions a turn of the loop waits for, when much is in flight: a turn writes each connection once, so that fewer
// turns are fewer writes. The wait is bounded by `coalesce`; a lone request never waits. docs/performance.md has the figures.

/** HTTP/1 exchanges in flight from which a turn waits for a share of them ... */
const HTTP1_FROM = 128;
/** ... an eighth. */
const HTTP1_SHIFT = 3;
/** Of HTTP/2 exchanges in flight it is a quarter. */
const HTTP2_SHIFT = 2;
/** A turn with more completions than this gains nothing by waiting for yet more. */
const HTTP2_MOST = 32;
/**
 * Clients with one stream each get an answer a write however long we wait, but the endpoint's connection has fewer writes and the
 * thread fewer sleeps. From so many exchanges on all of them are waited for: it saves 5 % of CPU with 64 × 1 in a closed loop.
 * At half that rate there are about seven of them, and waiting would make the median latency a third longer.
 */
const HTTP2_SINGLE_FROM = 12;

/** Completions to wait for, 1 or more. `streams` are HTTP/2 exchanges in flight, `clients` the connections that they came on. */
export function completionsToAwait(http1InFlight: number, streams: number, clients: number): number {
  let wait = http1InFlight >= HTTP1_FROM ? http1InFlight >> HTTP1_SHIFT : 1;
  const single = streams >= HTTP2_SINGLE_FROM && streams <= clients;
  const share = Math.min(single ? streams : streams >> HTTP2_SHIFT, HTTP2_MOST);
  if (share > wait) wait = share;
  return wait;
}
