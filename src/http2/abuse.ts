// Limits on what a peer can make us do for nothing (RFC 9113 section 10.5). Whether frames are harmful depends on what accompanies them: a
// gRPC library pings whenever data arrives, while a flood of PINGs comes with nothing. So each kind has an allowance per period, which
// grows with wanted traffic:
//
//   wanted     DATA with content, in either direction; heads and trailers of responses
//   answered   streams of the peer that we have begun to answer
//
// The reaction to an excess depends on the role. A client's connection ends with ENHANCE_YOUR_CALM. An endpoint's connection is shared by
// innocent clients: it gets no more streams, and is cut only far beyond the allowance. Errors on a single stream that we opened are
// answered on that stream and not counted: an endpoint can't cause more of them than we allow.

import { type Connection, GOING, ROLE } from './connection.js';
import { H2_ERROR } from './frame.js';
import { LIMIT } from './limits.js';
import type { Sender } from './sender.js';
import type { Core } from './shared-state.js';

/** Length of a period, ms. */
export const PERIOD_MS = 10_000;
/** DATA up to this size alone is not wanted: gRPC's shortest message has five bytes. */
export const TINY_BYTES = 4;
/** A stream cancelled sooner than this, unanswered, was hardly meant seriously, ms. Others have occupied a place like any request. */
export const RAPID_MS = 100;
/** Extra frames allowed per wanted one: a PING, an update of each window and one to spare. */
const PER_WANTED = 4;
/** The same for empty frames: one may precede and one may follow each non-empty one. */
const EMPTY_PER_WANTED = 2;
/** Streams that may be cancelled per answered one: a hedged request is sent three times. */
const RESETS_PER_ANSWERED = 2;
/** An endpoint is cut at this multiple of the limit at which we stop using it. */
const CUT_FACTOR = 4;

export class Abuse {
  constructor(
    private readonly core: Core,
    private readonly sender: Sender,
  ) {}

  /** A client has reset a stream (CVE-2023-44487, "rapid reset"). `since`: when it was opened, ms. */
  reset(c: Connection, slot: number, answered: boolean): void {
    if (c.role !== ROLE.SERVER || answered || this.core.clock[0] - this.core.streams.since[slot] >= RAPID_MS) return;
    this.period(c);
    this.within(c, LIMIT.RESETS, ++c.resets, c.limits.maxResets + RESETS_PER_ANSWERED * c.answered);
  }

  /** The peer has made us reset a stream that it opened, or that is closed (CVE-2025-8671, "MadeYouReset"). */
  provoked(c: Connection): void {
    this.period(c);
    this.within(c, LIMIT.PROVOKED, ++c.provoked, c.limits.maxProvokedResets + c.answered);
  }

  /**
   * SETTINGS, PING, PRIORITY, GOAWAY, unknown frames, frames for closed streams: small, but each causes work. False if there were too many.
   */
  control(c: Connection): boolean {
    this.period(c);
    return this.within(c, LIMIT.CONTROLS, ++c.controls, c.limits.maxControlFrames + PER_WANTED * c.wanted);
  }

  /** SETTINGS that need a walk over the connection's streams. */
  walk(c: Connection): void {
    c.controls += c.active >> 4;
  }

  /** An answer to PING or SETTINGS is about to be queued. False if the peer has left too many unread. */
  answer(c: Connection): boolean {
    return this.within(c, LIMIT.CONTROLS, ++c.answersQueued, c.limits.maxControlFrames);
  }

  /** An empty DATA or header block frame. */
  empty(c: Connection): void {
    this.period(c);
    this.within(c, LIMIT.EMPTIES, ++c.empties, c.limits.maxEmptyFrames + EMPTY_PER_WANTED * c.wanted);
  }

  /** A DATA frame that costs more than it carries, or a window update that small. */
  tiny(c: Connection): void {
    this.period(c);
    this.within(c, LIMIT.TINIES, ++c.tinies, c.limits.maxTinyFrames + PER_WANTED * c.wanted);
  }

  /** Counts a limit (LIMIT) and ends the connection because of it. */
  calm(c: Connection, limit: number): void {
    this.limited(limit);
    this.sender.fail(c, H2_ERROR.ENHANCE_YOUR_CALM);
  }

  /** Counts a limit. */
  limited(limit: number): void {
    this.core.values[this.core.limitsAt + limit]++;
  }

  /** Whether a connection with `count` events, of which `allowed` are allowed, may continue. */
  private within(c: Connection, limit: number, count: number, allowed: number): boolean {
    if (count <= allowed) return true;
    if (c.going === GOING.FAILED) return false;
    if (c.role === ROLE.SERVER || count > CUT_FACTOR * allowed) {
      this.calm(c, limit);
      return false;
    }
    if (!c.excessive) {
      c.excessive = true;
      this.limited(limit);
      this.core.excessive.push(c);
    }
    return true;
  }

  private period(c: Connection): void {
    const now = this.core.clock[0];
    if (now - c.periodStart < PERIOD_MS) return;
    c.periodStart = now;
    c.wanted = 0;
    c.answered = 0;
    c.resets = 0;
    c.provoked = 0;
    c.controls = 0;
    c.empties = 0;
    c.tinies = 0;
  }
}
