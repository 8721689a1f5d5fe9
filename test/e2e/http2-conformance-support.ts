// The stage of the conformance suite: one Sluice between a raw client and a raw endpoint. In each case one of the two
// misbehaves (or tries what must be borne), and the other is the witness of what Sluice makes of it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { balanced } from '../support/gateway.js';
import { H2Endpoint } from '../support/h2-endpoint.js';
import { type Code, END_STREAM, type SettingValues } from '../support/h2-frames.js';
import { H2Peer, type PeerOptions, REQUEST } from '../support/h2-peer.js';
import { encodeBlock, type Pair } from '../support/naive-hpack.js';
import { availableExecutors, type Executor, type Sluice, startSluice } from '../support/sluice.js';

/** Who misbehaves: `server` tests Sluice as a server, towards a client; `client` tests it as a client of an endpoint. */
export type Role = 'server' | 'client';
export const ROLES: readonly Role[] = ['server', 'client'];

export interface BenchSetup {
  /** Under `limits: http2:`, YAML flow. By default abuse goes unlimited; null leaves `limits` to `top`. */
  readonly limits?: string | null;
  /** Under `services: web:`, YAML flow lines indented by four. */
  readonly service?: string;
  readonly top?: string;
}

/** A request under way, seen from both sides. */
export interface Exchange {
  readonly client: H2Peer;
  /** Its number on the client's connection. */
  readonly asked: number;
  readonly endpoint: H2Peer;
  /** Its number on the endpoint's connection. */
  readonly arrived: number;
  readonly path: string;
}

/** Sluice with one listener, one service and one endpoint. */
export class Bench {
  private paths = 0;
  private readonly clients: H2Peer[] = [];

  private constructor(
    readonly sluice: Sluice,
    readonly endpoint: H2Endpoint,
    /** Of a listener and a service by themselves, for whoever is not concerned. */
    private readonly calm: H2Endpoint,
  ) {}

  static async start(io: Executor, setup: BenchSetup = {}): Promise<Bench> {
    const endpoint = await H2Endpoint.listen();
    const calm = await H2Endpoint.listen();
    const generous =
      'maxProvokedResets: 1000000, maxResets: 1000000, maxControlFrames: 1000000, maxEmptyFrames: 1000000';
    const sluice = await startSluice(
      [
        'drain: { hold: 0 }',
        setup.limits === null ? '' : `limits: { http2: { ${setup.limits ?? generous} } }`,
        setup.top ?? '',
        'listeners:',
        '  - { name: edge, listen: "127.0.0.1:0", service: web, protocol: http2 }',
        '  - { name: calm, listen: "127.0.0.1:0", service: calm, protocol: http2 }',
        'services:',
        `  calm: { protocol: http2, endpoints: ["${calm.address}"] }`,
        '  web:',
        '    protocol: http2',
        `    endpoints: ["${endpoint.address}"]`,
        '    breaker: { failures: 0 }',
        setup.service ?? '',
        '',
      ].join('\n'),
      io,
    );
    return new Bench(sluice, endpoint, calm);
  }

  get port(): number {
    return this.sluice.port('edge');
  }

  /** A client that has been greeted. */
  async client(options: PeerOptions = {}, settings: SettingValues = {}): Promise<H2Peer> {
    const peer = await H2Peer.greeted(this.port, settings, options);
    this.clients.push(peer);
    return peer;
  }

  /** A client whose requests go to an endpoint of their own. */
  async bystander(): Promise<H2Peer> {
    const peer = await H2Peer.greeted(this.sluice.port('calm'));
    this.clients.push(peer);
    return peer;
  }

  /** Plays one test; afterwards its clients are gone, and if it failed so are the endpoint's connections. */
  async play(test: () => Promise<void>): Promise<void> {
    let failed = true;
    try {
      await test();
      failed = false;
    } finally {
      for (const client of this.clients.splice(0)) await client.bye().catch(() => client.destroy());
      if (failed) await this.endpoint.quiet();
    }
  }

  /** As `play`, with an endpoint whose connections begin in another way. */
  async greeting(greet: (peer: H2Peer) => void, options: PeerOptions, test: () => Promise<void>): Promise<void> {
    const { endpoint } = this;
    const usual = endpoint.greet;
    await endpoint.quiet();
    endpoint.greet = greet;
    endpoint.options = options;
    try {
      await this.play(test);
    } finally {
      await endpoint.quiet();
      endpoint.greet = usual;
      endpoint.options = {};
    }
  }

