// Options of `sluice bench run`, turned into a load plan.
import { readFileSync, statSync } from 'node:fs';
import { parseChoice, parseSize, ValueError } from '../config/values.js';
import { parseRate, parseSeconds, parseSteps } from '../load/amounts.js';
import type { LoadPlan, LoadProtocol, LoadTls, Pace } from '../load/plan.js';
import { type ParsedTarget, parseTarget } from './load-targets.js';
import { OptionReader } from './option-reader.js';
import { type Arguments, messageOf, UsageError } from './usage.js';

export const loadOptions = {
  connections: { type: 'string', short: 'c' },
  streams: { type: 'string' },
  threads: { type: 'string', short: 't' },
  duration: { type: 'string', short: 'd' },
  'warm-up': { type: 'string' },
  rate: { type: 'string', short: 'r' },
  steps: { type: 'string' },
  poisson: { type: 'boolean' },
  seed: { type: 'string' },
  think: { type: 'string' },
  method: { type: 'string', short: 'X' },
  header: { type: 'string', short: 'H', multiple: true },
  body: { type: 'string' },
  'body-file': { type: 'string' },
  'no-keep-alive': { type: 'boolean' },
  timeout: { type: 'string' },
  weights: { type: 'string' },
  io: { type: 'string' },
  http2: { type: 'boolean' },
  messages: { type: 'boolean' },
  call: { type: 'string' },
  'call-messages': { type: 'string' },
  bulk: { type: 'boolean' },
  ca: { type: 'string' },
  insecure: { type: 'boolean' },
  cert: { type: 'string' },
  key: { type: 'string' },
  'server-name': { type: 'string' },
} as const;
type Name = keyof typeof loadOptions;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const MAX_CONNECTIONS = 500_000;
const MAX_BODY = 2 ** 30;
/** Maximum size of a body from a file: each thread keeps all of it in memory. */
const MAX_BODY_FILE = 64 * 2 ** 20;
const MAX_MESSAGES = 1_000_000;
const CALL_MESSAGES = 10;
const MAX_THREADS = 64;
const MAX_STREAMS = 1000;

/** Default body sizes, bytes. */
const BODIES: Partial<Record<LoadProtocol, string>> = { tcp: '64', websocket: '64', 'tcp-bulk': '64KiB' };

/** The requested load, before names are resolved. */
export interface LoadRequest {
  readonly targets: readonly ParsedTarget[];
  readonly weights: readonly number[];
  readonly plan: Omit<LoadPlan, 'targets'>;
}

/** Throws a UsageError. */
export function parseLoadOptions({ values, positionals, lists }: Arguments): LoadRequest {
  if (positionals.length === 0) throw new UsageError('which server? write a URL, such as http://127.0.0.1:8080/');
  const given = new OptionReader<Name>(values);
  const targets = positionals.map(parseTarget);
  const [first] = targets;
  if (targets.some((target) => target.protocol !== first.protocol || target.tls !== first.tls))
    throw new UsageError('URLs of several protocols: give those of one at a time');
  const protocol = protocolOf(given, first.protocol);
  const weights = weightsOf(given, targets.length);
  const pace = paceOf(given);
  const connections = given.integer('connections', 64, MAX_CONNECTIONS);
  const threads = given.integer('threads', 1, MAX_THREADS);
  if (connections < threads)
    throw new UsageError(`--threads ${threads}: each needs a connection, and there are ${connections}`);
  const servers = new Set(targets.map(({ host, port }) => `${host} ${port}`)).size;
  if (connections < servers)
    throw new UsageError(`--connections ${connections}: there are ${servers} servers to connect to`);
  const body = bodyOf(given);
  const bodyBytes =
    body?.length ?? given.parsed('body', BODIES[protocol] ?? '0', (text) => parseSize(text, 0, MAX_BODY));
  if (body?.length === 0 && protocol.startsWith('tcp'))
    throw new UsageError(`--body-file ${given.text('body-file', '')} is empty: there is nothing to send`);
  const seconds =
    pace.kind === 'steps'
      ? pace.steps.reduce((sum, step) => sum + step.seconds, 0)
      : given.parsed('duration', '10s', (text) => parseSeconds(text, '100ms'));
  if (pace.kind === 'steps' && given.optional('duration') !== null)
    throw new UsageError('--duration: the steps say how long it takes');
  return {
    targets,
    weights,
    plan: {
      protocol,
      method: methodOf(given.text('method', bodyBytes > 0 ? 'POST' : 'GET')),
      headers: (lists.header ?? []).map(headerOf),
      bodyBytes,
      ...(body === null ? {} : { body }),
      ...messagesOf(given, protocol),
      pace,
      connections,
      streams: streamsOf(given, protocol),
      keepAlive: !given.flag('no-keep-alive'),
      threads,
      warmupSeconds: given.parsed('warm-up', '1s', (text) => parseSeconds(text, '0s', true)),
      seconds,
      timeoutMs: given.parsed('timeout', '10s', (text) => parseSeconds(text, '10ms')) * 1000,
      io: given.parsed('io', 'auto', (text) => parseChoice(text, ['auto', 'uring', 'epoll'] as const)),
      tls: tlsOf(given, targets),
    },
  };
}

