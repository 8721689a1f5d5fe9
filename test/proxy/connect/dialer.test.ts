import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Dials } from '../../../src/balance/dials.js';
import { HEALTH_SIGNAL } from '../../../src/balance/health-signals.js';
import { ERRNO } from '../../../src/io/abi.js';
import { CLOSE_REASONS, E, LIMITS } from '../../../src/metrics/layout.js';
import { CLOSE, Connections, SOCKET_KIND } from '../../../src/proxy/connect/connections.js';
import { DIAL, Dialer, PURPOSE } from '../../../src/proxy/connect/dialer.js';
import type { Context } from '../../../src/proxy/context.js';
import { LEASE } from '../../../src/proxy/exchange/legs.js';
import type { SocketSlot } from '../../../src/proxy/slots.js';
import { recording, taken } from '../recording.js';

const SOCKETS = 4;
const SERVICE = 2;
const ENDPOINT = 3;
const TIMEOUT_MS = 1000;
const FD = 70;

/** A dialer between stand-ins for the kernel, the wheel and the balancer; connections are real. */
class World {
  readonly calls: string[] = [];
  readonly values = new Float64Array(304);
  readonly limits: string[] = [];
  readonly kind = new Uint8Array(SOCKETS);
  readonly reactor = { now: 100, ms: 100, transport: null };
  readonly opaque = { maxConnections: 0 };
  readonly services = {
    maxConnections: new Int32Array(4).fill(2),
    connectTimeoutMs: new Float64Array(4).fill(TIMEOUT_MS),
    hedgeDelayMs: new Float64Array(4),
    keepAliveMs: new Int32Array(4),
    userTimeoutMs: new Int32Array(4),
  };
  readonly endpoints = {
    service: new Int32Array(4).fill(SERVICE),
    family: new Uint8Array(4).fill(4),
    addressAt: new Int32Array(4),
    addressLength: new Int32Array(4),
    proxyPort: new Int32Array(4),
    series: new Int32Array(4),
    base: new Int32Array(4),
  };
  /** What the next socket() returns, and connections that the endpoint has. */
  fd = FD;
  open = 0;
  room = SOCKETS;
  mayDial = true;
  /** The endpoint for a second dial, or -1. */
  next = -1;
  /** Whether the queue of the socket was there when its caller was told. */
  closedWhenTold = false;
  readonly connections: Connections;
  readonly dialer: Dialer;

  constructor() {
    const { calls, reactor, values, services, endpoints } = this;
    const flags = new Int32Array(SOCKETS);
    const nothing = (): void => undefined;
    const context = {
      reactor,
      values,
      services,
      endpoints,
      board: new Int32Array(1),
      workerId: 0,
      observed: false,
      limits: { opaque: this.opaque },
      limited: (limit: number) => this.limits.push(LIMITS[limit]),
      isMeshEndpoint: () => false,
      metrics: { record: (_histogram: number, value: number) => calls.push(`record(${value})`) },
      native: recording(calls, 'native', { socket: () => this.fd, close: nothing }),
      wheel: recording(calls, 'wheel', { pull: nothing, schedule: nothing, cancel: nothing }),
      splicer: { stop: nothing },
      inbox: { clear: nothing },
      destinations: { isOriginal: () => false, release: nothing },
      balancer: {
        ...recording<object>(calls, 'balancer', {
          opened: () => this.open++,
          closed: () => this.open--,
          connected: nothing,
          connectFailed: nothing,
          connectAbandoned: nothing,
          pickConnection: () => this.next,
        }),
        connections: () => this.open,
        dials: new Dials(4),
        mayDial: () => this.mayDial,
      },
      sockets: {
        capacity: SOCKETS,
        kind: this.kind,
        flags,
        layer: new Uint8Array(SOCKETS),
        saysGoodbye: () => false,
        adopt: (_fd: number, kind: number) => {
          if (this.room === 0) return -1;
          this.room--;
          this.kind[this.room] = kind;
          return this.room;
        },
        setDefault: (column: Int16Array | Int32Array, empty: number) => column.fill(empty),
        ...recording<object>(calls, 'sockets', {
          connect: nothing,
          resume: nothing,
          pause: nothing,
          close: nothing,
          closeWhenSent: nothing,
        }),
      },
    } as unknown as Context & { connections: Connections };
    this.connections = new Connections(context);
    context.connections = this.connections;
    this.dialer = new Dialer(context);
    for (const [name, purpose] of Object.entries(PURPOSE))
      this.dialer.serve(purpose, {
        ready: (socket) => calls.push(`${name}.ready(${socket})`),
        failed: (socket, reason) => {
          this.closedWhenTold ||= this.connections.closed(socket);
          calls.push(`${name}.failed(${socket}, ${CLOSE_REASONS[reason]})`);
        },
      });
  }

