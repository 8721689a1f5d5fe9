// The seam of identities: a source offers what it has whenever that changes, and says why where it has nothing.
import type { IdentityMaterial } from './material.js';
import { CredentialProblem, type Part } from './problem.js';

/** Why there is no new identity; the metrics count by it. */
export const IDENTITY_FAILURES = ['credential', 'name', 'unreachable', 'timeout', 'denied', 'error'] as const;
export type IdentityFailure = (typeof IDENTITY_FAILURES)[number];

/** What a source has, in PEM, before anybody has looked at it. */
export interface Offer {
  readonly certificate: Part;
  readonly key: Part;
  readonly anchors: Part;
}

/** A text that did not come from a file. */
export const part = (from: string, text: string): Part => ({ file: from, bytes: Buffer.from(text, 'latin1') });

/** Longest problem that is told. */
const MOST_TEXT = 1000;

/** Others have a say in messages: they stay one line, and of a length to be read. */
function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
  return line.length <= MOST_TEXT ? line : `${line.slice(0, MOST_TEXT)}...`;
}

export class IdentityProblem extends Error {
  override readonly name = 'IdentityProblem';

  constructor(
    readonly reason: IdentityFailure,
    message: string,
  ) {
    super(oneLine(message));
  }
}

/** Whatever has gone wrong, as a problem of an identity. */
export function problemOf(error: unknown): IdentityProblem {
  if (error instanceof IdentityProblem) return error;
  if (error instanceof CredentialProblem) return new IdentityProblem('credential', error.message);
  return new IdentityProblem('error', error instanceof Error ? error.message : String(error));
}

export interface SourceDeps {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Checks an offer and takes it over; null where it is not right, which is told by then. */
  offer(offer: Offer): IdentityMaterial | null;
  failed(problem: IdentityProblem): void;
}

export interface IdentitySource {
  start(): void;
  /** Neither offers nor fails after this. */
  stop(): void;
}

/** Time as tests turn it. */
export interface Clock {
  /** Ms since 1970. */
  now(): number;
  set(callback: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

/** What setTimeout takes; a longer wait would be none. */
const LONGEST_MS = 2 ** 31 - 1;

/** Node's timers; they don't keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  set: (callback, delayMs) => setTimeout(callback, Math.min(delayMs, LONGEST_MS)).unref(),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