function protocolOf(given: OptionReader<Name>, protocol: LoadProtocol): LoadProtocol {
  if (given.flag('bulk')) {
    if (protocol !== 'tcp') throw new UsageError('--bulk is for tcp:// and tls://');
    for (const name of ['rate', 'steps', 'think'] as const)
      if (given.optional(name) !== null) throw new UsageError(`--${name}: --bulk moves as much as it can`);
    return 'tcp-bulk';
  }
  if (given.flag('http2')) {
    if (protocol !== 'http1') throw new UsageError('--http2 is for http:// and https://');
    return 'http2';
  }
  const call = given.optional('call');
  for (const [name, asked] of [
    ['messages', given.flag('messages')],
    ['call', call !== null],
  ] as const)
    if (asked && protocol !== 'grpc') throw new UsageError(`--${name} is for grpc:// and grpcs://`);
  if (call === null) return given.flag('messages') ? 'grpc-stream' : protocol;
  if (given.flag('messages')) throw new UsageError('--call and --messages: give one of them');
  return CALLS[given.parsed('call', '', (text) => parseChoice(text, KINDS_OF_CALLS))];
}

const KINDS_OF_CALLS = ['unary', 'client', 'server', 'bidi'] as const;
const CALLS = { unary: 'grpc', client: 'grpc-client', server: 'grpc-server', bidi: 'grpc-bidi' } as const;

/** The number of messages in a call. Without an option, a server may send any number. */
function messagesOf(given: OptionReader<Name>, protocol: LoadProtocol): Pick<LoadPlan, 'messages'> {
  const asked = given.optional('call-messages');
  switch (protocol) {
    case 'grpc-server':
      return { messages: asked === null ? 0 : given.integer('call-messages', 0, MAX_MESSAGES) };
    case 'grpc-client':
    case 'grpc-bidi':
      return { messages: given.integer('call-messages', CALL_MESSAGES, MAX_MESSAGES) };
    default:
      if (asked !== null) throw new UsageError('--call-messages is for --call client, server and bidi');
      return {};
  }
}

/** The body from a file; null: a filler of the requested length. */
function bodyOf(given: OptionReader<Name>): Uint8Array | null {
  const file = given.optional('body-file');
  if (file === null) return null;
  if (given.optional('body') !== null) throw new UsageError('--body and --body-file: give one of them');
  try {
    const { size } = statSync(file);
    if (size > MAX_BODY_FILE)
      throw new ValueError(`${size} octets are too many; a body of a file has 64 MiB at most, --body sends more`);
    return new Uint8Array(readFileSync(file));
  } catch (error) {
    throw new UsageError(`--body-file ${file}: ${messageOf(error)}`);
  }
}

function streamsOf(given: OptionReader<Name>, protocol: LoadProtocol): number {
  const several = protocol === 'http2' || protocol.startsWith('grpc');
  if (!several && given.optional('streams') !== null)
    throw new UsageError('--streams: HTTP/1.1 has one request at a time on a connection; add --http2');
  return given.integer('streams', 1, MAX_STREAMS);
}

