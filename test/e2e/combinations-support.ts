// The stage for what must be the same in all four combinations of HTTP versions: one Sluice, for each service one endpoint of each
// version, and a listener for each combination. A `Cell` is one combination of one service.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import type { PeerOptions } from '../support/h2-peer.js';
import { metrics } from '../support/http.js';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dialHttp1, WireOrigin } from './combinations-http1.js';
import { dialHttp2, StreamOrigin } from './combinations-http2.js';
import type { Arrived, Call, Connection, Line, Origin, Version, Wish } from './combinations-legs.js';

const HOST = '127.0.0.1';
export const VERSIONS: readonly Version[] = [1, 2];
/** For a test that fails because nothing comes. */
export const TEST_MS = 6000;
/** How long counters may take to become what they should be: an exchange may be heard of before it is counted. */
const COUNTING_MS = 3000;

export interface Combination {
  readonly client: Version;
  readonly endpoint: Version;
}

/** A client's connection. */
export function dial(version: Version, port: number, peers: PeerOptions = {}): Promise<Line> {
  return version === 1 ? dialHttp1(port) : dialHttp2(port, peers);
}

function listen(version: Version, peers: PeerOptions): Promise<Origin> {
  return version === 1 ? WireOrigin.listen() : StreamOrigin.listen(peers);
}

export const COMBINATIONS: readonly Combination[] = VERSIONS.flatMap((client) =>
  VERSIONS.map((endpoint) => ({ client, endpoint })),
);

export interface ServiceSetup {
  /** YAML, lines indented by four. */
  readonly yaml?: string;
  /** Instead of an endpoint of the test's. */
  readonly address?: string;
  /** Before it. */
  readonly first?: string;
}

export interface Setup {
  readonly services?: Readonly<Record<string, ServiceSetup>>;
  /** More keys of every listener. */
  readonly listener?: string;
  /** Top level YAML. */
  readonly top?: string;
  /** Of the peers that speak HTTP/2. */
  readonly peers?: PeerOptions;
}

/** What is counted of a service and its endpoint. */
export const COUNTED = {
  requests: 'sluice_service_requests_total',
  sent: 'request_total',
  responses: 'response_total',
  failures: 'sluice_endpoint_failures_total',
  abandoned: 'sluice_endpoint_abandoned_total',
  own: 'sluice_service_proxy_response_total',
  unanswered: 'sluice_service_unanswered_total',
  retries: 'sluice_service_retries_total',
  denied: 'sluice_service_retries_denied_total',
  /** Latencies recorded: of every response of an endpoint, and of nothing else. */
  latencies: 'response_latency_ms_count',
  serviceLatencies: 'sluice_service_response_latency_seconds_count',
} as const;

export type Counts = { readonly [name in keyof typeof COUNTED]: number };

const NOTHING: Counts = {
  requests: 0,
  sent: 0,
  responses: 0,
  failures: 0,
  abandoned: 0,
  own: 0,
  unanswered: 0,
  retries: 0,
  denied: 0,
  latencies: 0,
  serviceLatencies: 0,
};

export class Stage {
  private paths = 0;
  private readonly lines = new Set<Line>();

  private constructor(
    readonly sluice: Sluice,
    /** What it was started with. */
    readonly yaml: string,
    private readonly origins: ReadonlyMap<string, Origin>,
    private readonly peers: PeerOptions,
  ) {}

