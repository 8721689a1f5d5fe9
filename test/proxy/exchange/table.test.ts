import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { HEALTH_SIGNAL } from '../../../src/balance/health-signals.js';
import type { FieldList } from '../../../src/hpack/field-list.js';
import { H2_ERROR } from '../../../src/http2/frame.js';
import { SERVICE_PROTOCOL, VERSION } from '../../../src/proxy/connect/protocols.js';
import { OVERDUE } from '../../../src/proxy/exchange/deadlines.js';
import { MAX_ATTEMPTS, STATE } from '../../../src/proxy/exchange/exchange.js';
import { LEASE } from '../../../src/proxy/exchange/legs.js';
import { REPLY_REASON } from '../../../src/proxy/exchange/reply-reasons.js';
import { ACTION, ACTIONS, EVENT, EVENT_COUNT, EVENTS, STATES, TABLE } from '../../../src/proxy/exchange/table.js';
import { type Event, type Knobs, OF_SOCKET, OF_STREAM, type State, World } from './lifecycle-world.js';

const actionOf = (state: State, event: Event): number => TABLE[STATE[state] * EVENT_COUNT + EVENT[event]];
const isPossible = (state: State, event: Event): boolean => actionOf(state, event) !== ACTION.IMPOSSIBLE;

interface Outcome {
  /** What is asked of legs, answers and tunnels, in this order. */
  readonly calls: readonly string[];
  readonly then: State;
}

const nothing = (then: State): Outcome => ({ calls: [], then });
const does = (then: State, ...calls: string[]): Outcome => ({ calls, then });
/** The request is sent to an endpoint that speaks HTTP/1. */
const sent = (source: string, before: string[] = [], fresh = false, after: string[] = []): Outcome =>
  does('SENT', ...before, `legs.lease(HTTP1${fresh ? ', fresh' : ''})`, `legs.send(${source})`, ...after);
/** The client has left. */
const abandoned = does('LOCAL_REPLY', 'legs.endEndpoint(CANCEL, ok)', 'legs.close(reset)');
/** There was no memory: the proxy answers. */
const answered = does(
  'LOCAL_REPLY',
  'legs.endEndpoint(CANCEL, ok)',
  'localReplies.send(503, memory, ENHANCE_YOUR_CALM)',
  'legs.afterLocalReply(limit)',
);
const blamed = (leave: string, answer: string, close: string): Outcome =>
  does(
    'LOCAL_REPLY',
    `legs.endEndpoint(CANCEL, ${leave})`,
    `localReplies.send(${answer})`,
    `legs.afterLocalReply(${close})`,
  );
const aborted = (leave: string, code: string): Outcome =>
  does('LOCAL_REPLY', `legs.endEndpoint(CANCEL, ${leave})`, `legs.abort(${code}, error)`);

/** What each pair leads to for a client of HTTP/1, where there is no budget for retries. What is not named can't happen. */
const EXPECTED: Readonly<Record<State, Partial<Record<Event, Outcome>>>> = {
  FREE: { REQUEST: sent('FRESH'), CLIENT_GONE: abandoned, REPLY_LOCALLY: answered, FLUSHED: nothing('FREE') },
  PENDING: {
    READY: does('SENT', 'legs.dequeue()', 'legs.send(REPLAY)'),
    CONNECT_FAILED: sent('REPLAY', ['legs.detach()']),
    WRONG_VERSION: sent('REPLAY', ['legs.detach()'], true),
    CLIENT_GONE: abandoned,
    REPLY_LOCALLY: answered,
  },
  SENT: {
    CONNECT_FAILED: sent('QUEUED', ['legs.detach()']),
    WRONG_VERSION: sent('REPLAY', ['legs.detach()'], true, ['connections.close(protocol)', 'legs.closeIdle()']),
    REFUSED: blamed('error', '502, stream-refused, REFUSED_STREAM', 'error'),
    CONNECTION_LOST: blamed('reset', '502, upstream-reset, INTERNAL_ERROR', 'error'),
    FAILED: blamed('protocol', '502, upstream-protocol, PROTOCOL_ERROR', 'protocol'),
    RESPONDED: nothing('SENT'),
    CLIENT_GONE: abandoned,
    REPLY_LOCALLY: answered,
  },
  RESPONDING: {
    REFUSED: aborted('error', 'REFUSED_STREAM'),
    CONNECTION_LOST: aborted('reset', 'INTERNAL_ERROR'),
    FAILED: aborted('protocol', 'PROTOCOL_ERROR'),
    UPGRADED: does('TUNNEL', 'tunnels.open()'),
    ENDED: nothing('FLUSHING'),
    FLUSHED: nothing('RESPONDING'),
    CLIENT_GONE: abandoned,
    REPLY_LOCALLY: aborted('limit', 'ENHANCE_YOUR_CALM'),
  },
  FLUSHING: {
    REFUSED: nothing('FLUSHING'),
    CONNECTION_LOST: nothing('FLUSHING'),
    FAILED: nothing('FLUSHING'),
    FLUSHED: does('FREE', 'legs.endEndpoint(NO_ERROR, ok)', 'legs.next()'),
    CLIENT_GONE: abandoned,
    REPLY_LOCALLY: aborted('limit', 'ENHANCE_YOUR_CALM'),
  },
  TUNNEL: {
    REFUSED: does('LOCAL_REPLY', 'tunnels.broken(REFUSED_STREAM, error)'),
    CONNECTION_LOST: does('LOCAL_REPLY', 'tunnels.broken(INTERNAL_ERROR, reset)'),
    FAILED: does('LOCAL_REPLY', 'tunnels.broken(PROTOCOL_ERROR, protocol)'),
    FLUSHED: does('TUNNEL', 'tunnels.flushed()'),
    CLIENT_GONE: does('LOCAL_REPLY', 'tunnels.clientGone(reset)'),
    REPLY_LOCALLY: does('LOCAL_REPLY', 'tunnels.broken(ENHANCE_YOUR_CALM, limit)'),
  },
  LOCAL_REPLY: {
    FLUSHED: does('FREE', 'legs.next()'),
    CLIENT_GONE: abandoned,
    REPLY_LOCALLY: nothing('LOCAL_REPLY'),
    ENDED: nothing('LOCAL_REPLY'),
  },
};

