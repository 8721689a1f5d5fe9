// Connections that end at once are made again, but not without end.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Measurements } from '../../src/load/measurements.js';
import type { LoadPlan } from '../../src/load/plan.js';
import { Retries } from '../../src/load/retries.js';
import { AT } from '../../src/load/tally.js';
import type { End } from '../../src/proxy/warmup/pipes.js';
import { loadPlan, target } from '../support/load.js';
import { loadInMemory, MEMORY_PORT } from '../support/load-in-memory.js';

const MS = 1000;

describe('the pause before a connection is made again', () => {
  it('doubles up to a second while connections are of no use', () => {
    const retries = new Retries(1, () => 1);
    const pauses = Array.from({ length: 10 }, () => retries.backoff(0, 0) / MS);
    assert.deepEqual(pauses, [0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
  });

  it('is random from its half on', () => {
    const pauses = [0, 0.5, 0.999].map((random) => {
      const retries = new Retries(1, () => random);
      retries.backoff(0, 0);
      return retries.backoff(0, 0) / MS;
    });
    assert.deepEqual(pauses, [5, 7.5, 9.995]);
  });

  it('ends when one has served a request, or has lasted', () => {
    const retries = new Retries(1, () => 1);
    for (let i = 0; i < 5; i++) retries.backoff(0, 0);
    retries.succeeded(0);
    assert.deepEqual([retries.backoff(0, 0), retries.backoff(0, 0)], [0, 10 * MS]);
    assert.equal(retries.backoff(0, 2000 * MS), 0);
  });

  it('is of each connection', () => {
    const retries = new Retries(2, () => 1);
    retries.backoff(0, 0);
    assert.deepEqual([retries.backoff(0, 0), retries.backoff(1, 0)], [10 * MS, 0]);
  });
});

const frame = (type: number, flags: number, payload = ''): string =>
  `0000${(payload.length / 2).toString(16).padStart(2, '0')}0${type}0${flags}00000000${payload}`;
const octets = (...frames: string[]): Buffer => Buffer.from(frames.join(''), 'hex');
const SETTINGS = frame(4, 0);
/** No stream is processed; for ENHANCE_YOUR_CALM. */
const GOAWAY = frame(7, 0, '000000000000000b');

const CONNECTIONS = 4;
const SECONDS = 10;
/** Pauses of at least half of 10, 20, 40 … ms, then of half a second, leave time for no more; and 2 dials without a pause. */
const MAX_DIALS = CONNECTIONS * (2 + 7 + SECONDS * 2);
const MIN_DIALS = CONNECTIONS * SECONDS;

interface Tried {
  readonly measured: Measurements;
  readonly dials: number;
}

/** A load on a server that is fine until the load begins, and from 100 ms on ends all connections, and new ones at once. */
async function tryOn(plan: Partial<LoadPlan>, open: (end: End) => void, endIt: (end: End) => void): Promise<Tried> {
  let dials = 0;
  let fine = true;
  const measured = await loadInMemory(
    loadPlan([target(MEMORY_PORT)], { connections: CONNECTIONS, seconds: SECONDS, ...plan }),
    {
      accepted(end) {
        dials++;
        open(end);
        if (!fine) endIt(end);
      },
      turn(ends, now) {
        for (const end of ends) end.input.drop(end.input.length);
        if (fine && now > 100 * MS) {
          fine = false;
          for (const end of ends) endIt(end);
        }
        return 0;
      },
    },
  );
  return { measured, dials };
}

const settings = (end: End): void => end.write(octets(SETTINGS));
const goaway = (end: End): void => end.write(octets(GOAWAY));
const nothing = (): void => undefined;
const close = (end: End): void => end.shutdown();
const constant = { kind: 'constant', rate: 1 } as const;

describe('a server that ends each connection at once is left alone in between', () => {
  for (const [what, plan, open, endIt, kind] of [
    ['by GOAWAY', { protocol: 'http2' }, settings, goaway, 'goaway'],
    ['by GOAWAY, where requests are rare', { protocol: 'http2', pace: constant }, settings, goaway, 'goaway'],
    ['by closing', {}, nothing, close, 'closed'],
    ['by closing, where requests are rare', { pace: constant }, nothing, close, 'closed'],
    ['by closing, where connections are not kept', { keepAlive: false }, nothing, close, 'closed'],
  ] as const)
    it(what, async () => {
      const { measured, dials } = await tryOn(plan, open, endIt);
      assert.ok(dials <= MAX_DIALS && dials >= MIN_DIALS, `${dials} dials`);
      assert.equal(measured.sum(AT.DONE), 0);
      // Each counts as an error, whether it was asked for something or not.
      assert.deepEqual(Object.keys(measured.errors()), [kind]);
      assert.ok(measured.errorCount() >= dials - CONNECTIONS * 2, `${measured.errorCount()} errors`);
      assert.ok(measured.sum(AT.PAUSES) >= MIN_DIALS - CONNECTIONS, `${measured.sum(AT.PAUSES)} pauses`);
      assert.equal(measured.goaway(), kind === 'goaway' ? 'ENHANCE_YOUR_CALM' : undefined);
    });
});

it('a server that closes connections which have been idle makes no errors of it', async () => {
  let closes = 0;
  const measured = await loadInMemory(
    loadPlan([target(MEMORY_PORT)], { connections: CONNECTIONS, seconds: SECONDS, pace: constant }),
    {
      turn(ends, now) {
        for (const end of ends) {
          if (end.input.length > 0) {
            end.input.drop(end.input.length);
            end.write(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
          } else if (!end.closed && !end.other.ended && now > 2000 * MS * (closes + 1)) {
            closes++;
            end.shutdown();
          }
        }
        return 0;
      },
    },
  );
  assert.equal(measured.sum(AT.DONE), SECONDS);
  assert.ok(closes >= 3, `${closes}`);
  assert.deepEqual([measured.errors(), measured.sum(AT.PAUSES)], [{}, 0]);
});
