// Why a call to the API server failed, in words that name the call.
import { isObject, type JsonObject, textIn } from './json.js';

/** Kinds of failures without a status; the metrics count by these and by status. */
export type Failure = 'status' | 'unreachable' | 'timeout' | 'too-large' | 'garbage' | 'credentials' | 'closed';

const MAX_TEXT_LENGTH = 400;

/** Messages contain text from others: they stay on one line, and of readable length. */
export function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Z}]+/gu, ' ').trim();
  return line.length <= MAX_TEXT_LENGTH ? line : `${line.slice(0, MAX_TEXT_LENGTH)}...`;
}

export interface Call {
  readonly method: string;
  readonly path: string;
}

export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  readonly method: string;
  readonly path: string;

  constructor(
    call: Call,
    readonly failure: Failure,
    /** Status of the answer; 0 without one. */
    readonly status: number,
    /** `reason` of the API server's Status, such as `Expired`; empty without one. */
    readonly reason: string,
    what: string,
    /** Wait requested by the server, ms; 0 for none. */
    readonly retryAfterMs = 0,
  ) {
    super(`${call.method} ${call.path}: ${oneLine(what)}`);
    this.method = call.method;
    this.path = call.path;
  }
}

const LONGEST_WAIT_S = 3600;

/** Retry-After in seconds, as API servers send it. */
function waitOf(retryAfter: string | undefined, status: JsonObject): number {
  const details = status.details;
  const asked = isObject(details) ? details.retryAfterSeconds : undefined;
  const seconds = retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : Number(asked ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, LONGEST_WAIT_S) * 1000 : 0;
}

/** The problem in an answer: its Status, or the beginning of its body. */
export function problemOfAnswer(call: Call, status: number, body: string, retryAfter: string | undefined): ApiProblem {
  let said: JsonObject = {};
  try {
    const value: unknown = JSON.parse(body);
    if (isObject(value)) said = value;
  } catch {
    // A proxy in between may answer in its own words.
  }
  const message = textIn(said, 'message') || body.slice(0, MAX_TEXT_LENGTH);
  const what = `status ${status}${message === '' ? '' : ` (${oneLine(message)})`}`;
  return new ApiProblem(call, 'status', status, textIn(said, 'reason'), what, waitOf(retryAfter, said));
}

/** Converts an error below HTTP. */
export function problemOfError(call: Call, error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  const { message = String(error), cause } = error instanceof Error ? error : {};
  const why = message === '' && cause instanceof Error ? cause.message : message;
  return new ApiProblem(call, 'unreachable', 0, '', why === '' ? 'the connection was lost' : why);
}