/** An exchange of a client of HTTP/1 that was brought to `state`. */
function at(state: State, knobs: Partial<Knobs> = {}, x = OF_SOCKET): World {
  const world = new World(x);
  world.reach(state);
  Object.assign(world.knobs, knobs);
  return world;
}

describe('the table of states and events', () => {
  for (const state of STATES) {
    for (const event of EVENTS) {
      const expected = EXPECTED[state][event];
      if (expected === undefined) {
        it(`${state}, ${event}: can't happen`, () => {
          assert.equal(isPossible(state, event), false);
          const world = at(state);
          // The lifecycle has no other way to it than its report.
          assert.throws(
            () => world.report(event),
            (error: Error) => error.message.includes(state) && error.message.includes(event),
          );
        });
        continue;
      }
      it(`${state}, ${event}: ${ACTIONS[actionOf(state, event)]}, then ${expected.then}`, () => {
        assert.equal(isPossible(state, event), true);
        const world = at(state);
        world.report(event);
        assert.deepEqual(world.calls, expected.calls);
        assert.equal(world.state, expected.then);
        world.check();
      });
    }
  }

  it('has an action for each pair, and a pair for each action', () => {
    assert.equal(TABLE.length, STATES.length * EVENT_COUNT);
    assert.deepEqual(
      ACTIONS.filter((_, action) => !TABLE.includes(action)),
      [],
    );
  });

  it('is told in the essay above it, which names each event', () => {
    const file = new URL('../../../../src/proxy/exchange/table.ts', import.meta.url);
    const essay = readFileSync(file, 'utf8').split('\nimport ')[0];
    assert.deepEqual(
      EVENTS.filter((event) => !new RegExp(`\\b${event}\\b`).test(essay)),
      [],
    );
  });
});

