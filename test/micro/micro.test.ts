// Pieces of the hot path by themselves: that they do their work, and allocate nothing; and that what allocates is seen.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { benchMicroCommand } from '../../src/cli/bench-micro.js';
import { UsageError } from '../../src/cli/usage.js';
import { measure } from '../../src/micro/measure.js';
import { repository } from '../docs/fences.js';

const QUICK = { seconds: 0.02, rounds: 3 };
const OBJECTS = 64;

describe('what is measured', () => {
  it('sees an object that is allocated', () => {
    const kept: unknown[] = new Array(OBJECTS);
    const greedy = {
      run(times: number) {
        for (let i = 0; i < times; i++) kept[i % OBJECTS] = { a: i, b: i + 1 };
        return kept.length;
      },
    };
    const { allocated } = measure(greedy, QUICK);
    assert.ok(allocated >= 16, `${allocated} octets`);
  });

  it('sees none where there is none', () => {
    const cells = new Int32Array(8);
    const frugal = {
      run(times: number) {
        for (let i = 0; i < times; i++) cells[i & 7] += i;
        return cells[0];
      },
    };
    assert.ok(measure(frugal, QUICK).allocated < 1);
  });
});

describe('sluice bench micro', () => {
  // In a process of its own: a thread has one ring.
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [
      fileURLToPath(repository('dist/src/cli/main.js')),
      'bench',
      'micro',
      ...args,
    ]);

  it('runs all pieces, none of which allocates', async () => {
    const { stdout } = await run('--duration', '50ms', '--output', 'json', '--max-allocated', '4');
    const { pieces } = JSON.parse(stdout) as { pieces: { name: string; ns: number }[] };
    const names = pieces.map(({ name }) => name);
    for (const name of [
      'detector',
      'http1-request',
      'hpack-varied',
      'http2-frames',
      'ewma-pick',
      'histogram-record',
      'tls-record-1024',
    ])
      assert.ok(names.includes(name), name);
    for (const { name, ns } of pieces) assert.ok(ns > 0, name);
  });

  it('runs those that are named, and says which there are', async () => {
    const { stdout } = await run('detector', '--duration', '10ms');
    assert.match(stdout, /^detector\s+[\d.]+ ns .*\n$/);
    await assert.rejects(
      benchMicroCommand.run(['nothing']),
      (error) => error instanceof UsageError && /detector/.test(error.message),
    );
  });

  for (const args of [
    ['--output', 'xml'],
    ['--duration', 'soon'],
    ['--max-allocated', 'few'],
  ])
    it(`refuses ${args.join(' ')}`, async () => {
      await assert.rejects(benchMicroCommand.run(args), UsageError);
    });
});