  static async start(
    io: Executor,
    { services = { web: {} }, listener = '', top = '', peers = {} }: Setup = {},
  ): Promise<Stage> {
    const origins = new Map<string, Origin>();
    const listeners: string[] = [];
    const named: string[] = [];
    for (const [name, { yaml = '', address, first }] of Object.entries(services)) {
      for (const endpoint of VERSIONS) {
        const service = `${name}${endpoint}`;
        const origin = address === undefined ? await listen(endpoint, peers) : null;
        if (origin !== null) origins.set(service, origin);
        named.push(`  ${service}:`, `    protocol: http${endpoint}`);
        const endpoints = [...(first === undefined ? [] : [first]), origin?.address ?? address];
        named.push(`    endpoints: ${JSON.stringify(endpoints)}`, yaml);
        for (const client of VERSIONS) {
          const what = `service: ${service}, protocol: http${client}`;
          listeners.push(`  - { name: ${service}-${client}, listen: "${HOST}:0", ${what}${listener} }`);
        }
      }
    }
    const yaml = ['drain: { hold: 0 }', top, 'listeners:', ...listeners, 'services:', ...named, ''].join('\n');
    return new Stage(await startSluice(yaml, io), yaml, origins, peers);
  }

  cell({ client, endpoint }: Combination, name = 'web'): Cell {
    return new Cell(this, client, endpoint, `${name}${endpoint}`);
  }

  origin(service: string): Origin {
    const origin = this.origins.get(service);
    if (origin === undefined) throw new Error(`${service} has no endpoint of the test's`);
    return origin;
  }

  async line(version: Version, listener: string): Promise<Line> {
    const line = await dial(version, this.sluice.port(listener), this.peers);
    this.lines.add(line);
    return line;
  }

  /** A path that no other request has. */
  path(): string {
    return `/case/${++this.paths}`;
  }

  /** Ends every connection of both sides, and waits until Sluice has nothing under way. */
  async clear(): Promise<void> {
    for (const line of this.lines) line.close();
    this.lines.clear();
    for (const origin of this.origins.values()) await origin.quiet();
    await this.left([
      ['client connections', 'sluice_worker_connections'],
      ['connections', 'tcp_open_connections'],
      ['open streams', 'sluice_http2_open_streams'],
      ['in flight at endpoints', 'sluice_endpoint_in_flight'],
      ['in flight at services', 'sluice_service_in_flight'],
    ]);
  }

  async stop(): Promise<void> {
    try {
      await this.clear();
      await this.left([['sockets', 'sluice_worker_sockets']]);
      // A buffer is kept at hand for small pieces.
      const held = (await this.buffers()) - 1;
      if (held > 0) throw new Error(`${held} buffers have not come back`);
    } finally {
      const code = await this.sluice.stop();
      for (const origin of this.origins.values()) await origin.close();
      assert.equal(code, 0);
    }
  }

  /** Buffers in use. They are looked at once in a while: by a look that begins after this call. */
  async buffers(): Promise<number> {
    const looked = 'sluice_worker_cpu_seconds_total';
    const earlier = await this.sluice.metric(looked);
    let buffers = 0;
    await eventually(async () => {
      const value = await metrics(this.sluice);
      buffers = value('sluice_slab_buffers') - value('sluice_slab_free_buffers');
      return value(looked) !== earlier;
    }, 'buffers are counted');
    return buffers;
  }

  /** Waits until these are 0. */
  private async left(names: readonly (readonly [what: string, name: string])[]): Promise<void> {
    let problem = '';
    const none = async (): Promise<boolean> => {
      const value = await metrics(this.sluice);
      const counts = names.map(([what, name]) => [what, value(name)] as const);
      problem = counts.flatMap(([what, count]) => (count === 0 ? [] : [`${what}: ${count}`])).join('; ');
      return problem === '';
    };
    await eventually(none, 'nothing under way').catch((error: unknown) => {
      throw new Error(`${String(error)}: ${problem}`);
    });
  }
}

/** One combination of versions, for one service. */
export class Cell {
  readonly sluice: Sluice;

  constructor(
    readonly stage: Stage,
    readonly client: Version,
    readonly endpoint: Version,
    /** Of the endpoint's version. */
    readonly service: string,
  ) {
    this.sluice = stage.sluice;
  }

  get origin(): Origin {
    return this.stage.origin(this.service);
  }

  line(): Promise<Line> {
    return this.stage.line(this.client, `${this.service}-${this.client}`);
  }

  /** Asks on a connection of its own. */
  async call(wish: Wish): Promise<Call> {
    return (await this.line()).ask(wish);
  }

