import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type MatrixOptions, runMatrix } from '../../src/harness/matrix.js';
import { Processes } from '../../src/harness/processes.js';
import { Progress } from '../../src/harness/progress.js';
import type { HarnessResult, SubjectResult } from '../../src/harness/results.js';
import { loadProblem } from '../../src/harness/scenario-run.js';
import { SCENARIOS, type Scenario } from '../../src/harness/scenarios.js';
import { direct, type Subject } from '../../src/harness/subjects/subject.js';
import { loadOf, resultOf } from './figures.js';
import { ANYWHERE, requests, stub } from './stubs.js';

const named = (name: string): Scenario => {
  const found = SCENARIOS.find((one) => one.name === name);
  assert.ok(found);
  return found;
};

const processes = new Processes(28_000);
after(() => processes.close());

interface Watched {
  readonly result: HarnessResult;
  readonly saved: HarnessResult[];
  readonly lines: string;
}

async function run(subjects: readonly Subject[], more: Partial<MatrixOptions> = {}): Promise<Watched> {
  const saved: HarnessResult[] = [];
  let lines = '';
  const result = await runMatrix({
    scenarios: [named('h1')],
    subjects,
    rounds: 2,
    seconds: 1,
    coldSeconds: 1,
    workers: 1,
    io: 'auto',
    placement: ANYWHERE,
    processes,
    runLoad: requests(20),
    progress: new Progress({ write: (text) => (lines += text) }),
    signal: new AbortController().signal,
    notes: [],
    reference: null,
    environment: resultOf([]).environment,
    saved: (one) => saved.push(one),
    ...more,
  });
  assert.deepEqual(
    processes.processes().map(({ name }) => name),
    [],
    'all that was started has ended',
  );
  return { result, saved, lines };
}

function subjectIn({ scenarios }: HarnessResult, name: string): SubjectResult {
  const found = scenarios[0].subjects.find((one) => one.name === name);
  assert.ok(found, name);
  return found;
}

describe('subjects under load in turns', () => {
  it('are each measured in every round, with what they cost, and against each other', async () => {
    const burns = 'for (const end = performance.now() + 2; performance.now() < end; );';
    const order: number[] = [];
    const { result, saved, lines } = await run([direct, stub('quick'), stub('slow', { more: burns })], {
      scenarios: [named('h1'), named('h1-rate')],
      runLoad: requests(20, (port) => order.push(port)),
    });
    const [quick, slow, none] = ['quick', 'slow', 'direct'].map((name) => subjectIn(result, name));
    assert.deepEqual(
      [quick, slow, none].map(({ samples }) => samples.map(({ round }) => round)),
      [
        [0, 1],
        [0, 1],
        [0, 1],
      ],
    );
    for (const { cpuUs, memoryBytes, contextSwitches } of [...quick.samples, ...slow.samples]) {
      assert.ok(cpuUs > 0 && memoryBytes > 1 << 20, `${cpuUs} ${memoryBytes}`);
      assert.ok(contextSwitches.voluntary > 0);
    }
    // By the kernel's account each request burns two milliseconds.
    for (const { cpuUs } of slow.samples) assert.ok(cpuUs > 1500, `${cpuUs}`);
    assert.deepEqual(
      none.samples.map(({ cpuUs }) => cpuUs),
      [0, 0],
    );
    assert.deepEqual(none.ratios, []);
    assert.deepEqual(
      slow.ratios.map(({ to, verdict }) => [to, verdict]),
      [['quick', 'unclear']],
    );
    assert.ok(slow.ratios[0].value > 1);
    assert.deepEqual(quick.ratios, []);
    // Warm-up, then there and back.
    const [a, b, c] = order;
    assert.deepEqual(order.slice(0, 9), [a, b, c, a, b, c, c, b, a]);
    assert.deepEqual(subjectIn(result, 'quick').coldP99, []);
    assert.deepEqual(result.scenarios[1].subjects[1].coldP99, [200]);
    assert.equal(saved.length, 6);
    assert.match(lines, /^h1, round 1 of 2, µs CPU\/request: direct 0\.00, quick \d/m);
  });

  it('keep their results where others fail', async () => {
    const absent: Subject = { ...stub('absent'), missing: () => 'it is not installed' };
    const unable: Subject = { ...stub('unable'), unsupported: () => 'it speaks no HTTP' };
    const { result, lines } = await run([
      absent,
      unable,
      stub('dead', { script: 'process.stderr.write("bad configuration"); process.exit(3)' }),
      stub('dies', { more: 'if (count > 45) { process.stderr.write("out of luck"); process.exit(7); }' }),
      stub('refuses', { more: 'if (count > 0) { response.writeHead(503).end(); return; }' }),
      stub('good'),
    ]);
    const of = (name: string): (string | number | null)[] => {
      const { skipped, failed, samples } = subjectIn(result, name);
      return [skipped, failed, samples.length];
    };
    assert.deepEqual(of('absent'), ['it is not installed', null, 0]);
    assert.deepEqual(of('unable'), ['it speaks no HTTP', null, 0]);
    assert.deepEqual(of('dead'), [null, subjectIn(result, 'dead').failed, 0]);
    assert.match(
      subjectIn(result, 'dead').failed ?? '',
      /^dead ended before it could listen on \d+: bad configuration/,
    );
    assert.match(subjectIn(result, 'dies').failed ?? '', /^it ended \(7\): out of luck/);
    assert.equal(subjectIn(result, 'dies').samples.length, 1);
    assert.deepEqual(of('refuses'), [null, 'no answer was right: status × 20 (answers 503 × 20)', 0]);
    assert.deepEqual(of('good'), [null, null, 2]);
    assert.match(lines, /^h1: refuses failed: no answer was right/m);
  });

  it('keep what has been measured when it is ended early', async () => {
    const ended = new AbortController();
    let loads = 0;
    const { result, saved } = await run([stub('one'), stub('other')], {
      rounds: 10,
      signal: ended.signal,
      scenarios: [named('h1'), named('h1-16k')],
      // In the second round, and the load that runs then is cut short.
      runLoad: async (plan, report, signal) => {
        if (++loads === 6) ended.abort();
        const load = await requests(5)(plan, report, signal);
        return signal.aborted ? { ...load, seconds: 0.1 } : load;
      },
    });
    assert.equal(result.interrupted, true);
    assert.equal(result.scenarios.length, 1);
    assert.deepEqual(subjectIn(result, 'one').samples.length, 1);
    assert.deepEqual(subjectIn(result, 'other').samples.length, 2);
    assert.equal(subjectIn(result, 'one').failed, null);
    assert.deepEqual(saved.at(-1)?.scenarios, result.scenarios);
  });

  it('are told apart from the server behind them', async () => {
    const scenario = { ...named('h1'), upstream: { kind: 'http2', bodyBytes: 100_000 } as const };
    const { result } = await run([stub('good')], { scenarios: [scenario] });
    assert.match(subjectIn(result, 'good').failed ?? '', /^(the server behind it|upstream) ended/);
  });
});

describe('errors of a load', () => {
  it('are a failure where they are more than a few', () => {
    assert.equal(loadProblem(loadOf({ done: 1000, errors: { timeout: 5 } })), null);
    assert.equal(
      loadProblem(loadOf({ done: 1000, errors: { status: 100 }, statuses: { 200: 900, 502: 100 } })),
      '100 of 1000 requests failed: status × 100 (answers 502 × 100)',
    );
    assert.equal(loadProblem(loadOf({ done: 0, errors: {} })), 'no answer came');
    assert.equal(loadProblem(loadOf({ done: 0, errors: { refused: 1 }, interrupted: true })), null);
  });
});
