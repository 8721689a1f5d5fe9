// What a peer can make us do for nothing, and how much of it is taken: counted per connection and period. Beyond the limit the
// connection ends with ENHANCE_YOUR_CALM (RFC 9113 section 10.5).

import { type Connection, ROLE } from './connection.js';
import { H2_ERROR } from './frame.js';
import { LIMIT } from './limits.js';
import type { Sender } from './sender.js';
import type { Core } from './shared-state.js';

/** Length of a period, ms. */
export const PERIOD_MS = 10_000;

export class Abuse {
  constructor(
    private readonly core: Core,
    private readonly sender: Sender,
  ) {}

  /** The peer has reset a stream (CVE-2023-44487, "rapid reset"). A client that cancels less than every second stream may. */
  reset(c: Connection): void {
    this.period(c);
    c.resets++;
    if (c.role === ROLE.SERVER && c.resets > c.limits.maxResets && c.resets * 2 > c.opened - c.openedBefore) {
      this.calm(c, LIMIT.RESETS);
    }
  }

  /** The peer has made us reset a stream (CVE-2025-8671, "MadeYouReset"). */
  provoked(c: Connection): void {
    this.period(c);
    if (++c.provoked > c.limits.maxProvokedResets) this.calm(c, LIMIT.PROVOKED);
  }

  /** SETTINGS, PING, PRIORITY, GOAWAY, unknown frames: small, and each asks for work. False if there were too many. */
  control(c: Connection): boolean {
    this.period(c);
    if (++c.controls <= c.limits.maxControlFrames) return true;
    this.calm(c, LIMIT.CONTROLS);
    return false;
  }

  /** A frame of DATA or of a header block with nothing in it. */
  empty(c: Connection): void {
    this.period(c);
    if (++c.empties > c.limits.maxEmptyFrames && this.many(c, c.empties)) this.calm(c, LIMIT.EMPTIES);
  }

  /** A frame of DATA that costs more than it carries. */
  tiny(c: Connection): void {
    this.period(c);
    if (++c.tinies > c.limits.maxTinyFrames && this.many(c, c.tinies)) this.calm(c, LIMIT.TINIES);
  }

  /** Whether `frames` are more than streams account for: an empty gRPC message is five octets, its trailers end the stream. */
  private many(c: Connection, frames: number): boolean {
    return frames > 2 * (c.opened - c.openedBefore);
  }

  /** Counts a limit (LIMIT) and ends the connection over it. */
  calm(c: Connection, limit: number): void {
    this.limited(limit);
    this.sender.fail(c, H2_ERROR.ENHANCE_YOUR_CALM);
  }

  /** Counts a limit. */
  limited(limit: number): void {
    this.core.values[this.core.limitsAt + limit]++;
  }

  private period(c: Connection): void {
    const now = this.core.clock[0];
    if (now - c.periodStart < PERIOD_MS) return;
    c.periodStart = now;
    c.openedBefore = c.opened;
    c.resets = 0;
    c.provoked = 0;
    c.controls = 0;
    c.empties = 0;
    c.tinies = 0;
    c.tiniesSent = 0;
  }
}
