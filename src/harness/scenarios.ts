// The work used for measuring subjects.
import type { LoadPlan, LoadProtocol, Pace } from '../load/plan.js';
import type { Work } from './subjects/subject.js';

/** Kinds of servers behind a subject (`upstream/main.ts`). */
export type UpstreamKind = 'http1' | 'http2' | 'grpc' | 'grpc-server' | 'grpc-each' | 'websocket' | 'echo' | 'source';

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Unit of the work: `request`, `connection`, `message` or `GB`. */
  readonly unit: string;
  readonly upstream: { readonly kind: UpstreamKind; readonly bodyBytes: number };
  readonly work: Pick<Work, 'kind' | 'http2' | 'tls' | 'upgrade'>;
  readonly protocol: LoadProtocol;
  readonly method: string;
  readonly bodyBytes: number;
  /** Of a gRPC call; see `LoadPlan`. */
  readonly messages?: number;
  readonly connections: number;
  readonly streams: number;
  readonly keepAlive: boolean;
  readonly pace: Pace;
}

const CLOSED: Pace = { kind: 'closed', thinkMs: 0 };
const TYPICAL = 40;
const LIGHT_RATE = 3000;
/** Messages of a gRPC call; the server behind sends as many. */
const CALL_MESSAGES = 10;
/** Each for a third of the time. */
const STEPS = [1000, 3000, 5000];

const http: Omit<Scenario, 'name' | 'title'> = {
  unit: 'request',
  upstream: { kind: 'http1', bodyBytes: TYPICAL },
  work: { kind: 'http' },
  protocol: 'http1',
  method: 'GET',
  bodyBytes: 0,
  connections: 64,
  streams: 1,
  keepAlive: true,
  pace: CLOSED,
};
const http2: typeof http = {
  ...http,
  upstream: { kind: 'http2', bodyBytes: TYPICAL },
  work: { kind: 'http', http2: 'both' },
  protocol: 'http2',
  connections: 10,
  streams: 32,
};
const grpc: typeof http = {
  ...http2,
  upstream: { kind: 'grpc', bodyBytes: TYPICAL },
  protocol: 'grpc',
  method: 'POST',
  bodyBytes: TYPICAL,
};
const tcp: typeof http = { ...http, unit: 'message', work: { kind: 'tcp' }, protocol: 'tcp' };
const PAGE = 16_384;