  /** A request that has reached the endpoint. */
  async exchange(wish: Wish): Promise<readonly [Call, Arrived]> {
    const call = await this.call(wish);
    return [call, await this.origin.next(wish.tunnel === 'CONNECT' ? null : (wish.path ?? '/'))];
  }

  /** Makes a connection to the endpoint that has served a request and is idle. Returns it. */
  async pooled(): Promise<Connection> {
    const [call, arrived] = await this.exchange({ path: this.stage.path() });
    arrived.respond(200, {}, 'ok');
    const { status } = await call.answer();
    if (status !== 200) throw new Error(`${status} instead of 200`);
    return arrived.connection;
  }

  async counts(): Promise<Counts> {
    const value = await metrics(this.sluice);
    const label = `service="${this.service}"`;
    const entries = Object.entries(COUNTED).map(([key, name]) => [key, value(name, label)] as const);
    return Object.fromEntries(entries) as Counts;
  }

  /** Waits until exactly this has been counted since `earlier`. */
  async counted(earlier: Counts, expected: Partial<Counts>): Promise<void> {
    const { responses = 0 } = expected;
    const wanted = { ...NOTHING, latencies: responses, serviceLatencies: responses, ...expected };
    let problem = '';
    const same = async (): Promise<boolean> => {
      const now = await this.counts();
      problem = (Object.keys(COUNTED) as (keyof Counts)[])
        .map((key) => [key, now[key] - earlier[key], wanted[key]] as const)
        .filter(([, is, should]) => is !== should)
        .map(([key, is, should]) => `${key}: ${is} instead of ${should}`)
        .join('; ');
      return problem === '';
    };
    await eventually(same, 'counted', COUNTING_MS).catch(() => {
      throw new Error(`counted otherwise: ${problem}`);
    });
  }

  /** Requests under way, as the service and as its endpoints count them. */
  async inFlight(): Promise<readonly [service: number, endpoints: number]> {
    const value = await metrics(this.sluice);
    const label = `service="${this.service}"`;
    return [value('sluice_service_in_flight', label), value('sluice_endpoint_in_flight', label)];
  }

  limit(limit: string): Promise<number> {
    return this.sluice.metric('sluice_limit_total', { limit });
  }
}

/** Stops every thread of Sluice while `act` makes several things happen that it then finds all at once. */
export async function frozen(sluice: Sluice, act: () => Promise<void>): Promise<void> {
  const tasks = `/proc/${sluice.pid}/task`;
  const stopped = (): boolean =>
    readdirSync(tasks).every((task) => /\) [Tt] /.test(readFileSync(`${tasks}/${task}/stat`, 'latin1')));
  process.kill(sluice.pid, 'SIGSTOP');
  try {
    await eventually(stopped, 'Sluice is stopped');
    await act();
  } finally {
    process.kill(sluice.pid, 'SIGCONT');
  }
}

export const title = ({ client, endpoint }: Combination): string => `HTTP/${client} → HTTP/${endpoint}`;

/** A suite for each executor around a Stage, which has nothing under way after each test. */
export async function onEachExecutor(
  what: string,
  setup: Setup,
  declare: (stage: () => Stage, io: Executor) => void,
): Promise<void> {
  for (const io of await availableExecutors()) {
    describe(`${what} on ${io}`, () => {
      let stage: Stage | undefined;
      before(async () => {
        stage = await Stage.start(io, setup);
      });
      afterEach(() => stage?.clear());
      after(() => stage?.stop());
      declare(() => {
        if (stage === undefined) throw new Error('Sluice has not started');
        return stage;
      }, io);
    });
  }
}

/** Declares one test for each of `combinations`. */
export function inEach(
  what: string,
  test: (combination: Combination) => Promise<void>,
  combinations: readonly Combination[] = COMBINATIONS,
): void {
  for (const combination of combinations) {
    it(`${title(combination)}: ${what}`, { timeout: TEST_MS }, () => test(combination));
  }
}
