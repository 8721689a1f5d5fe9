import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { BASELINE, builtCheckout, comparable, withBaseline, withoutRivals } from '../../bench/baseline.js';
import type { Bench, Sample } from '../../bench/bench.js';
import { type BenchResult, judge } from '../../bench/measure.js';
import { report, summary } from '../../bench/table.js';
import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import { direct, type Subject } from '../../src/harness/subjects/subject.js';

const PROGRAM = ['node', '/old/main.js'];

function bench(measures: Bench['measures'], contenders: readonly Subject[]): Bench {
  return {
    name: 'some',
    title: 'Some work',
    unit: 'units',
    measures,
    bar: { limit: 2, ambition: 1, rivals: ['haproxy'] },
    contenders,
    work: { kind: 'http', workers: 1, cores: '1', connections: 1 },
    upstream: () => Promise.resolve(0),
    sample: () => Promise.reject(new Error('not run')),
  };
}

const names = ({ contenders }: Bench): string[] => contenders.map(({ name }) => name);
const usual = (measures: Bench['measures']): Bench => bench(measures, [sluice('sluice', 'epoll'), haproxy(), direct]);

describe('the checkout that --baseline names', () => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-baseline-'));
  after(() => rmSync(root, { recursive: true }));
  const checkout = (name: string, files: Readonly<Record<string, string>>): string => {
    for (const [path, text] of Object.entries({ '.': '', ...files })) {
      const file = join(root, name, path);
      mkdirSync(dirname(file), { recursive: true });
      if (path !== '.') writeFileSync(file, text);
    }
    return join(root, name);
  };
  const named = { 'package.json': '{"name":"sluice"}' };
  const compiled = { ...named, 'dist/src/cli/main.js': '' };
  const native = { ...compiled, 'build/Release/sluice.node': '' };

  it('is started by the Node.js that runs the bench', () => {
    const directory = checkout('built', { ...native, 'node_modules/.installed': '' });
    assert.deepEqual(builtCheckout('--baseline', directory), [
      process.execPath,
      join(directory, 'dist/src/cli/main.js'),
    ]);
  });

  for (const [name, files, message] of [
    ['other', { 'package.json': '{"name":"other"}' }, /^--baseline .*other: is not a checkout of Sluice/],
    ['text', { 'package.json': 'name: sluice' }, /is not a checkout of Sluice/],
    ['source', named, /is not built \(dist\/src\/cli\/main\.js is missing\); run `make build` in it/],
    ['compiled', compiled, /has no native module/],
    ['bare', native, /has no node_modules/],
  ] as const) {
    it(`is refused with a reason: ${name}`, () => {
      assert.throws(() => builtCheckout('--baseline', checkout(name, files)), { message });
    });
  }

  it('is refused where there is nothing, or a file', () => {
    assert.throws(
      () => builtCheckout('--from', join(root, 'nothing')),
      /^Error: --from .*: there is no such directory/,
    );
    const file = join(checkout('file', named), 'package.json');
    assert.throws(() => builtCheckout('--from', file), /there is no such directory/);
  });
});

describe('a bench with a baseline', () => {
  it('has the older build next to the new one, in the same variant', () => {
    const both = withBaseline(usual('cpu'), PROGRAM);
    assert.deepEqual(names(both), ['sluice', BASELINE, 'haproxy', 'direct']);
    assert.equal(both.contenders[1].missing(), null);
    assert.deepEqual(both.baselineBar, { kind: 'ratio', limit: 1.02 });
    assert.deepEqual(withBaseline(usual('memory'), PROGRAM).baselineBar, { kind: 'difference', limit: 16 });
  });

  it('shows latency and judges none', () => {
    assert.deepEqual(names(withBaseline(usual('latency'), PROGRAM)), ['sluice', BASELINE, 'haproxy', 'direct']);
    assert.equal(withBaseline(usual('latency'), PROGRAM).baselineBar, undefined);
    assert.deepEqual([usual('cpu'), usual('memory'), usual('latency')].map(comparable), [true, true, false]);
  });

  it('runs without other proxies, and then without their bar', () => {
    const alone = withoutRivals(withBaseline(usual('cpu'), PROGRAM));
    assert.deepEqual(names(alone), ['sluice', BASELINE, 'direct']);
    assert.equal(alone.bar, null);
  });

  it('stays as it is where Sluice does not take part', () => {
    const rivals = bench('cpu', [haproxy(), direct]);
    assert.equal(withBaseline(rivals, PROGRAM), rivals);
    assert.equal(comparable(rivals), false);
  });
});

describe('the judgement on a baseline', () => {
  const sample = (value: number): Sample => ({ value, errors: 0 });
  const judged = (
    measures: Bench['measures'],
    now: readonly number[],
    old: readonly number[],
    notes: string[] = [],
  ): BenchResult =>
    judge(
      withoutRivals(withBaseline(usual(measures), PROGRAM)),
      new Map([
        ['sluice', now.map(sample)],
        [BASELINE, old.map(sample)],
      ]),
      notes,
    );
  const verdict = ({ baseline }: BenchResult): unknown =>
    baseline === null || baseline === 'failed' ? baseline : baseline.passed;

  it('takes the ratio within each round, and the median of them', () => {
    // The second round is slow for both.
    const { baseline } = judged('cpu', [10.1, 20, 10], [10, 20, 10]);
    assert.ok(baseline !== null && baseline !== 'failed');
    assert.deepEqual([baseline.ratio.median, baseline.passed], [1, true]);
    assert.equal(verdict(judged('cpu', [10.2, 20.4, 10.2], [10, 20, 10])), true);
    assert.equal(verdict(judged('cpu', [10.3, 20.6, 10], [10, 20, 10])), false);
  });

  it('takes the difference of memory, which may be nothing', () => {
    assert.equal(verdict(judged('memory', [116, 110, 300], [100, 100, -5])), true);
    assert.equal(verdict(judged('memory', [117, 117, 117], [100, 100, 100])), false);
    assert.equal(verdict(judged('memory', [40, 40, 40], [-5, -5, -5])), false);
  });

  it('fails where one of both did not run or something went wrong', () => {
    assert.equal(verdict(judged('cpu', [1], [])), 'failed');
    assert.equal(verdict(judged('cpu', [1], [1], ['baseline failed: it ended'])), 'failed');
    assert.equal(verdict(judged('latency', [1], [1])), null);
  });

  it('stands in the table and in the summary', () => {
    const result = judged('cpu', [10.5, 10.5], [10, 10]);
    const line = 'FAIL  1.050 × baseline (spread 0 %), +0.50 units; bar ≤ 1.02 × baseline';
    assert.ok(report(result).includes(`\n  ${line}`), report(result));
    assert.ok(summary([result]).includes(line));
    assert.ok(report(judged('memory', [120], [100])).includes('+20.00 units; bar ≤ baseline + 16 units'));
    assert.ok(report(judged('cpu', [1], [])).includes('FAIL  not measured against baseline'));
  });
});
