import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { METHOD } from '../../../src/http/methods.js';
import { SOCKET } from '../../../src/io/sockets.js';
import { LIMITS } from '../../../src/metrics/layout.js';
import type { Http2Pool } from '../../../src/proxy/connect/http2-pool.js';
import { VERSION } from '../../../src/proxy/connect/protocols.js';
import type { Context } from '../../../src/proxy/context.js';
import { Deadlines, OVERDUE } from '../../../src/proxy/exchange/deadlines.js';
import { Exchanges, STATE } from '../../../src/proxy/exchange/exchange.js';
import type { Legs } from '../../../src/proxy/exchange/legs.js';
import type { ExchangeSlot } from '../../../src/proxy/slots.js';

const SERVICE = 1;
const SOCKETS = 2;
const OF_SOCKET = 1 as ExchangeSlot;
const OF_STREAM = (SOCKETS + 1) as ExchangeSlot;
const START = 10_000;
const NEVER = Number.POSITIVE_INFINITY;

/** Deadlines over a clock that tests set, and legs that were last active when tests say. */
class World {
  readonly limits: string[] = [];
  /** `[socket, deadline]` of what was armed. */
  readonly armed: (readonly [number, number])[] = [];
  readonly reactor = { now: START };
  readonly http1 = { bodyTimeoutMs: 300 };
  readonly http2 = { bodyTimeoutMs: 200 };
  readonly opaque = { idleTimeoutMs: 0, lifetimeMs: 0, halfCloseTimeoutMs: 0 };
  readonly services = {
    connectTimeoutMs: new Float64Array(4).fill(100),
    responseTimeoutMs: new Float64Array(4).fill(500),
    bodyTimeoutMs: new Float64Array(4).fill(-1),
    streamTimeoutMs: new Float64Array(4),
  };
  readonly flags = new Int32Array(SOCKETS);
  readonly exchanges = new Exchanges(SOCKETS, 2);
  activeClient = START;
  activeEndpoint = START;
  dialling = false;
  poolDials = false;
  halfClosed = false;
  readonly deadlines: Deadlines;

  constructor(
    readonly state: keyof typeof STATE,
    readonly x = OF_SOCKET,
  ) {
    const context = {
      reactor: this.reactor,
      limits: { http1: this.http1, http2: this.http2, opaque: this.opaque },
      services: this.services,
      sockets: { flags: this.flags },
      wheel: { pull: (socket: number, deadline: number) => this.armed.push([socket, deadline]) },
      limited: (limit: number) => this.limits.push(LIMITS[limit]),
    } as unknown as Context;
    const legs = {
      activeClient: () => this.activeClient,
      activeEndpoint: () => this.activeEndpoint,
      dialling: () => this.dialling,
      halfClosed: () => this.halfClosed,
      answeredEarly: () => false,
    } as unknown as Legs;
    const pool = { dialing: () => this.poolDials } as unknown as Http2Pool;
    this.deadlines = new Deadlines(context, this.exchanges, legs, pool);
    const { exchanges } = this;
    exchanges.begin(x, SERVICE, METHOD.GET, false);
    exchanges.state[x] = STATE[state];
    exchanges.version[x] = VERSION.HTTP1;
    exchanges.requestComplete[x] = 1;
    exchanges.started[x] = START;
    exchanges.pendingSince[x] = START;
  }

  /** What `check` says `ms` after the start. */
  after(ms: number): number {
    this.reactor.now = START + ms;
    return this.deadlines.check(this.x);
  }

  /** Overdue as `what` after `ms` and not before, when `next` says; each time under `limit`. */
  expect(what: number, ms: number, limit: string): void {
    assert.equal(this.after(ms - 1), OVERDUE.NO);
    assert.equal(this.deadlines.next, START + ms);
    assert.deepEqual(this.limits, []);
    assert.equal(this.after(ms), what);
    assert.deepEqual(this.limits, [limit]);
  }
}