  /** Dials; the calls that this makes are not noted. */
  dial(purpose: number): SocketSlot {
    const socket = this.dialer.dial(ENDPOINT, purpose);
    assert.ok(socket >= 0, `dial: ${socket}`);
    taken(this.calls);
    return socket as SocketSlot;
  }

  /** Calls to callers of the dialer. */
  told(): string[] {
    return this.calls.filter((call) => /^[A-Z0-9]+\./.test(call));
  }

  learned(): string[] {
    return this.calls.filter((call) => call.startsWith('balancer.connect'));
  }
}

describe('a dial', () => {
  it('begins with a socket, its timeout and the balancer', () => {
    const world = new World();
    const socket = world.dialer.dial(ENDPOINT, PURPOSE.HTTP1);
    assert.deepEqual(world.calls, [
      'native.socket(4, 0, 0)',
      `balancer.opened(${ENDPOINT})`,
      `sockets.connect(${socket}, 0, 0)`,
      `wheel.pull(${socket}, ${100 + TIMEOUT_MS})`,
    ]);
    assert.equal(world.kind[socket], SOCKET_KIND.DIALLING);
    assert.equal(world.connections.dialPending[socket], 1);
    assert.equal(world.values[E.OPEN], 1);
    world.endpoints.family[ENDPOINT] = 6;
    world.dialer.dial(ENDPOINT, PURPOSE.HTTP1);
    assert.ok(world.calls.includes('native.socket(6, 0, 0)'));
  });

  it('that succeeds is told of once, to who asked, and to the balancer', () => {
    const world = new World();
    const socket = world.dial(PURPOSE.OPAQUE);
    world.reactor.now = world.reactor.ms = 107;
    world.dialer.connected(socket, 0);
    assert.deepEqual(world.calls, [
      'record(7000)',
      `wheel.cancel(${socket})`,
      `balancer.connected(${ENDPOINT}, 107, 7000, true)`,
      `OPAQUE.ready(${socket})`,
    ]);
    assert.equal(world.connections.dialPending[socket], 0);
    taken(world.calls);
    world.connections.close(socket, CLOSE.OK);
    assert.deepEqual(world.learned(), []);
    assert.deepEqual(world.told(), []);
    assert.equal(world.open, 0);
  });

  it('that fails is told of once, while what is queued is still there, and counted', () => {
    for (const [result, reason, signal] of [
      [-ERRNO.ECONNREFUSED, 'refused', HEALTH_SIGNAL.CONNECT_REFUSED],
      [-ERRNO.EHOSTUNREACH, 'refused', HEALTH_SIGNAL.CONNECT_REFUSED],
      [-ERRNO.ETIMEDOUT, 'timeout', HEALTH_SIGNAL.CONNECT_TIMEOUT],
    ] as const) {
      const world = new World();
      const socket = world.dial(PURPOSE.HTTP1);
      world.dialer.connected(socket, result);
      assert.deepEqual(world.told(), [`HTTP1.failed(${socket}, ${reason})`]);
      assert.equal(world.closedWhenTold, false);
      assert.deepEqual(world.learned(), [`balancer.connectFailed(${ENDPOINT}, 100, ${signal})`]);
      assert.equal(world.connections.closed(socket), true);
      assert.equal(world.values[E.CONNECT_FAILURES], 1);
      assert.equal(world.values[E.CLOSE + CLOSE_REASONS.indexOf(reason)], 1);
      assert.equal(world.open, 0);
      assert.deepEqual(world.limits, []);
    }
  });

  it('that fails for want of something on this side says nothing about its endpoint', () => {
    for (const errno of [ERRNO.EADDRNOTAVAIL, ERRNO.EAGAIN, ERRNO.ENOBUFS, ERRNO.ENOMEM, ERRNO.EMFILE, ERRNO.ENFILE]) {
      const world = new World();
      const socket = world.dial(PURPOSE.HTTP1);
      world.dialer.connected(socket, -errno);
      assert.deepEqual(world.told(), [`HTTP1.failed(${socket}, error)`]);
      assert.deepEqual(world.learned(), [`balancer.connectAbandoned(${ENDPOINT})`]);
      assert.equal(world.values[E.CONNECT_FAILURES], 1);
      assert.equal(world.open, 0);
    }
  });

  it('that takes too long fails, and the limit is counted; before its time it goes on', () => {
    const world = new World();
    const socket = world.dial(PURPOSE.HTTP1);
    world.reactor.now = 99 + TIMEOUT_MS;
    world.dialer.timer(socket);
    assert.deepEqual(taken(world.calls), [`wheel.schedule(${socket}, ${100 + TIMEOUT_MS})`]);
    world.reactor.now = world.reactor.ms = 100 + TIMEOUT_MS;
    world.dialer.timer(socket);
    assert.deepEqual(world.told(), [`HTTP1.failed(${socket}, timeout)`]);
    assert.deepEqual(world.learned(), [
      `balancer.connectFailed(${ENDPOINT}, ${100 + TIMEOUT_MS}, ${HEALTH_SIGNAL.CONNECT_TIMEOUT})`,
    ]);
    assert.deepEqual(world.limits, ['connect-time']);
  });

  it('may take as long as it likes where the timeout is 0', () => {
    const world = new World();
    world.services.connectTimeoutMs.fill(0);
    const socket = world.dialer.dial(ENDPOINT, PURPOSE.HTTP1) as SocketSlot;
    world.reactor.now = 1e9;
    world.dialer.timer(socket);
    assert.deepEqual(
      world.calls.filter((call) => call.startsWith('wheel.')),
      [],
    );
    assert.deepEqual(world.told(), []);
  });

  it('is not waited for once its endpoint is gone', () => {
    const world = new World();
    const socket = world.dial(PURPOSE.HTTP1);
    world.endpoints.service[ENDPOINT] = -1;
    world.reactor.now = 101;
    world.dialer.timer(socket);
    assert.deepEqual(world.told(), [`HTTP1.failed(${socket}, timeout)`]);
  });

  it('that nobody wants any more says nothing about its endpoint, and nobody else is told', () => {
    const world = new World();
    const socket = world.dial(PURPOSE.HTTP1);
    world.connections.close(socket, CLOSE.OK);
    world.connections.close(socket, CLOSE.OK);
    assert.deepEqual(world.calls, [
      `balancer.connectAbandoned(${ENDPOINT})`,
      `balancer.closed(${ENDPOINT})`,
      `sockets.close(${socket})`,
    ]);
    assert.equal(world.values[E.CONNECT_FAILURES], 0);
    assert.equal(world.values[E.OPEN], 0);
  });

  it('that has become something else is told of to whom it is for then', () => {
    const world = new World();
    const ready = world.dial(PURPOSE.RACE);
    world.dialer.reassign(ready, PURPOSE.HTTP1);
    world.dialer.connected(ready, 0);
    assert.deepEqual(world.told(), [`HTTP1.ready(${ready})`]);
    taken(world.calls);
    const failed = world.dial(PURPOSE.RACE);
    world.dialer.reassign(failed, PURPOSE.OPAQUE);
    world.dialer.connected(failed, -ERRNO.ECONNREFUSED);
    assert.deepEqual(world.told(), [`OPAQUE.failed(${failed}, refused)`]);
  });
});