function tlsOf(given: OptionReader<Name>, targets: readonly ParsedTarget[]): LoadTls | null {
  const [certificate, key] = [given.optional('cert'), given.optional('key')];
  if (!targets[0].tls) {
    for (const name of ['ca', 'cert', 'key', 'server-name'] as const)
      if (given.optional(name) !== null) throw new UsageError(`--${name} is for TLS, and these URLs do not use it`);
    if (given.flag('insecure')) throw new UsageError('--insecure is for TLS, and these URLs do not use it');
    return null;
  }
  if ((certificate === null) !== (key === null)) throw new UsageError('--cert and --key: give both, or none');
  const insecure = given.flag('insecure');
  if (insecure && given.optional('ca') !== null)
    throw new UsageError('--insecure and --ca: either all certificates are good, or those that these sign');
  const [{ host }, ...others] = targets;
  const serverName = given.optional('server-name');
  if (serverName === null && !insecure && others.some((other) => other.host !== host))
    throw new UsageError('several hosts with TLS: which name are their certificates for? add --server-name NAME');
  const pem = (name: 'ca' | 'cert' | 'key'): string | null => {
    const file = given.optional(name);
    if (file === null) return null;
    const [what, label] = name === 'key' ? ['private key', 'PRIVATE KEY'] : ['certificate', 'CERTIFICATE'];
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      throw new UsageError(`--${name} ${file}: ${missing ? 'there is no such file' : messageOf(error)}`);
    }
    if (new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(text)) return text;
    throw new UsageError(`--${name} ${file}: there is no ${what} in it (PEM)`);
  };
  return {
    alpn: [],
    serverName: serverName ?? host,
    authorities: pem('ca'),
    ...(insecure ? { insecure } : {}),
    certificate: pem('cert'),
    key: pem('key'),
  };
}

function paceOf(given: OptionReader<Name>): Pace {
  const rate = given.optional('rate');
  const steps = given.optional('steps');
  const think = given.optional('think');
  const poisson = given.flag('poisson');
  if (rate !== null && steps !== null) throw new UsageError('--rate and --steps: give one of them');
  if (think !== null && (rate !== null || steps !== null))
    throw new UsageError('--think is for connections that wait for answers; it has no effect with a rate');
  if (poisson && rate === null) throw new UsageError('--poisson: at which rate? add --rate RATE');
  if (steps !== null) return { kind: 'steps', steps: given.parsed('steps', '', parseSteps) };
  if (rate === null)
    return { kind: 'closed', thinkMs: given.parsed('think', '0', (text) => parseSeconds(text, '0s', true)) * 1000 };
  const perSecond = given.parsed('rate', '', parseRate);
  if (!poisson) return { kind: 'constant', rate: perSecond };
  return { kind: 'poisson', rate: perSecond, seed: given.integer('seed', 1, 2 ** 31 - 1) };
}

function weightsOf(given: OptionReader<Name>, count: number): number[] {
  const text = given.optional('weights');
  if (text === null) return Array.from({ length: count }, () => 1);
  const weights = text.split(',').map(Number);
  if (weights.length !== count)
    throw new UsageError(`--weights ${text}: ${weights.length} weights for ${count} URLs; write one for each`);
  if (!weights.every((weight) => Number.isInteger(weight) && weight > 0 && weight <= 1000))
    throw new UsageError(`--weights ${text}: a weight is a whole number from 1 to 1000`);
  return weights;
}

function methodOf(text: string): string {
  if (!TOKEN.test(text)) throw new UsageError(`--method ${JSON.stringify(text)} is not a method`);
  if (text === 'CONNECT') throw new UsageError('--method CONNECT: tunnels are not measured');
  return text;
}

function headerOf(text: string): readonly [string, string] {
  const colon = text.indexOf(':');
  const name = text.slice(0, Math.max(0, colon)).trim();
  const value = text.slice(colon + 1).trim();
  if (!TOKEN.test(name)) throw new UsageError(`--header ${JSON.stringify(text)}: write NAME: VALUE`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are not allowed in a value.
  if (/[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(value))
    throw new UsageError(`--header ${name}: control characters, and characters outside Latin-1, cannot be sent`);
  return [name.toLowerCase(), value];
}