  /** A path that no other request has, which the endpoint leaves to the test. */
  path(): string {
    return `/case-${++this.paths}`;
  }

  /** A request that has reached the endpoint; `body: open` has not ended yet. POST, so that nothing tries it again. */
  async exchange(
    request: {
      readonly body?: 'open' | 'ended';
      readonly client?: H2Peer;
      readonly fields?: Record<string, string>;
    } = {},
  ): Promise<Exchange> {
    const path = this.path();
    const client = request.client ?? (await this.client());
    const flags = request.body === 'open' ? 0 : END_STREAM;
    const asked = client.request({ ':method': 'POST', ':path': path, ...request.fields }, flags);
    const { peer, stream } = await this.endpoint.request(path);
    return { client, asked, endpoint: peer, arrived: stream, path };
  }

  /** Another connection is served: whatever was done, it was done to one connection. */
  async serves(): Promise<void> {
    const other = await H2Peer.greeted(this.port);
    const { status, body } = await other.response(other.request());
    assert.equal(status, 200);
    assert.equal(body.toString(), 'ok');
    await other.bye();
  }

  /** Nothing is under way and nothing was lost. */
  async settled(): Promise<void> {
    const wrong = this.sluice.log.filter(({ level }) => level === 'error' || level === 'raw');
    assert.deepEqual(wrong, [], 'Sluice logged errors');
    await this.endpoint.quiet();
    await this.calm.quiet();
    await balanced(this.sluice, (value) => [
      ['client connections', value('sluice_worker_connections'), 0],
      ['sockets', value('sluice_worker_sockets'), 0],
      ['open streams', value('sluice_http2_open_streams'), 0],
      ['open HTTP/2 connections', value('sluice_http2_open_connections'), 0],
      // One buffer, cut into blocks for what waits, is kept for the next that does.
      ['buffers in use', Math.max(1, value('sluice_slab_buffers') - value('sluice_slab_free_buffers')), 1],
      ['in flight at endpoints', value('sluice_endpoint_in_flight'), 0],
      ['in flight at services', value('sluice_service_in_flight'), 0],
      ['streams at endpoints', value('sluice_endpoint_http2_streams'), 0],
    ]);
  }

  async stop(): Promise<void> {
    try {
      await this.settled();
    } finally {
      const code = await this.sluice.stop();
      await this.endpoint.close();
      await this.calm.close();
      assert.equal(code, 0);
    }
  }
}

/** A suite per executor around one Bench, which is whole at the end. */
export async function onEachExecutor(
  title: string,
  setup: BenchSetup,
  declare: (bench: () => Bench, io: Executor) => void,
): Promise<void> {
  for (const io of await availableExecutors()) {
    describe(`${title} on ${io}`, () => {
      let bench: Bench | undefined;
      before(async () => {
        bench = await Bench.start(io, setup);
      });
      after(async () => {
        await bench?.stop();
      });
      declare(() => {
        if (bench === undefined) throw new Error('Sluice has not started');
        return bench;
      }, io);
    });
  }
}

/** What Sluice must do about it. */
export type Outcome =
  /** The connection ends with GOAWAY of one of these codes. */
  | { readonly connection: readonly Code[] }
  /** The stream ends with RST_STREAM of one of these codes; the connection lives on. */
  | { readonly stream: readonly Code[] }
  /** Either, with one of these codes. */
  | { readonly either: readonly Code[] }
  /** Nothing: the exchange goes on to its end. */
  | 'borne';

export interface Stage extends Exchange {
  readonly bench: Bench;
  readonly role: Role;
  /** The one that misbehaves. */
  readonly hostile: H2Peer;
  /** The open stream on its connection. */
  readonly stream: number;
}

export interface Case {
  readonly section: string;
  readonly what: string;
  /** Who may do it; both by default. */
  readonly role?: Role;
  /** What has been said before: the request may have ended, the response may have begun. */
  readonly request?: 'open' | 'ended';
  readonly response?: 'none' | 'begun';
  readonly play: (stage: Stage) => void | Promise<void>;
  readonly outcome: Outcome;
}

/** Whoever is on the other side of a stream that went wrong is told so, and never takes it for whole. */
async function witnessed({ role, client, asked, endpoint, arrived }: Stage, begun: boolean): Promise<void> {
  if (role === 'server') {
    const { code } = await endpoint.expect('RST_STREAM', { stream: arrived });
    assert.notEqual(code, 'NO_ERROR');
    assert.ok(!endpoint.arrived('DATA', arrived).some(({ endStream }) => endStream), 'the request looks whole');
    return;
  }
  const response = await client.response(asked);
  if (begun || response.reset !== null) {
    assert.notEqual(response.reset, null, 'the response looks whole');
    assert.notEqual(response.reset, 'NO_ERROR');
  } else {
    assert.equal(response.status, 502);
    assert.notEqual(response.field('sluice-error'), null);
  }
  await client.sync();
}

