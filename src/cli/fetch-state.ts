// Fetches a running proxy's state (`/state` of its admin port), for the commands that show it.
import { request } from 'node:http';
import { parseDuration, parseHostPort, ValueError } from '../config/values.js';
import { type LiveState, STATE_VERSION } from '../live/state.js';
import type { Arguments } from './usage.js';
import { UsageError } from './usage.js';

/** How long the proxy may take in addition to the interval, ms. */
const TIMEOUT_MS = 10_000;
const MAX_BYTES = 256 * 1024 * 1024;
const DEFAULT_WINDOW = '2s';
/** More items of a kind than any proxy has: asks for all of them. */
const ALL = 100_000;

export const OUTPUTS = ['table', 'wide', 'json'] as const;

export interface StateOptions {
  readonly from: string;
  readonly host: string;
  readonly port: number;
  /** As in the request: `10s`, or `start`. */
  readonly window: string;
  readonly windowMs: number;
  readonly output: (typeof OUTPUTS)[number];
  readonly watch: boolean;
}

export const STATE_OPTIONS = {
  from: { type: 'string' },
  window: { type: 'string', short: 't' },
  output: { type: 'string', short: 'o' },
  watch: { type: 'boolean', short: 'w' },
} as const;

export const STATE_OPTIONS_HELP = `Options:
      --from ADMIN     the admin port of the proxy (default 127.0.0.1:4191)
  -t, --window TIME    the time that rates and latencies cover: the next 100ms to 1m (default ${DEFAULT_WINDOW}), which the
                       command waits for; or start: everything since the proxy started, at once
  -w, --watch          repeat until Ctrl-C
  -o, --output FORMAT  table (default), wide, or json (with --watch one object a line)
  -h, --help           this text`;

export function stateOptions(values: Arguments['values']): StateOptions {
  const from = String(values.from ?? '127.0.0.1:4191');
  const window = String(values.window ?? DEFAULT_WINDOW);
  const output = OUTPUTS.find((known) => known === (values.output ?? 'table'));
  if (output === undefined) throw new UsageError(`--output: "${values.output}" is not one of ${OUTPUTS.join(', ')}`);
  const watch = values.watch === true;
  if (watch && window === 'start') throw new UsageError('--watch shows intervals; --window start has only one');
  return { from, window, output, watch, windowMs: windowOf(window), ...adminOf(from) };
}

function adminOf(from: string): { readonly host: string; readonly port: number } {
  const text = from.replace(/^http:\/\//, '').replace(/\/$/, '');
  try {
    const { host, port } = parseHostPort(text, '127.0.0.1:4191');
    return { host: host === '' ? '127.0.0.1' : host, port };
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--from: ${error.message}`);
    throw error;
  }
}

function windowOf(window: string): number {
  if (window === 'start') return 0;
  try {
    return parseDuration(window, { in: 'ms', step: 1, min: '100ms', max: '1m' });
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--window: ${error.message}`);
    throw error;
  }
}

/** Rejects with a message that says what is wrong, where, and what to do. */
export async function fetchState(options: StateOptions): Promise<LiveState> {
  const path = `/state?window=${encodeURIComponent(options.window)}&limit=${ALL}`;
  const { status, body } = await get(options, path);
  if (status === 404)
    throw new Error(`${options.from} has no /state: it is not a Sluice admin port, or belongs to an older Sluice`);
  if (status !== 200) throw new Error(`${options.from} answered ${status}: ${body.split('\n', 1)[0].slice(0, 200)}`);
  let state: LiveState;
  try {
    state = JSON.parse(body) as LiveState;
  } catch {
    throw new Error(`${options.from} did not answer with JSON: is it the admin port of Sluice?`);
  }
  if (state?.stateVersion !== STATE_VERSION || !Array.isArray(state.services))
    throw new Error(`${options.from} reports its state in another version: use the sluice command of that version`);
  return state;
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

function get({ from, host, port, windowMs }: StateOptions, path: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(new Error(reasonOf(from, error)));
    const asked = request({ host, port, path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_BYTES) asked.destroy(new Error('the answer does not end'));
        else chunks.push(chunk);
      });
      response.once('error', failed);
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    const late = setTimeout(() => asked.destroy(new Error('no answer in time')), windowMs + TIMEOUT_MS);
    asked.once('close', () => clearTimeout(late));
    asked.once('error', failed).end();
  });
}

function reasonOf(from: string, { code, message }: NodeJS.ErrnoException): string {
  const hint = 'is the proxy running, and is this its admin.listen? --from HOST:PORT names another one';
  if (code === 'ECONNREFUSED') return `nobody listens on ${from}: ${hint}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `${from} has no address: ${hint}`;
  return `${from} does not answer as an admin port does (${message || code}): ${hint}`;
}
