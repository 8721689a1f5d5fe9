// A `Lifecycle` whose exchanges, statistics, replay buffers, dispatcher and balancer are real. Legs, answers and tunnels are stand-ins that
// do to the exchange what the real ones do, and write down what they were asked for.

import assert from 'node:assert/strict';
import { Balancer, POLICY } from '../../../src/balance/balancer.js';
import { HEALTH_SIGNAL } from '../../../src/balance/health-signals.js';
import { METHOD } from '../../../src/http/methods.js';
import { RESPONSE_REASONS } from '../../../src/http/response-reasons.js';
import { SCRATCH_BUFFERS_BYTES, ScratchBuffers } from '../../../src/http/scratch-buffers.js';
import { BlockAllocator } from '../../../src/http2/block-allocator.js';
import type { Connection } from '../../../src/http2/connection.js';
import { H2_ERROR } from '../../../src/http2/frame.js';
import type { Core } from '../../../src/http2/shared-state.js';
import { Slab } from '../../../src/io/slab.js';
import { CLOSE_REASONS, E, endpointBase, S, serviceBase } from '../../../src/metrics/layout.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../../src/metrics/shared.js';
import { CLOSE } from '../../../src/proxy/connect/connections.js';
import { SERVICE_PROTOCOL, VERSION } from '../../../src/proxy/connect/protocols.js';
import type { Context } from '../../../src/proxy/context.js';
import { type Deadlines, OVERDUE } from '../../../src/proxy/exchange/deadlines.js';
import { Dispatcher } from '../../../src/proxy/exchange/dispatch.js';
import { Endings } from '../../../src/proxy/exchange/endings.js';
import { Exchanges, LEG, STATE } from '../../../src/proxy/exchange/exchange.js';
import { ExchangeStats } from '../../../src/proxy/exchange/exchange-stats.js';
import { LEASE, type Legs, SOURCE } from '../../../src/proxy/exchange/legs.js';
import { Lifecycle } from '../../../src/proxy/exchange/lifecycle.js';
import type { LocalReplies } from '../../../src/proxy/exchange/local-replies.js';
import type { Permissions } from '../../../src/proxy/exchange/permissions.js';
import { ReplayBuffers } from '../../../src/proxy/exchange/replay-buffers.js';
import { REPLY_REASON } from '../../../src/proxy/exchange/reply-reasons.js';
import { Retries } from '../../../src/proxy/exchange/retry.js';
import { type EVENT, STATES } from '../../../src/proxy/exchange/table.js';
import type { Tunnels } from '../../../src/proxy/relay/tunnel.js';
import type { ExchangeSlot } from '../../../src/proxy/slots.js';
import { fakeMemory } from '../../io/slab-support.js';

const SOCKETS = 4;
const STREAMS = 4;
const SERVICE = 1;
const ENDPOINTS = [1, 2, 3];
const METER = 0;
/** Socket of an endpoint that speaks HTTP/1. */
const ENDPOINT_SOCKET = 3;

export type Event = keyof typeof EVENT;
export type State = keyof typeof STATE;
const nameOf = (names: Readonly<Record<string, number>>, value: number): string =>
  Object.keys(names).find((name) => names[name] === value) ?? `${value}`;

/** What the stand-ins answer. */
export interface Knobs {
  /** What `lease` and `dequeue` return. */
  lease: number;
  /** Version of HTTP in which requests go to their endpoints. */
  version: number;
  dialling: boolean;
  sends: boolean;
  /** Whether what is queued of a request can be sent in the version of another endpoint. */
  fits: boolean;
  /** Whether requests are kept. */
  keeps: boolean;
  retries: boolean;
  wrongVersion: boolean;
  unsent: boolean;
  clientEnded: boolean;
  /** Whether a tunnel ends when something was flushed. */
  tunnelEnded: boolean;
  endpointStalls: boolean;
  overdue: number;
}

const usual = (): Knobs => ({
  lease: LEASE.OK,
  version: VERSION.HTTP1,
  dialling: false,
  sends: true,
  fits: true,
  keeps: true,
  retries: false,
  wrongVersion: false,
  unsent: false,
  clientEnded: false,
  tunnelEnded: false,
  endpointStalls: false,
  overdue: OVERDUE.NO,
});

export class World {
  readonly calls: string[] = [];
  readonly knobs = usual();
  readonly exchanges = new Exchanges(SOCKETS, STREAMS);
  readonly slab = new Slab(fakeMemory(32, SCRATCH_BUFFERS_BYTES), SCRATCH_BUFFERS_BYTES);
  readonly blocks = new BlockAllocator(this.slab);
  readonly balancer = new Balancer(4, 8, 1);
  readonly metrics = new WorkerMetrics(allocateWorkerMemory(8));
  readonly values = this.metrics.values;
  readonly replay: ReplayBuffers;
  readonly stats: ExchangeStats;
  readonly lifecycle: Lifecycle;
  /** Answers in the proxy's own name, and limits that have fired. */
  answers = 0;
  limits = 0;
  /** What services say that their endpoints speak. */
  readonly declared = new Uint8Array(4).fill(SERVICE_PROTOCOL.AUTO);
  private readonly free = this.slab.free;

