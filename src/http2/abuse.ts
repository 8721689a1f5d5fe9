// What a peer can make us do for nothing, and how much of it is taken (RFC 9113 section 10.5). Frames are harmless or not by what they
// come with: a gRPC library pings whenever data arrives, and a flood of PINGs comes with nothing. So each kind has an allowance a
// period, and it grows with traffic that somebody wanted:
//
//   wanted     DATA that carries something, in either direction; heads and trailers of responses
//   answered   streams of the peer's that we have begun to answer
//
// What goes beyond is answered by role. A client's connection ends with ENHANCE_YOUR_CALM. An endpoint's is shared by clients who have
// done nothing: it gets no more streams, and is cut only where the endpoint goes far beyond. Trouble of one stream that we have opened
// ourselves is answered on that stream, and is not counted at all: an endpoint can't make more of it than we let it.

import { type Connection, GOING, ROLE } from './connection.js';
import { H2_ERROR } from './frame.js';
import { LIMIT } from './limits.js';
import type { Sender } from './sender.js';
import type { Core } from './shared-state.js';

/** Length of a period, ms. */
export const PERIOD_MS = 10_000;
/** DATA of no more than this says nothing by itself: gRPC's shortest message has five octets. */
export const TINY_BYTES = 4;
/** A stream that is taken back sooner than this, unanswered, was hardly meant; others have kept their place as any request does, ms. */
export const RAPID_MS = 100;
/** Frames beyond their allowance that come with a wanted one: a PING, an update of each window and one to spare. */
const PER_WANTED = 4;
/** The same of empty frames: one may follow each that is not, and one may come before it. */
const EMPTY_PER_WANTED = 2;
/** Streams that may be taken back for each that is answered: a request that is hedged is asked three times. */
const RESETS_PER_ANSWERED = 2;
/** An endpoint is cut at so many times what makes us leave it. */
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

  /** SETTINGS, PING, PRIORITY, GOAWAY, unknown frames, frames for closed streams: small, and each asks for work. False if there were too many. */
  control(c: Connection): boolean {
    this.period(c);
    return this.within(c, LIMIT.CONTROLS, ++c.controls, c.limits.maxControlFrames + PER_WANTED * c.wanted);
  }

  /** SETTINGS that are a walk over the streams of the connection. */
  walk(c: Connection): void {
    c.controls += c.active >> 4;
  }

  /** An answer to PING or SETTINGS is about to be queued. False if too many are that the peer has not taken. */
  answer(c: Connection): boolean {
    return this.within(c, LIMIT.CONTROLS, ++c.answersQueued, c.limits.maxControlFrames);
  }

  /** A frame of DATA or of a header block with nothing in it. */
  empty(c: Connection): void {
    this.period(c);
    this.within(c, LIMIT.EMPTIES, ++c.empties, c.limits.maxEmptyFrames + EMPTY_PER_WANTED * c.wanted);
  }

  /** A frame of DATA that costs more than it carries, or a window that is opened by as little. */
  tiny(c: Connection): void {
    this.period(c);
    this.within(c, LIMIT.TINIES, ++c.tinies, c.limits.maxTinyFrames + PER_WANTED * c.wanted);
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

  /** Whether a connection may go on that has done something `count` times where it may `allowed` times. */
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
