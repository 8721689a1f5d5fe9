// Bodies that are silent for longer than a body may be: streams of events may, and calls of gRPC; whatever else is cut off, unless the
// service says otherwise.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { availableExecutors } from '../support/sluice.js';
import { type Cell, COMBINATIONS, Stage, TEST_MS, title } from './combinations-support.js';

/** Longer than the tests' bound on silence, by several looks at it. */
const SILENCE_MS = 900;
const SETUP = {
  services: {
    web: { yaml: '' },
    patient: { yaml: '    bodyTimeout: 0' },
    hasty: { yaml: '    bodyTimeout: 100ms\n    streamTimeout: 150ms' },
  },
  top: 'limits: { http1: { bodyTimeout: 250ms }, http2: { bodyTimeout: 250ms } }',
};

/** A response that says something, is silent, and ends. What the client has got. */
async function silent(cell: Cell, type: string): Promise<string> {
  const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
  arrived.begin(200, { 'content-type': type });
  arrived.write('before ');
  await call.seen('before ');
  const over = await Promise.race([call.answer().then(() => true), wait(SILENCE_MS, false)]);
  if (!over) {
    arrived.write('after');
    arrived.finish();
  }
  const { body, whole } = await call.answer();
  return whole ? body : 'cut';
}

for (const io of await availableExecutors()) {
  describe(`silent bodies on ${io}`, { concurrency: true }, () => {
    let stage: Stage | undefined;
    before(async () => {
      stage = await Stage.start(io, SETUP);
    });
    after(async () => {
      await stage?.stop();
    });
    for (const combination of COMBINATIONS) {
      const cell = (name: string): Cell => stage?.cell(combination, name) ?? assert.fail('Sluice has not started');
      const declare = (what: string, name: string, type: string, expected: string): void => {
        it(`${title(combination)}: ${what}`, { timeout: TEST_MS }, async () => {
          assert.equal(await silent(cell(name), type), expected);
        });
      };
      declare('a stream of events goes on', 'web', 'text/event-stream', 'before after');
      declare('one whose type has parameters, too', 'web', 'Text/Event-Stream;charset=utf-8', 'before after');
      declare('whatever else is cut off', 'web', 'text/event-streams', 'cut');
      declare('nothing is where the service has no bodyTimeout', 'patient', 'text/plain', 'before after');
      declare('the service has a bodyTimeout of its own', 'hasty', 'text/plain', 'cut');
      declare('and a streamTimeout, if it likes', 'hasty', 'text/event-stream', 'cut');
    }
  });
}
