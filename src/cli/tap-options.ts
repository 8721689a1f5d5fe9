// The options of `sluice tap` and `sluice top`, and the call to the proxy.
import { request } from 'node:http';
import { parseHostPort, ValueError } from '../config/values.js';
import { parseTap } from '../tap/parse.js';
import { escapeForTerminal } from './terminal-text.js';
import { type Arguments, UsageError } from './usage.js';

/** The content type of `/tap`. */
const RECORDS = 'application/x-ndjson';
/** Maximum length of a line; a record has at most 4 KiB. */
const MAX_LINE_LENGTH = 64 * 1024;
const MAX_RPS = 1_000_000;
/** Timeout for the head of the response, which comes at once. */
const ANSWER_MS = 10_000;

export const TAP_OPTIONS = {
  from: { type: 'string' },
  // The option's former name.
  address: { type: 'string' },
  method: { type: 'string' },
  path: { type: 'string' },
  authority: { type: 'string' },
  service: { type: 'string' },
  peer: { type: 'string' },
  status: { type: 'string' },
  'latency-above': { type: 'string' },
  'max-rps': { type: 'string' },
} as const;

export const TAP_HELP = `      --from HOST:PORT     the admin port of the proxy, from its own machine (default 127.0.0.1:4191)
      --method METHOD      such as GET
      --path PREFIX        the beginning of the path
      --authority HOST     the requested host, with or without its port
      --service NAME       a service of the configuration
      --peer WHO           the client: an address, a network such as 10.1.0.0/16, or the name in a certificate
      --status STATUS      404, 5xx or 400-499
      --latency-above TIME only if the response took longer to begin, such as 100ms
      --max-rps NUMBER     requests a second at most (default 100); what is left out is counted`;

const PARAMETERS: Readonly<Record<string, string>> = { 'latency-above': 'latencyAbove', 'max-rps': 'maxRps' };

export interface TapCall {
  readonly host: string;
  readonly port: number;
  readonly query: URLSearchParams;
}

export function tapCall(values: Arguments['values']): TapCall {
  const query = new URLSearchParams();
  for (const name of Object.keys(TAP_OPTIONS)) {
    const value = values[name];
    if (name !== 'from' && name !== 'address' && typeof value === 'string') query.set(PARAMETERS[name] ?? name, value);
  }
  try {
    parseTap(query, 0, MAX_RPS);
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--${error.message.replace(/^(\w+):/, optionOf)}`);
    throw error;
  }
  if (values.from !== undefined && values.address !== undefined)
    throw new UsageError('--from and --address are the same; give one of them');
  try {
    const from = values.from ?? values.address ?? '127.0.0.1:4191';
    const { host, port } = parseHostPort(String(from), '127.0.0.1:4191');
    return { host: host === '' ? '127.0.0.1' : host, port, query };
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--from: ${error.message}`);
    throw error;
  }
}

function optionOf(_: string, parameter: string): string {
  const [option = parameter] = Object.keys(PARAMETERS).filter((name) => PARAMETERS[name] === parameter);
  return `${option}:`;
}

/** A record about a request, a connection, or the tap itself. */
export type TapRecord = Readonly<Record<string, unknown>>;

/** Passes each record to `seen`, until `signal` or the proxy ends the stream. Rejects if there is no such proxy, or if it refuses. */
export function follow(
  call: TapCall,
  signal: AbortSignal,
  seen: (record: TapRecord) => void,
  answerMs = ANSWER_MS,
): Promise<void> {
  const where = `${call.host.includes(':') ? `[${call.host}]` : call.host}:${call.port}`;
  return new Promise((resolve, reject) => {
    let answers = false;
    const failed = (error: Error): void => {
      clearTimeout(patience);
      if (signal.aborted) resolve();
      else if (answers) reject(new Error(`the admin port ${where} does not go on: ${error.message}`));
      else
        reject(new Error(`no answer from the admin port ${where}: ${error.message}; is the proxy there? see --from`));
    };
    const asked = request({
      host: call.host,
      port: call.port,
      path: `/tap?${call.query}`,
      agent: false,
      signal,
    });
    const patience = setTimeout(() => asked.destroy(new Error(`nothing came in ${answerMs / 1000} s`)), answerMs);
    asked.once('error', failed);
    asked.once('response', (response) => {
      clearTimeout(patience);
      const type = String(response.headers['content-type']);
      if (response.statusCode === 200 && !type.startsWith(RECORDS)) {
        reject(
          new Error(
            `${where} answers something else (${escapeForTerminal(type, 100)}): is it the admin port? see --from`,
          ),
        );
        asked.destroy();
        return;
      }
      answers = response.statusCode === 200;
      response.setEncoding('utf8').once('error', failed);
      let rest = '';
      response.on('data', (chunk: string) => {
        rest += chunk;
        if (response.statusCode !== 200) return;
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const record = parsed(line);
          if (record !== null) seen(record);
        }
        if (rest.length > MAX_LINE_LENGTH) asked.destroy(new Error('a line does not end: this is not Sluice'));
      });
      response.once('end', () => {
        if (response.statusCode === 200) resolve();
        else if (response.statusCode === 404)
          reject(new Error(`${where} has no /tap: it is not Sluice, or an older version`));
        else reject(new Error(`${where} refuses: ${rest.trim().slice(0, 500)}`));
      });
    });
    asked.end();
  });
}

/** Parses a line as a JSON object. */
function parsed(line: string): TapRecord | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as TapRecord) : null;
  } catch {
    return null;
  }
}
