// The interface of identity sources: a source reports its credentials whenever they change, or why it has none.
import type { IdentityMaterial } from './material.js';
import { CredentialProblem, type Part } from './problem.js';

/** Why there is no new identity; also a label in the metrics. */
export const IDENTITY_FAILURES = ['credential', 'name', 'unreachable', 'timeout', 'denied', 'error'] as const;
export type IdentityFailure = (typeof IDENTITY_FAILURES)[number];

/** A source's credentials in PEM, before validation. */
export interface IdentityUpdate {
  readonly certificate: Part;
  readonly key: Part;
  readonly anchors: Part;
}

/** A text that did not come from a file. */
export const part = (from: string, text: string): Part => ({ file: from, bytes: Buffer.from(text, 'latin1') });

/** Maximum length of a reported problem. */
const MAX_TEXT_LENGTH = 1000;

/** Messages contain text from others: they stay on one line, and of readable length. */
function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
  return line.length <= MAX_TEXT_LENGTH ? line : `${line.slice(0, MAX_TEXT_LENGTH)}...`;
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

/** Converts any error to a problem of an identity. */
export function problemOf(error: unknown): IdentityProblem {
  if (error instanceof IdentityProblem) return error;
  if (error instanceof CredentialProblem) return new IdentityProblem('credential', error.message);
  return new IdentityProblem('error', error instanceof Error ? error.message : String(error));
}

export interface SourceDeps {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Checks an update and uses it. Null if it is invalid, which has been reported by then. */
  update(update: IdentityUpdate): IdentityMaterial | null;
  failed(problem: IdentityProblem): void;
}

export interface IdentitySource {
  start(): void;
  /** No updates or failures after this. */
  stop(): void;
}

/** Time, replaceable in tests. */
export interface Clock {
  /** Ms since 1970. */
  now(): number;
  set(callback: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

/** Maximum of setTimeout; a longer wait would not wait at all. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Node's timers; they don't keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  set: (callback, delayMs) => setTimeout(callback, Math.min(delayMs, MAX_DELAY_MS)).unref(),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
