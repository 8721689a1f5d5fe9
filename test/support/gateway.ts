// A Sluice with one listener and one service, and the balance that is to come out when nothing is under way any more.
import { metrics } from './http.js';
import { closeEndpoints, hangUp } from './http2.js';
import { type Executor, eventually, type Sluice, startSluice } from './sluice.js';

const HOST = '127.0.0.1';

export interface Gateway {
  /** What the endpoints speak. */
  readonly speaks?: 'http1' | 'http2' | 'auto';
  /** What the listener is told. */
  readonly listener?: 'detect' | 'http1' | 'http2';
  /** Clients may end their direction and wait. */
  readonly halfClose?: boolean;
  /** Under `services: web:`, beside endpoints; indented by four. */
  readonly service?: string;
  /** Top level, such as `limits: ...`. */
  readonly top?: string;
}

/** Configuration of the listener `edge` for the service `web` at `endpoints`. */
export const gatewayConfig = (
  endpoints: readonly string[],
  { speaks = 'http2', listener = 'detect', halfClose = false, service = '', top = '' }: Gateway = {},
): string =>
  [
    /^drain:/m.test(top) ? '' : 'drain: { hold: 0 }',
    top,
    'listeners:',
    `  - { name: edge, listen: "${HOST}:0", service: web, protocol: ${listener}, halfClose: ${halfClose} }`,
    'services:',
    '  web:',
    `    protocol: ${speaks}`,
    `    endpoints: [${endpoints.map((endpoint) => JSON.stringify(endpoint)).join(', ')}]`,
    service,
    '',
  ].join('\n');

const gateways = new Set<Sluice>();

/** A Sluice with that configuration. */
export async function startGateway(io: Executor, endpoints: readonly string[], gateway: Gateway = {}): Promise<Sluice> {
  const sluice = await startSluice(gatewayConfig(endpoints, gateway), io);
  gateways.add(sluice);
  void sluice.exited.then(() => gateways.delete(sluice));
  return sluice;
}

/** The same for HTTP/1 alone: the listener is told so, the endpoints are. */
export const startEdge = (io: Executor, endpoints: readonly string[], gateway: Gateway = {}): Promise<Sluice> =>
  startGateway(io, endpoints, { speaks: 'http1', listener: 'http1', ...gateway });

/** A Sluice before one endpoint while `run` goes on. At its end nothing may be under way, and both end. */
export async function across<E extends { readonly address: string; close(): Promise<void> }>(
  io: Executor,
  endpoint: E,
  gateway: Gateway,
  run: (sluice: Sluice, endpoint: E) => Promise<void>,
): Promise<void> {
  const sluice = await startGateway(io, [endpoint.address], gateway);
  try {
    await run(sluice, endpoint);
    hangUp();
    await quiet(sluice);
  } finally {
    hangUp();
    await sluice.stop();
    await endpoint.close();
  }
}

/** Ends what tests that failed have left running: for after the last test of a file. */
export async function tearDown(): Promise<void> {
  hangUp();
  for (const { child } of gateways) child.kill('SIGKILL');
  await closeEndpoints();
}

type Value = Awaited<ReturnType<typeof metrics>>;
/** What is, and what it should be. */
type Entry = readonly [what: string, is: number, should: number];

const requests = (value: Value): readonly Entry[] => [
  ['client connections', value('sluice_worker_connections'), 0],
  ['requests in flight at endpoints', value('sluice_endpoint_in_flight'), 0],
  ['requests in flight at services', value('sluice_service_in_flight'), 0],
  [
    'requests at endpoints',
    value('request_total'),
    value('response_total') + value('sluice_endpoint_failures_total') + value('sluice_endpoint_abandoned_total'),
  ],
];

const usedBuffers = (value: Value): number => value('sluice_slab_buffers') - value('sluice_slab_free_buffers');

/** Waits until all `entries` come out even. */
export async function balanced(sluice: Sluice, entries: (value: Value) => readonly Entry[]): Promise<void> {
  let problem = '';
  const even = async (): Promise<boolean> => {
    problem = entries(await metrics(sluice))
      .filter(([, is, should]) => is !== should)
      .map(([what, is, should]) => `${what}: ${is} instead of ${should}`)
      .join('; ');
    return problem === '';
  };
  await eventually(even, 'nothing under way').catch((error: unknown) => {
    throw new Error(`${String(error)}: ${problem}\n${sluice.log.map((line) => JSON.stringify(line)).join('\n')}`);
  });
}

/**
 * Waits until nothing is under way any more where all speak HTTP/1, and checks that nothing was lost: every buffer is back, every
 * connection that was opened is closed or lies in a pool, and the counters of requests add up.
 */
export function settled(sluice: Sluice): Promise<void> {
  return balanced(sluice, (value) => [
    ...requests(value),
    ['buffers in use', usedBuffers(value), 0],
    ['sockets and pooled connections', value('sluice_worker_sockets'), value('sluice_endpoint_pool_idle')],
    ...['src', 'dst'].map(
      (peer): Entry => [
        `${peer} connections opened, closed or open`,
        value('tcp_open_total', `peer="${peer}"`),
        value('tcp_close_total', `peer="${peer}"`) + value('tcp_open_connections', `peer="${peer}"`),
      ],
    ),
  ]);
}

/**
 * Waits until no client is connected and no stream is open any more, and checks that every buffer is back: but for one a worker,
 * which it keeps at hand for small pieces.
 */
export function quiet(sluice: Sluice): Promise<void> {
  const workers = Number(sluice.log.find(({ message }) => message === 'accepting')?.workers);
  return balanced(sluice, (value) => [
    ...requests(value),
    ['buffers in use', Math.max(workers, usedBuffers(value)), workers],
    ['open streams', value('sluice_http2_open_streams'), 0],
  ]);
}
