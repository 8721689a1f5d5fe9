import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { METHOD } from '../../../src/http/methods.js';
import { VERSION } from '../../../src/proxy/connect/protocols.js';
import { STATE } from '../../../src/proxy/exchange/exchange.js';
import { LEASE } from '../../../src/proxy/exchange/legs.js';
import { ACTION, ACTIONS, EVENT, EVENT_COUNT, EVENTS, STATES, TABLE } from '../../../src/proxy/exchange/table.js';
import { runs } from '../../support/runs.js';
import { type Event, type Knobs, OF_SOCKET, OF_STREAM, type State, World } from './lifecycle-world.js';

const actionOf = (state: State, event: Event): number => TABLE[STATE[state] * EVENT_COUNT + EVENT[event]];
const isPossible = (state: State, event: Event): boolean => actionOf(state, event) !== ACTION.IMPOSSIBLE;

/** What is reported: events, and that the response is on its way to the client. */
const MOVES = [...EVENTS, 'RESPONDING'] as const;
type Move = (typeof MOVES)[number];

/** Whether it may be reported now: what the table allows, and what legs keep to. */
function mayMove(world: World, move: Move): boolean {
  const { exchanges, x, state } = world;
  const responded = exchanges.status[x] !== 0;
  if (move === 'RESPONDING') return state === 'SENT' && responded;
  // No leg is asked to start over once its response head has come.
  if (state === 'SENT' && responded && ['CONNECT_FAILED', 'WRONG_VERSION', 'REFUSED', 'CONNECTION_LOST'].includes(move))
    return false;
  return isPossible(state, move);
}

function make(world: World, move: Move, method: number = METHOD.GET): void {
  if (move === 'RESPONDING') world.lifecycle.responding(world.x);
  else {
    if (move === 'REQUEST') world.begin(method);
    world.report(move);
  }
  world.check();
}

/** The client leaves: nothing may be left of its exchange. */
function leave(world: World): void {
  world.report('CLIENT_GONE');
  world.check();
  assert.ok(['FREE', 'LOCAL_REPLY'].includes(world.state));
}

const VARIANTS: readonly Partial<Knobs>[] = [
  {},
  { version: VERSION.HTTP2 },
  { version: VERSION.HTTP2, lease: LEASE.PENDING },
  { version: VERSION.HTTP2, lease: LEASE.PENDING, dialling: true, retries: true },
  { retries: true, unsent: true, clientEnded: true },
  { wrongVersion: true, retries: true },
  { keeps: false, retries: true },
  { sends: false },
  { lease: LEASE.MEMORY },
];

describe('every way through the table', () => {
  it('of up to five events counts an exchange once, and leaves nothing behind', () => {
    const DEPTH = 5;
    const reached = new Set<State>();
    const used = new Set<number>();
    let ways = 0;
    const walk = (world: World, path: readonly Move[]): void => {
      reached.add(world.state);
      if (path.length === DEPTH) {
        ways++;
        leave(world);
        return;
      }
      for (const move of MOVES.filter((one) => mayMove(world, one))) {
        if (move !== 'RESPONDING') used.add(actionOf(world.state, move));
        make(world, move);
        walk(world, [...path, move]);
        // Back to where the move was made.
        leave(world);
        world.begin();
        for (const before of path) make(world, before);
      }
    };
    for (const x of [OF_SOCKET, OF_STREAM]) {
      for (const knobs of VARIANTS) {
        const world = new World(x);
        Object.assign(world.knobs, knobs);
        world.begin();
        walk(world, []);
      }
    }
    assert.ok(ways > 1000, `${ways} ways`);
    assert.deepEqual(
      STATES.filter((state) => !reached.has(state)),
      [],
    );
    assert.deepEqual(
      ACTIONS.filter((_, action) => action !== ACTION.IMPOSSIBLE && !used.has(action)),
      [],
    );
  });

  it('of any length does, whatever the legs are able to do', () => {
    const step = fc.record({
      move: fc.nat({ max: MOVES.length - 1 }),
      connect: fc.boolean(),
      knobs: fc.record({
        lease: fc.constantFrom(LEASE.OK, LEASE.OK, LEASE.OK, LEASE.PENDING, LEASE.MEMORY, LEASE.NO_WEBSOCKETS),
        version: fc.constantFrom(VERSION.HTTP1, VERSION.HTTP2),
        dialling: fc.boolean(),
        sends: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
        keeps: fc.boolean(),
        retries: fc.boolean(),
        wrongVersion: fc.boolean(),
        unsent: fc.boolean(),
        clientEnded: fc.boolean(),
        tunnelEnded: fc.boolean(),
      }),
    });
    fc.assert(
      fc.property(fc.constantFrom(OF_SOCKET, OF_STREAM), fc.array(step, { maxLength: 60 }), (x, steps) => {
        const world = new World(x);
        world.begin();
        for (const { move, connect, knobs } of steps) {
          Object.assign(world.knobs, knobs);
          const moves = MOVES.filter((one) => mayMove(world, one));
          make(world, moves[move % moves.length], connect ? METHOD.CONNECT : METHOD.GET);
        }
        leave(world);
      }),
      { numRuns: runs(500) },
    );
  });
});