  constructor(readonly x: ExchangeSlot) {
    const { exchanges, balancer, values, metrics, slab, knobs, calls } = this;
    balancer.configure(SERVICE, POLICY.ROUND_ROBIN, 1000, 10, 1000, 1_000_000, 1000, 1000, 0);
    balancer.setEndpoints(SERVICE, ENDPOINTS, 0);
    const context = {
      balancer,
      values,
      metrics,
      slab,
      bytes: slab.bytes,
      observed: false,
      reactor: { now: 5, ms: 5 },
      budget: { deposit: () => undefined, tryWithdraw: () => knobs.retries },
      limits: { http2: { maxReplayBytes: 1 << 20 } },
      services: {
        base: new Int32Array(4).map((_, slot) => serviceBase(slot)),
        series: new Int32Array(4).map((_, slot) => slot),
        protocol: this.declared,
        unresolved: new Uint8Array(4),
        replayBytes: new Int32Array(4).fill(1 << 16),
        responseTimeoutMs: new Float64Array(4),
      },
      endpoints: {
        base: new Int32Array(8).map((_, slot) => endpointBase(slot)),
        series: new Int32Array(8).map((_, slot) => slot),
        origProto: new Uint8Array(8),
      },
      protocols: {
        choose: () => knobs.version,
        learn: () => undefined,
        uncertain: () => true,
        spoken: () => knobs.wrongVersion,
      },
      connections: {
        close: (_socket: number, reason: number) => calls.push(`connections.close(${CLOSE_REASONS[reason]})`),
      },
      limited: () => this.limits++,
      authorization: { active: false },
    } as unknown as Context;
    const scratch = new ScratchBuffers(slab.fixed(SCRATCH_BUFFERS_BYTES));
    const core = { slab, blocks: this.blocks, scratch, clock: new Float64Array(1) } as unknown as Core;
    this.replay = new ReplayBuffers(context, core, exchanges);
    this.stats = new ExchangeStats(context, exchanges, { begun: () => undefined, ended: () => undefined });
    const legs = this.legs();
    this.lifecycle = new Lifecycle(
      context,
      exchanges,
      this.replay,
      legs,
      this.stats,
      new Endings(exchanges, this.replay, legs, this.stats, this.localReplies(), { forget: () => undefined }),
      new Dispatcher(context, core, exchanges, legs, this.stats),
      new Retries(context, exchanges, this.replay, legs, this.stats),
      { arm: () => undefined, check: () => knobs.overdue, next: 0 } as unknown as Deadlines,
      this.tunnels(),
      { permits: () => true, lost: () => false } as unknown as Permissions,
    );
  }

  get state(): State {
    return STATES[this.exchanges.state[this.x]];
  }

  /** A request begins: the columns of the exchange are as a reader leaves them. */
  begin(method: number = METHOD.GET): void {
    const { exchanges, x } = this;
    exchanges.begin(x, SERVICE, method, false);
    exchanges.requestComplete[x] = 1;
    exchanges.started[x] = 1;
  }

  /** Brings the exchange to `state` by events. */
  reach(state: State): void {
    const { lifecycle, x, knobs } = this;
    this.begin();
    if (state === 'FREE') return;
    if (state === 'LOCAL_REPLY') lifecycle.replyLocally(x, 503, REPLY_REASON.NO_ENDPOINT);
    else if (state === 'PENDING') {
      const { version } = knobs;
      knobs.lease = LEASE.PENDING;
      knobs.version = VERSION.HTTP2;
      lifecycle.request(x, METER, 0);
      knobs.lease = LEASE.OK;
      knobs.version = version;
    } else {
      lifecycle.request(x, METER, 0);
      if (state !== 'SENT') {
        lifecycle.responded(x, 200);
        lifecycle.responding(x);
      }
      if (state === 'FLUSHING') lifecycle.ended(x);
      if (state === 'TUNNEL') lifecycle.upgraded(x, false);
    }
    assert.equal(this.state, state);
    this.calls.splice(0);
  }

  /** Reports `event` as legs do. */
  report(event: Event): void {
    REPORTS[event](this.lifecycle, this.x);
  }