describe('a dial that gives no connection', () => {
  it('is LIMIT, and counted, where the endpoint has as many as it may', () => {
    const world = new World();
    world.dial(PURPOSE.HTTP1);
    world.dial(PURPOSE.HTTP2);
    assert.equal(world.dialer.dial(ENDPOINT, PURPOSE.HTTP1), DIAL.LIMIT);
    assert.deepEqual(world.calls, []);
    assert.deepEqual(world.limits, ['pool-connections']);
    assert.equal(world.open, 2);
  });

  it('is PACED, and counted, where the endpoint is out and was dialled just before', () => {
    const world = new World();
    world.mayDial = false;
    assert.equal(world.dialer.dial(ENDPOINT, PURPOSE.HTTP1), DIAL.PACED);
    assert.deepEqual(world.calls, []);
    assert.equal(world.values[E.DIALS_PACED], 1);
    assert.equal(world.open, 0);
  });

  it('is bounded apart for opaque connections, and for those of HTTP', () => {
    const world = new World();
    for (let i = 0; i < 3; i++) world.dial(PURPOSE.OPAQUE);
    world.dial(PURPOSE.HTTP1);
    const bounded = new World();
    bounded.opaque.maxConnections = 2;
    const first = bounded.dial(PURPOSE.OPAQUE);
    const raced = bounded.dial(PURPOSE.RACE);
    assert.equal(bounded.dialer.dial(ENDPOINT, PURPOSE.OPAQUE), DIAL.LIMIT);
    assert.deepEqual(bounded.limits, ['opaque-connections']);
    // What serves HTTP after all is one of the pool.
    bounded.dialer.reassign(raced, PURPOSE.HTTP1);
    bounded.connections.close(first, 0);
    bounded.dial(PURPOSE.OPAQUE);
    assert.equal(bounded.connections.opaqueTo(ENDPOINT), 1);
  });

  it('is FAILED without a socket, FILES and counted where no file descriptor is left', () => {
    for (const [errno, code, limits] of [
      [ERRNO.EMFILE, DIAL.FILES, ['file-descriptors']],
      [ERRNO.ENFILE, DIAL.FILES, ['file-descriptors']],
      [ERRNO.EBADF, DIAL.FAILED, []],
    ] as const) {
      const world = new World();
      world.fd = -errno;
      assert.equal(world.dialer.dial(ENDPOINT, PURPOSE.HTTP1), code);
      assert.deepEqual(world.limits, limits);
      assert.equal(world.open, 0);
    }
  });

  it('is FAILED without a slot, and leaves no file descriptor open', () => {
    const world = new World();
    world.room = 0;
    assert.equal(world.dialer.dial(ENDPOINT, PURPOSE.HTTP1), DIAL.FAILED);
    assert.deepEqual(world.calls, ['native.socket(4, 0, 0)', `native.close(${FD})`]);
  });

  it('is FAILED for an endpoint that is none', () => {
    const world = new World();
    world.endpoints.service[ENDPOINT] = -1;
    assert.equal(world.dialer.dial(ENDPOINT, PURPOSE.HTTP1), DIAL.FAILED);
    assert.deepEqual(world.calls, []);
  });
});