describe('a request that is sent again', () => {
  it('goes to another endpoint when one has refused it, if that is paid for', () => {
    const world = at('SENT', { retries: true });
    const before = world.exchanges.endpoint[world.x];
    world.report('REFUSED');
    assert.deepEqual(world.calls, ['legs.detach()', 'legs.lease(HTTP1)', 'legs.send(REPLAY)', 'connections.close(ok)']);
    assert.equal(world.state, 'SENT');
    assert.notEqual(world.exchanges.endpoint[world.x], before);
    world.check();
  });

  it('goes out on a new connection when its own was lost', () => {
    for (const unsent of [false, true]) {
      const world = at('SENT', { retries: true, unsent });
      world.report('CONNECTION_LOST');
      assert.deepEqual(world.calls, [
        'legs.detach()',
        'legs.lease(HTTP1, fresh)',
        `legs.send(${unsent ? 'QUEUED' : 'REPLAY'})`,
        'connections.close(reset)',
      ]);
      world.check();
    }
  });

  it('goes in the other version to an endpoint that closes without a word and is known to speak it', () => {
    const world = at('SENT', { wrongVersion: true, version: VERSION.HTTP1 });
    const before = world.exchanges.endpoint[world.x];
    world.knobs.version = VERSION.HTTP2;
    world.report('CONNECTION_LOST');
    assert.equal(world.exchanges.endpoint[world.x], before);
    assert.equal(world.state, 'SENT');
    assert.ok(world.calls.includes('legs.lease(HTTP2, fresh)'));
    world.check();
  });

  it('does not if its service says what its endpoints speak: the endpoint is to blame', () => {
    const world = at('SENT');
    world.declared.fill(SERVICE_PROTOCOL.HTTP1);
    world.report('WRONG_VERSION');
    assert.deepEqual(world.calls, [
      'legs.endEndpoint(CANCEL, protocol)',
      'localReplies.send(502, upstream-protocol, INTERNAL_ERROR)',
      'legs.afterLocalReply(protocol)',
    ]);
    world.check();
  });

  it('does not go to and fro for ever where an endpoint understands neither version', () => {
    for (const [state, calls] of [
      ['SENT', ['legs.endEndpoint(CANCEL, protocol)', 'localReplies.send(502, upstream-protocol, INTERNAL_ERROR)']],
      ['PENDING', ['legs.endEndpoint(CANCEL, ok)', 'localReplies.send(502, upstream-protocol, INTERNAL_ERROR)']],
    ] as const) {
      const world = at(state);
      world.exchanges.attempts[world.x] = MAX_ATTEMPTS;
      world.report('WRONG_VERSION');
      assert.deepEqual(world.calls.slice(0, 2), calls);
      assert.equal(world.state, 'LOCAL_REPLY');
      world.check();
    }
  });

  it('is answered after as many attempts as there may be', () => {
    const world = at('SENT');
    world.report('CONNECT_FAILED');
    world.report('CONNECT_FAILED');
    assert.equal(world.state, 'SENT');
    world.calls.splice(0);
    world.report('CONNECT_FAILED');
    assert.deepEqual(world.calls, [
      'legs.detach()',
      'legs.endEndpoint(CANCEL, ok)',
      'localReplies.send(502, connect-failed, INTERNAL_ERROR)',
      'legs.afterLocalReply(ok)',
    ]);
    world.check();
  });

  it('is answered with what became of it where nobody else can have what is left of it', () => {
    const world = at('SENT', { fits: false });
    world.report('CONNECT_FAILED');
    assert.equal(world.calls.at(-2), 'localReplies.send(502, connect-failed, INTERNAL_ERROR)');
    assert.equal(world.state, 'LOCAL_REPLY');
    world.check();
    const lost = at('SENT', { fits: false, retries: true, unsent: true });
    lost.report('CONNECTION_LOST');
    assert.ok(lost.calls.includes('localReplies.send(502, upstream-reset, INTERNAL_ERROR)'));
    lost.check();
  });

  it('is answered if there is no connection to be had', () => {
    const world = at('SENT', { lease: LEASE.MEMORY });
    world.report('CONNECT_FAILED');
    assert.equal(world.calls.at(-2), 'localReplies.send(503, memory, NO_ERROR)');
    assert.equal(world.state, 'LOCAL_REPLY');
    world.check();
  });
});

describe('the end of an exchange', () => {
  it('gives the place on a connection away when the client has been told', () => {
    for (const [state, event] of [
      ['SENT', 'FAILED'],
      ['RESPONDING', 'FAILED'],
      ['SENT', 'CLIENT_GONE'],
      ['SENT', 'REPLY_LOCALLY'],
    ] as const) {
      const world = new World(OF_STREAM);
      world.knobs.version = VERSION.HTTP2;
      world.reach(state);
      world.report(event);
      assert.equal(world.calls.at(-1), 'legs.reuse()', `${state}, ${event}`);
      world.check();
    }
  });

  it('comes at once when the client has all of the response', () => {
    const world = at('RESPONDING', { clientEnded: true });
    world.report('ENDED');
    assert.deepEqual(world.calls, ['legs.endEndpoint(NO_ERROR, ok)', 'legs.next()']);
    assert.equal(world.state, 'FREE');
    world.check();
  });

  it('gives up the trailers of a request that waited', () => {
    for (const event of ['CLIENT_GONE', 'REPLY_LOCALLY'] as const) {
      const world = at('PENDING');
      const none = { count: 0, bound: 0, template: null, memory: { epoch: 0 } } as unknown as FieldList;
      assert.equal(world.replay.keepTrailers(world.x, none), true);
      world.report(event);
      world.check();
    }
  });

  it('is counted under its own reason, not under what another had', () => {
    const world = at('SENT');
    world.report('FAILED');
    world.reach('RESPONDING');
    world.lifecycle.truncated(world.x);
    assert.equal(world.calls[0], 'legs.endEndpoint(CANCEL, ok)');
  });

  it('comes before its beginning where the request can not be served', () => {
    const misdirected = at('FREE');
    misdirected.exchanges.service[misdirected.x] = -1;
    misdirected.lifecycle.request(misdirected.x, 0, 0);
    assert.equal(misdirected.calls[1], 'localReplies.send(421, misdirected, NO_ERROR)');
    const malformed = at('FREE');
    malformed.lifecycle.request(malformed.x, 0, 1);
    assert.equal(malformed.calls[1], 'localReplies.send(400, bad-request, INTERNAL_ERROR)');
    malformed.check();
  });

  it('of a tunnel whose endpoint has nothing to say is that of its client', () => {
    const world = at('RESPONDING');
    world.lifecycle.upgraded(world.x, true);
    assert.deepEqual(world.calls, ['tunnels.open()', 'tunnels.fromEndpoint(0, true)']);
  });
});