describe('a request that waits for a place on a connection', () => {
  it('is overdue after the connect timeout', () => {
    new World('PENDING').expect(OVERDUE.PENDING, 100, 'pool-connections');
  });

  it('waits on while a connection is dialled: that has a deadline of its own', () => {
    const world = new World('PENDING');
    world.poolDials = true;
    assert.equal(world.after(5000), OVERDUE.NO);
    assert.equal(world.deadlines.next, START + 5100);
    world.poolDials = false;
    assert.equal(world.after(5000), OVERDUE.PENDING);
  });

  it('waits for as long as it takes where there is no timeout', () => {
    const world = new World('PENDING');
    world.services.connectTimeoutMs.fill(0);
    assert.equal(world.after(1e9), OVERDUE.NO);
    assert.equal(world.deadlines.next, START + 1e9 + 60_000);
    assert.deepEqual(world.limits, []);
  });
});

describe('a response that does not come', () => {
  it('is overdue after the response timeout, from the last that went to its endpoint on', () => {
    new World('SENT').expect(OVERDUE.RESPONSE, 500, 'response-time');
    const world = new World('SENT');
    world.activeEndpoint = START + 70;
    world.activeClient = START + 400;
    world.expect(OVERDUE.RESPONSE, 570, 'response-time');
  });

  it('is not waited for while its connection is dialled', () => {
    const world = new World('SENT');
    world.dialling = true;
    assert.equal(world.after(10_000), OVERDUE.NO);
    assert.equal(world.deadlines.next, START + 10_500);
  });

  it('is waited for without end where there is no timeout', () => {
    for (const x of [OF_SOCKET, OF_STREAM]) {
      const world = new World('SENT', x);
      world.services.responseTimeoutMs.fill(0);
      assert.equal(world.after(1e9), OVERDUE.NO);
      assert.equal(world.deadlines.next, START + 1e9 + 60_000);
    }
  });

  it('is waited for no longer than for a body where the client may have left', () => {
    const world = new World('SENT');
    world.services.responseTimeoutMs.fill(0);
    world.flags[OF_SOCKET] = SOCKET.EOF;
    world.expect(OVERDUE.RESPONSE, 300, 'response-time');
  });
});

describe('a body on which neither side moves', () => {
  it('is overdue, of a request and of a response, however far it has come', () => {
    const upload = new World('SENT');
    upload.exchanges.requestComplete[OF_SOCKET] = 0;
    upload.expect(OVERDUE.BODY, 300, 'body-time');
    for (const state of ['RESPONDING', 'FLUSHING', 'LOCAL_REPLY'] as const)
      new World(state).expect(OVERDUE.BODY, 300, 'body-time');
  });

  it('is looked at from the last move of either side on', () => {
    for (const side of ['activeClient', 'activeEndpoint'] as const) {
      const world = new World('RESPONDING');
      world[side] = START + 50;
      world.expect(OVERDUE.BODY, 350, 'body-time');
    }
  });

  it('has the lesser of the bounds of its two sides; 0 is none', () => {
    const due = (x: ExchangeSlot, version: number, one: number, two: number): number => {
      const world = new World('RESPONDING', x);
      world.exchanges.version[x] = version;
      world.http1.bodyTimeoutMs = one;
      world.http2.bodyTimeoutMs = two;
      assert.equal(world.after(0), OVERDUE.NO);
      return world.deadlines.next - START;
    };
    const { HTTP1, HTTP2 } = VERSION;
    assert.equal(due(OF_SOCKET, HTTP1, 300, 200), 300);
    assert.equal(due(OF_STREAM, HTTP2, 300, 200), 200);
    assert.equal(due(OF_SOCKET, HTTP2, 300, 200), 200);
    assert.equal(due(OF_STREAM, HTTP1, 300, 200), 200);
    assert.equal(due(OF_STREAM, HTTP1, 100, 200), 100);
    assert.equal(due(OF_SOCKET, HTTP2, 0, 200), 200);
    assert.equal(due(OF_STREAM, HTTP1, 300, 0), 300);
    assert.equal(due(OF_SOCKET, HTTP1, 0, 200), NEVER);
    assert.equal(due(OF_SOCKET, HTTP2, 0, 0), NEVER);
  });

  it('may be silent for as long as it likes in gRPC, and as a stream of events', () => {
    for (const column of ['grpc', 'eventStream'] as const) {
      const world = new World('RESPONDING', OF_STREAM);
      world.exchanges[column][OF_STREAM] = 1;
      assert.equal(world.after(1e9), OVERDUE.NO);
      assert.equal(world.deadlines.next, NEVER);
    }
  });

  it('has a bound of its service where that has one; streams have theirs', () => {
    for (const x of [OF_SOCKET, OF_STREAM]) {
      const world = new World('RESPONDING', x);
      world.services.bodyTimeoutMs.fill(700);
      world.expect(OVERDUE.BODY, 700, 'body-time');
      const patient = new World('RESPONDING', x);
      patient.services.bodyTimeoutMs.fill(0);
      assert.equal(patient.after(1e9), OVERDUE.NO);
      assert.equal(patient.deadlines.next, NEVER);
      const stream = new World('RESPONDING', x);
      stream.services.streamTimeoutMs.fill(900);
      stream.exchanges.eventStream[x] = 1;
      stream.expect(OVERDUE.BODY, 900, 'body-time');
    }
  });
});

