// Why a call to the API server has not worked, in words that name the call.
import { isObject, type JsonObject, textIn } from './json.js';

/** What has gone wrong where there was no status; the metrics count by these and by the status. */
export type Failure = 'status' | 'unreachable' | 'timeout' | 'too-large' | 'garbage' | 'credentials' | 'closed';

const MOST_TEXT = 400;

/** Others have a say in messages: they stay one line, and of a length to be read. */
export function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Z}]+/gu, ' ').trim();
  return line.length <= MOST_TEXT ? line : `${line.slice(0, MOST_TEXT)}...`;
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
    /** Of the answer; 0 where there was none. */
    readonly status: number,
    /** `reason` of the Status that the API server has sent, such as `Expired`; empty where there was none. */
    readonly reason: string,
    what: string,
    /** How long the server asks to wait, ms; 0 where it does not. */
    readonly retryAfterMs = 0,
  ) {
    super(`${call.method} ${call.path}: ${oneLine(what)}`);
    this.method = call.method;
    this.path = call.path;
  }
}

const LONGEST_WAIT_S = 3600;

/** Retry-After in seconds, as API servers write it. */
function waitOf(retryAfter: string | undefined, status: JsonObject): number {
  const details = status.details;
  const asked = isObject(details) ? details.retryAfterSeconds : undefined;
  const seconds = retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : Number(asked ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, LONGEST_WAIT_S) * 1000 : 0;
}

/** The problem that an answer tells of: its Status, or how its body begins. */
export function problemOfAnswer(call: Call, status: number, body: string, retryAfter: string | undefined): ApiProblem {
  let said: JsonObject = {};
  try {
    const value: unknown = JSON.parse(body);
    if (isObject(value)) said = value;
  } catch {
    // A proxy in between may answer in its own words.
  }
  const message = textIn(said, 'message') || body.slice(0, MOST_TEXT);
  const what = `status ${status}${message === '' ? '' : ` (${oneLine(message)})`}`;
  return new ApiProblem(call, 'status', status, textIn(said, 'reason'), what, waitOf(retryAfter, said));
}

/** Whatever has gone wrong below HTTP. */
export function problemOfError(call: Call, error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  const { message = String(error), cause } = error instanceof Error ? error : {};
  const why = message === '' && cause instanceof Error ? cause.message : message;
  return new ApiProblem(call, 'unreachable', 0, '', why === '' ? 'the connection was lost' : why);
}