  /** Each thing is counted once, and whoever is not under way holds nothing. */
  check(): void {
    const { exchanges, x, values, balancer, stats, state } = this;
    const sum = (field: number): number =>
      ENDPOINTS.reduce((total, slot) => total + values[endpointBase(slot) + field], 0);
    const service = (field: number): number => values[serviceBase(SERVICE) + field];
    const engaged = ['PENDING', 'SENT', 'RESPONDING', 'FLUSHING'].includes(state);
    const counted = exchanges.endpointInFlight[x];
    assert.equal(
      ENDPOINTS.reduce((total, slot) => total + balancer.inFlight(slot), 0),
      engaged ? 1 : 0,
      `in flight for the balancer in ${state}`,
    );
    assert.equal(exchanges.inFlight[x], engaged ? 1 : 0, `pending in ${state}`);
    assert.equal(service(S.IN_FLIGHT), exchanges.inFlight[x], `in flight with the service in ${state}`);
    assert.equal(sum(E.IN_FLIGHT), counted, `in flight with an endpoint in ${state}`);
    assert.equal(stats.inHttp1 + stats.inHttp2, counted, `under way in ${state}`);
    assert.ok(stats.inHttp1 >= 0 && stats.inHttp2 >= 0);
    if (!engaged) assert.equal(counted, 0, `counted in ${state}`);
    else if (state !== 'PENDING') assert.equal(counted, 1, `not counted in ${state}`);
    // What has come has ended in one way, or is under way.
    const statuses = sum(E.STATUS + 100);
    assert.equal(sum(E.REQUESTS), counted + statuses + sum(E.FAILURES) + sum(E.ABANDONED), 'requests of endpoints');
    assert.equal(
      service(S.REQUESTS),
      service(S.IN_FLIGHT) + statuses + this.answers + service(S.UNANSWERED),
      'requests of the service',
    );
    if (engaged) return;
    assert.equal(this.replay.has(x), false, `kept in ${state}`);
    assert.equal(this.replay.hasTrailers(x), false, `trailers in ${state}`);
    assert.equal(this.blocks.used, 0);
    assert.equal(this.slab.free, this.free, `buffers held in ${state}`);
    if (state !== 'TUNNEL') assert.equal(exchanges.kind[x], LEG.NONE, `a leg in ${state}`);
  }

  private legs(): Legs {
    const { calls, knobs, exchanges } = this;
    const note = (call: string): number => calls.push(`legs.${call}`);
    const part = (x: ExchangeSlot): void => {
      exchanges.kind[x] = LEG.NONE;
    };
    const end = (x: ExchangeSlot): void => {
      part(x);
      exchanges.state[x] = exchanges.isStream(x) ? STATE.FREE : STATE.LOCAL_REPLY;
    };
    return {
      canSend: (x: ExchangeSlot, _version: number, source: number) =>
        source === SOURCE.REPLAY ? this.replay.has(x) : source === SOURCE.FRESH || knobs.fits,
      prepare: (x: ExchangeSlot, _version: number, source: number) => {
        if (source === SOURCE.FRESH && knobs.keeps) this.keep(x);
        return 0;
      },
      discardPrepared: () => undefined,
      lease: (x: ExchangeSlot, _endpoint: number, version: number, fresh: boolean) => {
        note(`lease(${nameOf(VERSION, version)}${fresh ? ', fresh' : ''})`);
        return this.lease(x, version);
      },
      dequeue: (x: ExchangeSlot) => {
        note('dequeue()');
        if (knobs.lease === LEASE.PENDING) return LEASE.PENDING;
        part(x);
        return this.lease(x, VERSION.HTTP2);
      },
      send: (_x: ExchangeSlot, source: number) => {
        note(`send(${nameOf(SOURCE, source)})`);
        return knobs.sends;
      },
      detach: (x: ExchangeSlot) => {
        note('detach()');
        const socket = exchanges.kind[x] === LEG.HTTP1 ? ENDPOINT_SOCKET : -1;
        part(x);
        return socket;
      },
      endEndpoint: (x: ExchangeSlot, code: number, reason: number) => {
        note(`endEndpoint(${nameOf(H2_ERROR, code)}, ${CLOSE_REASONS[reason]})`);
        const connection = exchanges.kind[x] === LEG.HTTP2 ? ({} as Connection) : null;
        part(x);
        return connection;
      },
      reuse: (connection: Connection | null) => {
        if (connection !== null) note('reuse()');
      },
      dialling: () => knobs.dialling,
      unsent: () => knobs.unsent,
      sending: () => false,
      responseBegun: () => false,
      uploaded: () => false,
      endEarly: () => false,
      closeIdle: () => note('closeIdle()'),
      endpointStalls: () => knobs.endpointStalls,
      clientEnded: () => knobs.clientEnded,
      next: (x: ExchangeSlot) => {
        note('next()');
        exchanges.state[x] = STATE.FREE;
      },
      abort: (x: ExchangeSlot, code: number, reason: number) => {
        note(`abort(${nameOf(H2_ERROR, code)}, ${CLOSE_REASONS[reason]})`);
        end(x);
      },
      close: (x: ExchangeSlot, reason: number) => {
        note(`close(${CLOSE_REASONS[reason]})`);
        end(x);
      },
      afterLocalReply: (x: ExchangeSlot, reason: number) => {
        note(`afterLocalReply(${CLOSE_REASONS[reason]})`);
        exchanges.state[x] = STATE.LOCAL_REPLY;
      },
    } as unknown as Legs;
  }