describe('an exchange that takes too long', () => {
  const overdue = (state: State, what: number, knobs: Partial<Knobs> = {}): World => {
    const world = at(state, { overdue: what, ...knobs });
    assert.equal(world.lifecycle.expireIfDue(world.x), what !== OVERDUE.NO);
    world.check();
    return world;
  };

  it('is left alone before its time', () => {
    assert.deepEqual(overdue('SENT', OVERDUE.NO).calls, []);
  });

  it('is answered, and its endpoint blamed for what the endpoint did not do', () => {
    assert.deepEqual(overdue('PENDING', OVERDUE.PENDING).calls, [
      'legs.endEndpoint(CANCEL, ok)',
      'localReplies.send(503, pool-exhausted, NO_ERROR)',
      'legs.afterLocalReply(ok)',
    ]);
    assert.deepEqual(overdue('SENT', OVERDUE.RESPONSE).calls, [
      'legs.endEndpoint(CANCEL, timeout)',
      'localReplies.send(504, response-timeout, CANCEL)',
      'legs.afterLocalReply(timeout)',
    ]);
    assert.deepEqual(overdue('SENT', OVERDUE.BODY, { endpointStalls: true }).calls, [
      'legs.endEndpoint(CANCEL, timeout)',
      'localReplies.send(504, body-timeout, CANCEL)',
      'legs.afterLocalReply(timeout)',
    ]);
    assert.deepEqual(overdue('SENT', OVERDUE.BODY).calls, [
      'legs.endEndpoint(CANCEL, ok)',
      'localReplies.send(408, body-timeout, CANCEL)',
      'legs.afterLocalReply(timeout)',
    ]);
  });

  it('is cut off where a response has begun', () => {
    for (const endpointStalls of [false, true])
      assert.deepEqual(overdue('RESPONDING', OVERDUE.BODY, { endpointStalls }).calls, [
        'legs.endEndpoint(CANCEL, timeout)',
        'legs.abort(CANCEL, timeout)',
      ]);
    assert.deepEqual(overdue('LOCAL_REPLY', OVERDUE.BODY).calls, [
      'legs.endEndpoint(CANCEL, ok)',
      'legs.close(timeout)',
    ]);
  });

  it('is a tunnel that nobody makes use of', () => {
    assert.deepEqual(overdue('TUNNEL', OVERDUE.TUNNEL).calls, ['tunnels.expired()']);
  });
});

describe('what went wrong', () => {
  it('is 504 where time ran out', () => {
    for (const why of [REPLY_REASON.RESPONSE_TIMEOUT, REPLY_REASON.BODY_TIMEOUT]) {
      const world = at('SENT');
      world.lifecycle.failed(world.x, why, H2_ERROR.CANCEL, HEALTH_SIGNAL.NONE);
      assert.match(world.calls[1], /^localReplies\.send\(504, /);
    }
    const world = at('SENT', { lease: LEASE.MEMORY });
    world.exchanges.attempts[world.x] = MAX_ATTEMPTS;
    world.lifecycle.connectFailed(world.x, REPLY_REASON.CONNECT_TIMEOUT);
    assert.equal(world.calls[2], 'localReplies.send(504, connect-timeout, INTERNAL_ERROR)');
  });

  it('ends the connection of a client that sends more than there is memory for', () => {
    const world = at('SENT');
    world.lifecycle.overflowed(world.x);
    assert.equal(world.calls.at(-1), 'legs.close(limit)');
    world.check();
  });
});