describe('a slow dial', () => {
  it('asks for a second one until there is one: what refuses it may pass', () => {
    const world = new World();
    world.services.connectTimeoutMs.fill(0);
    world.services.hedgeDelayMs.fill(50);
    const { dialer, reactor, calls } = world;
    dialer.serve(PURPOSE.OPAQUE, {
      ready: () => undefined,
      failed: () => undefined,
      mayHedge: () => true,
      overtaken: () => true,
    });
    const first = dialer.dial(ENDPOINT, PURPOSE.OPAQUE) as SocketSlot;
    assert.equal(calls.at(-1), `wheel.pull(${first}, 150)`);
    const look = (now: number): string[] => {
      taken(calls);
      reactor.now = reactor.ms = now;
      dialer.timer(first);
      return calls.filter((call) => /^(wheel|native\.socket|balancer\.connectAbandoned)/.test(call));
    };
    // No other endpoint.
    assert.deepEqual(look(150), [`wheel.schedule(${first}, 200)`]);
    // There is one, but it was dialled just before.
    world.next = 1;
    world.mayDial = false;
    assert.deepEqual(look(200), ['balancer.connectAbandoned(1)', `wheel.schedule(${first}, 250)`]);
    // The loop was held up: what it missed is not made up for.
    assert.deepEqual(look(420), ['balancer.connectAbandoned(1)', `wheel.schedule(${first}, 450)`]);
    world.mayDial = true;
    assert.deepEqual(look(450)[0], 'native.socket(4, 0, 0)');
    assert.deepEqual(look(1e6), []);
  });

  it('does not ask for ever', () => {
    const world = new World();
    world.services.connectTimeoutMs.fill(0);
    world.services.hedgeDelayMs.fill(50);
    const { dialer, reactor, calls } = world;
    const patient = { ready: () => undefined, failed: () => undefined, mayHedge: () => true, overtaken: () => true };
    dialer.serve(PURPOSE.OPAQUE, patient);
    const first = dialer.dial(ENDPOINT, PURPOSE.OPAQUE) as SocketSlot;
    let asked = 0;
    for (; asked < 1000 && calls.at(-1) !== 'over'; asked++) {
      taken(calls);
      reactor.now += 50;
      dialer.timer(first);
      if (!calls.some((call) => call.startsWith('wheel.'))) calls.push('over');
    }
    assert.ok(asked > 100 && asked < 1000, `${asked}`);
  });
});