  private lease(x: ExchangeSlot, version: number): number {
    const { knobs, exchanges } = this;
    if (knobs.lease < 0) return knobs.lease;
    exchanges.id[x] = ENDPOINT_SOCKET;
    if (version === VERSION.HTTP1) exchanges.kind[x] = LEG.HTTP1;
    else if (knobs.lease === LEASE.OK) exchanges.kind[x] = LEG.HTTP2;
    else {
      // Only what is kept can wait.
      if (!this.replay.has(x)) return LEASE.MEMORY;
      exchanges.kind[x] = LEG.PENDING;
      return LEASE.PENDING;
    }
    return LEASE.OK;
  }

  private keep(x: ExchangeSlot): void {
    const { slab } = this;
    const buffer = slab.take();
    this.replay.keepWritten(x, buffer, slab.dataStart(buffer), 100, true);
    slab.release(buffer);
  }

  private localReplies(): LocalReplies {
    return {
      send: (_x: ExchangeSlot, status: number, why: number, _detail: unknown, code: number) => {
        this.calls.push(`localReplies.send(${status}, ${RESPONSE_REASONS[why]}, ${nameOf(H2_ERROR, code)})`);
        if (this.exchanges.inFlight[this.x] === 1) this.answers++;
        return status;
      },
    } as unknown as LocalReplies;
  }

  private tunnels(): Tunnels {
    const { calls, exchanges, knobs } = this;
    const end = (x: ExchangeSlot): void => {
      exchanges.kind[x] = LEG.NONE;
      exchanges.state[x] = STATE.LOCAL_REPLY;
    };
    return {
      open: (x: ExchangeSlot) => {
        calls.push('tunnels.open()');
        exchanges.state[x] = STATE.TUNNEL;
        this.replay.release(x);
      },
      fromEndpoint: (_x: ExchangeSlot, _at: number, length: number, last: boolean) =>
        calls.push(`tunnels.fromEndpoint(${length}, ${last})`),
      flushed: (x: ExchangeSlot) => {
        calls.push('tunnels.flushed()');
        if (knobs.tunnelEnded) end(x);
      },
      broken: (x: ExchangeSlot, code: number, reason: number) => {
        calls.push(`tunnels.broken(${nameOf(H2_ERROR, code)}, ${CLOSE_REASONS[reason]})`);
        end(x);
      },
      clientGone: (x: ExchangeSlot, reason: number) => {
        calls.push(`tunnels.clientGone(${CLOSE_REASONS[reason]})`);
        end(x);
      },
      expired: (x: ExchangeSlot) => {
        calls.push('tunnels.expired()');
        end(x);
      },
    } as unknown as Tunnels;
  }
}

/** How legs report each event. */
const REPORTS: Readonly<Record<Event, (lifecycle: Lifecycle, x: ExchangeSlot) => void>> = {
  REQUEST: (lifecycle, x) => lifecycle.request(x, METER, 0),
  READY: (lifecycle, x) => lifecycle.ready(x),
  CONNECT_FAILED: (lifecycle, x) => lifecycle.connectFailed(x, REPLY_REASON.CONNECT_FAILED),
  WRONG_VERSION: (lifecycle, x) => lifecycle.wrongVersion(x),
  REFUSED: (lifecycle, x) => lifecycle.refused(x, H2_ERROR.REFUSED_STREAM),
  CONNECTION_LOST: (lifecycle, x) => lifecycle.connectionLost(x, CLOSE.RESET, true, HEALTH_SIGNAL.RESET),
  FAILED: (lifecycle, x) =>
    lifecycle.failed(x, REPLY_REASON.UPSTREAM_PROTOCOL, H2_ERROR.PROTOCOL_ERROR, HEALTH_SIGNAL.NONE),
  RESPONDED: (lifecycle, x) => lifecycle.responded(x, 200),
  UPGRADED: (lifecycle, x) => lifecycle.upgraded(x, false),
  ENDED: (lifecycle, x) => lifecycle.ended(x),
  FLUSHED: (lifecycle, x) => lifecycle.flushed(x),
  CLIENT_GONE: (lifecycle, x) => lifecycle.clientGone(x, CLOSE.RESET),
  REPLY_LOCALLY: (lifecycle, x) => lifecycle.outOfMemory(x),
};

/** The exchange of a client that speaks HTTP/1, and of one's stream. */
export const OF_SOCKET = 1 as ExchangeSlot;
export const OF_STREAM = (SOCKETS + 2) as ExchangeSlot;
