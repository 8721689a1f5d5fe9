// What of an HTTP/2 connection is counted twice, and must come out the same: streams, held octets, who waits, windows.
import { type Connection, READ_STATE } from '../../src/http2/connection.js';
import type { Core } from '../../src/http2/shared-state.js';
import { STREAM } from '../../src/http2/streams.js';

/** Throws where the state of a connection contradicts itself. */
export function checkBooks({ streams, pending }: Core, c: Connection): void {
  let active = 0;
  let held = 0;
  let blocked = 0;
  for (let slot = streams.first(c); slot >= 0; slot = streams.after(c, slot)) {
    active++;
    held += streams.held[slot];
    const state = streams.state[slot];
    const waits = !pending.empty(slot);
    const window = c.peerWindow - streams.sendUsed[slot];
    if ((state & STREAM.BLOCKED) !== 0) blocked++;
    if (waits && (state & (STREAM.BLOCKED | STREAM.STALLED)) === 0) throw new Error('data waits and nobody knows');
    if (waits && (state & STREAM.BLOCKED) === 0 && window > 0) throw new Error('data waits with its window open');
    if (!waits && (state & STREAM.BLOCKED) !== 0) throw new Error('nothing waits and it is in the ring');
    if (window > 0x7fffffff) throw new Error('a window beyond all bounds');
  }
  if (active !== c.active) throw new Error(`${active} streams, ${c.active} counted`);
  if (held !== c.held) throw new Error(`${held} octets held, ${c.held} counted`);
  let ring = 0;
  for (let slot = c.blockedHead; slot >= 0; slot = streams.blockedNext[slot]) ring++;
  if (ring !== blocked) throw new Error(`${blocked} streams wait, ${ring} in the ring`);
  if (c.sendWindow > 0 && !c.congested && ring > 0) throw new Error('streams wait, and all windows are open');
  // Every octet of the connection's window is the peer's, given back, kept back, or still to come in the frame being read.
  const frame = c.readState === READ_STATE.DATA || c.readState === READ_STATE.PAD_LENGTH ? unread(c) : 0;
  const window = Math.max(c.limits.connectionWindow, 65_535);
  const sum = c.recvWindow + c.recvCredit + c.deferred + frame;
  if (sum !== window) throw new Error(`${window - sum} octets of the connection's window are lost`);
}

/** Octets still to come in the frame of DATA that is being read. */
function unread(c: Connection): number {
  return c.readState === READ_STATE.PAD_LENGTH ? c.length : c.remaining;
}