export const SCENARIOS: readonly Scenario[] = [
  { ...http, name: 'h1', title: 'HTTP/1.1, 64 connections, as much as goes through' },
  {
    ...http,
    name: 'h1-rate',
    title: `HTTP/1.1, 64 connections, ${LIGHT_RATE} requests a second`,
    pace: { kind: 'constant', rate: LIGHT_RATE },
  },
  {
    ...http,
    name: 'h1-poisson',
    title: `HTTP/1.1, 64 connections, ${LIGHT_RATE} requests a second as chance has them`,
    pace: { kind: 'poisson', rate: LIGHT_RATE, seed: 1 },
  },
  {
    ...http,
    name: 'h1-steps',
    title: `HTTP/1.1, 64 connections, ${STEPS.join(', ')} requests a second, a third of the time each`,
    pace: { kind: 'steps', steps: STEPS.map((rate) => ({ rate, seconds: 1 })) },
  },
  {
    ...http,
    name: 'h1-16k',
    title: 'HTTP/1.1, answers of 16 KiB, 16 connections',
    upstream: { kind: 'http1', bodyBytes: PAGE },
    connections: 16,
  },
  {
    ...http,
    name: 'h1-post',
    title: 'HTTP/1.1, requests of 16 KiB, 16 connections',
    method: 'POST',
    bodyBytes: PAGE,
    connections: 16,
  },
  {
    ...http,
    name: 'connect',
    title: 'HTTP/1.1, a connection for each request, 32 at a time',
    unit: 'connection',
    protocol: 'connect',
    connections: 32,
    keepAlive: false,
  },
  { ...http2, name: 'h2', title: 'HTTP/2, 10 connections of 32 streams, as much as goes through' },
  {
    ...http2,
    name: 'h2-rate',
    title: `HTTP/2, 10 connections, ${LIGHT_RATE} requests a second`,
    pace: { kind: 'constant', rate: LIGHT_RATE },
  },
  {
    ...http2,
    name: 'h2-to-h1',
    title: 'HTTP/2 of clients to endpoints of HTTP/1.1, 10 connections of 32 streams',
    upstream: http.upstream,
    work: { kind: 'http', http2: 'clients' },
  },
  { ...grpc, name: 'grpc', title: 'gRPC, unary calls, 10 connections of 32 streams' },
  {
    ...grpc,
    name: 'grpc-stream',
    title: 'gRPC, messages there and back on calls that stay, 10 connections of 32 calls',
    unit: 'message',
    upstream: { kind: 'grpc-each', bodyBytes: TYPICAL },
    protocol: 'grpc-stream',
  },
  {
    ...grpc,
    name: 'grpc-server',
    title: `gRPC, calls of ${CALL_MESSAGES} answers, 10 connections of 32 calls`,
    unit: 'call',
    upstream: { kind: 'grpc-server', bodyBytes: TYPICAL },
    protocol: 'grpc-server',
    messages: CALL_MESSAGES,
  },
  {
    ...grpc,
    name: 'grpc-client',
    title: `gRPC, calls of ${CALL_MESSAGES} messages and one answer, 10 connections of 32 calls`,
    unit: 'call',
    protocol: 'grpc-client',
    messages: CALL_MESSAGES,
  },
  {
    ...grpc,
    name: 'grpc-bidi',
    title: `gRPC, calls of ${CALL_MESSAGES} messages with an answer each, 10 connections of 32 calls`,
    unit: 'call',
    upstream: { kind: 'grpc-each', bodyBytes: TYPICAL },
    protocol: 'grpc-bidi',
    messages: CALL_MESSAGES,
  },
  {
    ...http,
    name: 'websocket',
    title: 'WebSocket, messages of 64 octets there and back, 64 connections',
    unit: 'message',
    upstream: { kind: 'websocket', bodyBytes: 0 },
    work: { kind: 'http', upgrade: true },
    protocol: 'websocket',
    bodyBytes: 64,
  },
  { ...http, name: 'tls', title: 'HTTP/1.1 over TLS 1.3, 64 connections', work: { kind: 'http', tls: 'clients' } },
  {
    ...http,
    name: 'mtls',
    title: 'HTTP/1.1 over mutual TLS 1.3, 64 connections',
    work: { kind: 'http', tls: 'mutual' },
  },
  {
    ...http2,
    name: 'tls-h2',
    title: 'HTTP/2 over TLS 1.3, 10 connections of 32 streams',
    work: { kind: 'http', http2: 'both', tls: 'clients' },
  },
  {
    ...tcp,
    name: 'tcp',
    title: 'TCP, 64 octets there and back, 64 connections',
    upstream: { kind: 'echo', bodyBytes: 0 },
    bodyBytes: 64,
  },
  {
    ...tcp,
    name: 'tcp-bulk',
    title: 'TCP, as much as goes through, 4 connections',
    unit: 'GB',
    upstream: { kind: 'source', bodyBytes: 0 },
    protocol: 'tcp-bulk',
    connections: 4,
  },
];

/** Default selection: one of each kind. */
export const DEFAULT_SCENARIOS: readonly string[] = ['h1', 'h1-rate', 'connect', 'h2', 'grpc', 'tcp'];

const GIGA = 1e9;

/** Units of work, from a load's counts. */
export const unitsOf = ({ unit }: Pick<Scenario, 'unit'>, done: number): number => (unit === 'GB' ? done / GIGA : done);

export interface PlanChoices {
  readonly seconds: number;
  readonly threads: number;
  readonly io: LoadPlan['io'];
  readonly pace?: Pace;
  readonly warmupSeconds?: number;
}

/** The load's plan for a subject that listens on `port`. */
/** Steps divide the time that there is. */
function paceOf(pace: Pace, seconds: number): Pace {
  if (pace.kind !== 'steps') return pace;
  const total = pace.steps.reduce((sum, step) => sum + step.seconds, 0);
  return { kind: 'steps', steps: pace.steps.map((step) => ({ ...step, seconds: (step.seconds * seconds) / total })) };
}

export function planOf(scenario: Scenario, port: number, choices: PlanChoices): LoadPlan {
  const grpc = scenario.protocol.startsWith('grpc');
  return {
    protocol: scenario.protocol,
    targets: [
      {
        address: '127.0.0.1',
        port,
        authority: 'bench.example',
        path: grpc ? '/bench.Bench/Call' : '/some/path?of=usual&length=1',
        weight: 1,
      },
    ],
    method: scenario.method,
    headers: [
      ['user-agent', 'sluice-bench'],
      ['accept', '*/*'],
    ],
    bodyBytes: scenario.bodyBytes,
    ...(scenario.messages === undefined ? {} : { messages: scenario.messages }),
    pace: choices.pace ?? paceOf(scenario.pace, choices.seconds),
    connections: scenario.connections,
    streams: scenario.streams,
    keepAlive: scenario.keepAlive,
    threads: choices.threads,
    warmupSeconds: choices.warmupSeconds ?? 0,
    seconds: choices.seconds,
    timeoutMs: 5000,
    io: choices.io,
    tls:
      scenario.work.tls === undefined
        ? null
        : { alpn: [], serverName: 'localhost', authorities: null, certificate: null, key: null },
  };
}