describe('a dial for HTTP/2', () => {
  it('is ready when its SETTINGS have been seen, and not before', () => {
    const world = new World();
    const socket = world.dial(PURPOSE.HTTP2);
    world.dialer.connected(socket, 0);
    assert.deepEqual(world.learned(), []);
    assert.equal(taken(world.calls).at(-1), `sockets.resume(${socket})`);
    world.dialer.complete(socket);
    assert.deepEqual(world.calls, [
      `wheel.cancel(${socket})`,
      `balancer.connected(${ENDPOINT}, 100, 0, false)`,
      `HTTP2.ready(${socket})`,
    ]);
  });

  it('fails once where the endpoint closes or says something else first', () => {
    const lost = new World();
    const one = lost.dial(PURPOSE.HTTP2);
    lost.dialer.connected(one, 0);
    lost.dialer.closeFailed(one, CLOSE.RESET);
    assert.deepEqual(lost.told(), [`HTTP2.failed(${one}, reset)`]);
    assert.ok(lost.calls.includes(`sockets.close(${one})`));
    assert.equal(lost.open, 0);
    const refused = new World();
    const other = refused.dial(PURPOSE.HTTP2);
    refused.dialer.connected(other, 0);
    refused.dialer.refuse(other, CLOSE.PROTOCOL);
    assert.deepEqual(refused.told(), [`HTTP2.failed(${other}, protocol)`]);
    // Our last words still go out.
    assert.ok(refused.calls.includes(`sockets.closeWhenSent(${other})`));
    assert.equal(refused.closedWhenTold, false);
  });

  it('has no longer for its SETTINGS than to connect, and some time where that has no end', () => {
    const world = new World();
    const socket = world.dial(PURPOSE.HTTP2);
    world.dialer.connected(socket, 0);
    world.reactor.now = 100 + TIMEOUT_MS;
    world.dialer.timer(socket);
    assert.deepEqual(world.told(), [`HTTP2.failed(${socket}, timeout)`]);
    assert.deepEqual(world.learned(), [`balancer.connectFailed(${ENDPOINT}, 100, ${HEALTH_SIGNAL.CONNECT_TIMEOUT})`]);
    const unbounded = new World();
    unbounded.services.connectTimeoutMs.fill(0);
    const other = unbounded.dialer.dial(ENDPOINT, PURPOSE.HTTP2) as SocketSlot;
    assert.equal(unbounded.calls.at(-1), `wheel.pull(${other}, 10100)`);
    unbounded.dialer.connected(other, 0);
    unbounded.reactor.now = 10_100;
    unbounded.dialer.timer(other);
    assert.deepEqual(unbounded.told(), [`HTTP2.failed(${other}, timeout)`]);
    assert.deepEqual(unbounded.limits, ['connect-time']);
  });
});

it('what a dial and a lease return are different things', () => {
  const codes = [...Object.values(DIAL), ...Object.values(LEASE)];
  assert.equal(new Set<number>(codes).size, codes.length);
});
