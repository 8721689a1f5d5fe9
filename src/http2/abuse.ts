// Limits on what a peer can make us do for nothing (RFC 9113 section 10.5). Whether frames are harmful depends on what accompanies them: a
// gRPC library pings whenever data arrives, while a flood of PINGs comes with nothing. So each kind has an allowance per period, which
// grows with useful traffic:
//
//   useful     DATA with content, in either direction; heads and trailers of responses
//   answered   streams of the peer that we have begun to answer
//
// The reaction to an excess depends on the role. A client's connection ends with ENHANCE_YOUR_CALM. An endpoint's connection is shared by
// innocent clients: it gets no more streams, and is closed only far beyond the allowance. Errors on a single stream that we opened are
// answered on that stream and not counted: an endpoint can't cause more of them than we allow.

import { CONNECTION_STATE, type Connection, ROLE } from './connection.js';
import { H2_ERROR } from './frame.js';
import { LIMIT } from './limits.js';
import type { Sender } from './sender.js';
import type { Core } from './shared-state.js';

/** Length of a period, ms. */
export const PERIOD_MS = 10_000;
/** DATA up to this size alone is not useful: gRPC's shortest message has five bytes. */
export const TINY_BYTES = 4;
/** A stream cancelled sooner than this, unanswered, was hardly meant seriously, ms. Others have occupied a place like any request. */
export const RAPID_MS = 100;
/** Extra frames allowed per useful one: a PING, an update of each window and one to spare. */
const PER_USEFUL = 4;
/** The same for empty frames: one may precede and one may follow each non-empty one. */
const EMPTY_PER_USEFUL = 2;
/** Streams that may be cancelled per answered one: a hedged request is sent three times. */
const RESETS_PER_ANSWERED = 2;
/** An endpoint is disconnected at this multiple of the limit at which we stop using it. */
const CLOSE_FACTOR = 4;

export class Abuse {
  constructor(
    private readonly core: Core,
    private readonly sender: Sender,
  ) {}

  /** A client has reset a stream (CVE-2023-44487, "rapid reset"). `since`: when it was opened, ms. */
  streamReset(c: Connection, slot: number, answered: boolean): void {
    if (c.role !== ROLE.SERVER || answered || this.core.clock[0] - this.core.streams.since[slot] >= RAPID_MS) return;
    this.startPeriod(c);
    this.checkAllowance(c, LIMIT.RESETS, ++c.resets, c.limits.maxResets + RESETS_PER_ANSWERED * c.answered);
  }

  /** The peer has made us reset a stream that it opened, or that is closed (CVE-2025-8671, "MadeYouReset"). */
  provokedReset(c: Connection): void {
    this.startPeriod(c);
    this.checkAllowance(c, LIMIT.PROVOKED, ++c.provokedResets, c.limits.maxProvokedResets + c.answered);
  }

  /**
   * SETTINGS, PING, PRIORITY, GOAWAY, unknown frames, frames for closed streams: small, but each causes work. False if there were too many.
   */
  controlFrame(c: Connection): boolean {
    this.startPeriod(c);
    return this.checkAllowance(c, LIMIT.CONTROLS, ++c.controlFrames, c.limits.maxControlFrames + PER_USEFUL * c.useful);
  }

  /** SETTINGS that need a walk over the connection's streams. */
  settingsWalk(c: Connection): void {
    c.controlFrames += c.active >> 4;
  }

  /** An answer to PING or SETTINGS is about to be queued. False if the peer has left too many unread. */
  queuedAnswer(c: Connection): boolean {
    return this.checkAllowance(c, LIMIT.CONTROLS, ++c.answersQueued, c.limits.maxControlFrames);
  }

  /** An empty DATA or header block frame. */
  emptyFrame(c: Connection): void {
    this.startPeriod(c);
    this.checkAllowance(c, LIMIT.EMPTIES, ++c.emptyFrames, c.limits.maxEmptyFrames + EMPTY_PER_USEFUL * c.useful);
  }

  /** A DATA frame that costs more than it carries, or a window update that small. */
  tinyFrame(c: Connection): void {
    this.startPeriod(c);
    this.checkAllowance(c, LIMIT.TINIES, ++c.tinyFrames, c.limits.maxTinyFrames + PER_USEFUL * c.useful);
  }

  /** Counts a limit (LIMIT) and ends the connection because of it. */
  enhanceYourCalm(c: Connection, limit: number): void {
    this.limited(limit);
    this.sender.fail(c, H2_ERROR.ENHANCE_YOUR_CALM);
  }

  /** Counts a limit. */
  limited(limit: number): void {
    this.core.values[this.core.limitsAt + limit]++;
  }

  /** Whether a connection with `count` events, of which `allowed` are allowed, may continue. */
  private checkAllowance(c: Connection, limit: number, count: number, allowed: number): boolean {
    if (count <= allowed) return true;
    if (c.state === CONNECTION_STATE.FAILED) return false;
    if (c.role === ROLE.SERVER || count > CLOSE_FACTOR * allowed) {
      this.enhanceYourCalm(c, limit);
      return false;
    }
    if (!c.overAllowance) {
      c.overAllowance = true;
      this.limited(limit);
      this.core.overAllowance.push(c);
    }
    return true;
  }

  private startPeriod(c: Connection): void {
    const now = this.core.clock[0];
    if (now - c.periodStart < PERIOD_MS) return;
    c.periodStart = now;
    c.useful = 0;
    c.answered = 0;
    c.resets = 0;
    c.provokedResets = 0;
    c.controlFrames = 0;
    c.emptyFrames = 0;
    c.tinyFrames = 0;
  }
}