describe('a tunnel', () => {
  it('has the limits of an opaque connection: silence, age, silence when half closed', () => {
    const idle = new World('TUNNEL');
    idle.opaque.idleTimeoutMs = 400;
    idle.activeClient = START + 20;
    idle.activeEndpoint = START + 30;
    idle.expect(OVERDUE.TUNNEL, 430, 'opaque-idle');

    const old = new World('TUNNEL');
    old.opaque.idleTimeoutMs = 400;
    old.opaque.lifetimeMs = 700;
    old.activeEndpoint = START + 699;
    old.expect(OVERDUE.TUNNEL, 700, 'opaque-lifetime');

    const half = new World('TUNNEL');
    half.opaque.idleTimeoutMs = 400;
    half.opaque.halfCloseTimeoutMs = 60;
    assert.equal(half.after(60), OVERDUE.NO);
    half.halfClosed = true;
    half.expect(OVERDUE.TUNNEL, 60, 'half-close');
  });

  it('has none of them where they are 0, and those of messages never', () => {
    const world = new World('TUNNEL');
    world.halfClosed = true;
    assert.equal(world.after(1e9), OVERDUE.NO);
    assert.equal(world.deadlines.next, NEVER);
  });
});

describe('between requests', () => {
  it('no exchange is overdue', () => {
    const world = new World('FREE');
    assert.equal(world.after(1e9), OVERDUE.NO);
    assert.equal(world.deadlines.next, NEVER);
  });
});

describe('the timer of a client that speaks HTTP/1', () => {
  it('is pulled to the deadline of what its exchange is at', () => {
    for (const [state, whole, ms] of [
      ['PENDING', 1, 100],
      ['SENT', 1, 500],
      ['SENT', 0, 300],
      ['RESPONDING', 1, 300],
    ] as const) {
      const world = new World(state);
      world.exchanges.requestComplete[OF_SOCKET] = whole;
      world.deadlines.arm(OF_SOCKET);
      assert.deepEqual(world.armed, [[OF_SOCKET, START + ms]]);
    }
  });

  it('is left alone where there is no deadline, and where the client is a stream', () => {
    const world = new World('SENT');
    world.services.responseTimeoutMs.fill(0);
    world.deadlines.arm(OF_SOCKET);
    assert.deepEqual(world.armed, []);
    const stream = new World('SENT', OF_STREAM);
    stream.deadlines.arm(OF_STREAM);
    assert.deepEqual(stream.armed, []);
  });
});