/** The exchange is ended as if nothing had been. */
async function completes({ client, asked, endpoint, arrived }: Stage, given: Case): Promise<void> {
  if (given.request !== 'ended') client.data(asked, 'end', END_STREAM);
  const begun = given.response === 'begun';
  if (!begun) endpoint.headers(arrived, { ':status': '200' });
  endpoint.data(arrived, 'whole', END_STREAM);
  const { status, body, reset } = await client.response(asked);
  assert.equal(reset, null);
  if (!begun) assert.equal(status, 200);
  assert.ok(body.toString().endsWith('whole'), body.toString());
}

async function run(bench: Bench, role: Role, given: Case): Promise<void> {
  const exchange = await bench.exchange({ body: given.request ?? 'open' });
  const { client, asked, endpoint, arrived } = exchange;
  const stage: Stage = {
    ...exchange,
    bench,
    role,
    hostile: role === 'server' ? client : endpoint,
    stream: role === 'server' ? asked : arrived,
  };
  const begun = given.response === 'begun';
  if (begun) {
    endpoint.headers(arrived, { ':status': '200' });
    await client.expect('HEADERS', { stream: asked });
  }
  await given.play(stage);
  const { hostile, stream } = stage;
  const { outcome } = given;
  if (outcome === 'borne') {
    await hostile.sync();
    await completes(stage, given);
  } else if ('connection' in outcome) {
    await hostile.expect('GOAWAY', { code: outcome.connection });
    await hostile.closed();
    await witnessed(stage, begun);
  } else if ('stream' in outcome) {
    await hostile.expect('RST_STREAM', { stream, code: outcome.stream });
    await hostile.sync();
    await witnessed(stage, begun);
  } else {
    await hostile.when(
      () => hostile.arrived('RST_STREAM', stream).length > 0 || hostile.arrived('GOAWAY').length > 0,
      'RST_STREAM or GOAWAY',
    );
    const [frame] = [...hostile.arrived('RST_STREAM', stream), ...hostile.arrived('GOAWAY')];
    assert.ok((outcome.either as readonly string[]).includes(frame?.code ?? ''), `${frame?.type} ${frame?.code}`);
    await witnessed(stage, begun);
  }
  hostile.check();
  client.check();
  endpoint.check();
}

/** Declares `cases` for the roles that they name. */
export function declareCases(cases: readonly Case[], bench: () => Bench): void {
  for (const role of ROLES) {
    for (const given of cases) {
      if (given.role !== undefined && given.role !== role) continue;
      const who = role === 'server' ? 'from a client' : 'from an endpoint';
      it(`${given.section} ${given.what}, ${who}`, () => bench().play(() => run(bench(), role, given)));
    }
  }
}

// What the tables of cases are written with.

export const PROTOCOL = { connection: ['PROTOCOL_ERROR'] } as const;
export const FRAME_SIZE = { connection: ['FRAME_SIZE_ERROR'] } as const;
export const FLOW = { connection: ['FLOW_CONTROL_ERROR'] } as const;
export const GET = encodeBlock(REQUEST);
export const MAX = 2 ** 31 - 1;

/** A header block that is right for whoever sends it. */
export const head = (role: Role, more: readonly Pair[] = []): Buffer =>
  encodeBlock([...(role === 'server' ? REQUEST : [[':status', '200'] as Pair]), ...more]);
/** A stream that the hostile peer has a right to send a head on: a client opens the next one, an endpoint answers. */
export const headStream = ({ role, hostile, stream }: Stage): number => (role === 'server' ? hostile.next : stream);
/** A stream that nobody has opened. */
export const idle = ({ role, hostile, stream }: Stage): number =>
  role === 'server' ? hostile.next + 100 : stream + 100;

/** The usual request without the fields `without`, and with `more` behind. */
export const requestFields = (more: readonly Pair[] = [], without: readonly string[] = []): readonly Pair[] => [
  ...REQUEST.filter(([name]) => !without.includes(name)),
  ...more,
];
export const WEBSOCKET = [
  [':method', 'CONNECT'],
  [':protocol', 'websocket'],
  [':scheme', 'http'],
  [':path', '/ok'],
  [':authority', 'a.test'],
] as const;
