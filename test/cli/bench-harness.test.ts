// The commands of `sluice bench` that measure proxies, as they are called.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { benchCompareCommand } from '../../src/cli/bench-compare.js';
import { benchMatrixCommand } from '../../src/cli/bench-matrix.js';
import { benchSaturateCommand } from '../../src/cli/bench-saturate.js';
import type { Command } from '../../src/cli/usage.js';
import { type Comparison, compare } from '../../src/harness/compare.js';
import { readResult } from '../../src/harness/result-file.js';
import type { HarnessResult, SubjectResult } from '../../src/harness/results.js';
import { resultOf, sampleOf, scenarioOf, subjectOf } from '../harness/figures.js';
import { which } from '../support/servers.js';
import { inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'sluice-harness-'));
const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `said` is called whenever there is more of standard error. */
function bench(
  args: readonly string[],
  said: (stderr: string, child: ChildProcess) => void = () => undefined,
): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { ...inherited(), SLUICE_WARMUP: 'off', SLUICE_BENCH_ALONE: 'no' };
    const child = spawn(process.execPath, [MAIN, 'bench', ...args], { cwd: root, env });
    running.add(child);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      said(stderr, child);
    });
    child.once('close', (code) => {
      running.delete(child);
      resolve({ code, stdout, stderr });
    });
  });
}

/** In this process, as starting one costs much more than what is refused at once. */
async function refused(command: Command, args: readonly string[], message: RegExp): Promise<void> {
  await assert.rejects(async () => command.run(args), { name: 'UsageError', message });
}

/** At a rate: as much as goes through would be what the machine has. */
const SHORT = ['--seconds', '0.4', '--cold', '0.4', '--first-port', '30000'];
const subject = ({ scenarios }: HarnessResult, name: string): SubjectResult | undefined =>
  scenarios[0].subjects.find((one) => one.name === name);

describe('sluice bench matrix', () => {
  it('measures what is there, and names what is not', async () => {
    const proxies = ['nginx', 'haproxy'].filter((name) => which(name) !== null);
    const subjects = ['direct', 'sluice-epoll', 'node-http-proxy', ...proxies];
    const out = join(root, 'measured');
    const { code, stdout, stderr } = await bench([
      ...['matrix', '--scenarios', 'h1-rate', '--subjects', subjects.join(','), '--rounds', '2', '--out', out],
      ...SHORT,
    ]);
    assert.equal(code, 0, stderr);
    const result = readResult(join(out, 'result.json'));
    for (const name of ['sluice-epoll', ...proxies]) {
      const { samples, failed, version } = subject(result, name) ?? {};
      assert.equal(failed, null);
      assert.deepEqual(
        samples?.map(({ cpuUs }) => cpuUs > 0),
        [true, true],
        name,
      );
      assert.match(version ?? '', /^\d+\.\d+/);
    }
    assert.deepEqual(
      subject(result, 'direct')?.samples.map(({ cpuUs }) => cpuUs),
      [0, 0],
    );
    assert.match(subject(result, 'node-http-proxy')?.skipped ?? '', /http-proxy is not installed/);
    assert.match(stdout, /sluice-epoll/);
    assert.match(stderr, /^h1-rate, round 2 of 2, µs CPU\/request: /m);
    assert.ok(existsSync(join(out, 'report.html')));
    await refused(benchMatrixCommand, ['--out', out], /result\.json exists already; add --force to overwrite it/);
  });

  it('keeps what it has when it is interrupted', async () => {
    const out = join(root, 'interrupted');
    let interrupted = false;
    const { code, stderr } = await bench(
      [
        'matrix',
        '--scenarios',
        'h1-rate',
        '--subjects',
        'direct,node-undici',
        '--rounds',
        '900',
        '--out',
        out,
        ...SHORT,
      ],
      (text, child) => {
        // A second one would end the process.
        if (text.includes('round 2 of 900') && !interrupted) interrupted = child.kill('SIGINT');
      },
    );
    assert.equal(code, 130, stderr);
    const result = readResult(join(out, 'result.json'));
    assert.equal(result.interrupted, true);
    assert.equal(subject(result, 'node-undici')?.failed, null);
    const count = subject(result, 'node-undici')?.samples.length ?? 0;
    assert.ok(count >= 2 && count < 900, `${count}`);
  });

  it('upgrades connections, talks on calls, and shows certificates of its own', async () => {
    const scenarios = ['websocket', 'grpc-server', 'mtls'];
    const out = join(root, 'several');
    const { code, stderr } = await bench([
      ...['matrix', '--scenarios', scenarios.join(','), '--subjects', 'sluice-epoll', '--rounds', '1', '--out', out],
      ...['--seconds', '0.5', '--cold', '0.5', '--first-port', '32000'],
    ]);
    assert.equal(code, 0, stderr);
    const result = readResult(join(out, 'result.json'));
    for (const [i, name] of scenarios.entries()) {
      const [{ samples, failed }] = result.scenarios[i].subjects;
      assert.equal(failed, null, name);
      const { done, messages } = samples[0].load;
      assert.ok(done > 0, name);
      if (name.startsWith('grpc')) assert.ok((messages?.received ?? 0) >= done * 10, name);
    }
  });

  it('prints the result where it cannot be written any more', async () => {
    const out = join(root, 'gone');
    const { code, stdout, stderr } = await bench(
      ['matrix', '--scenarios', 'h1-rate', '--subjects', 'direct', '--rounds', '3', '--out', out, ...SHORT],
      (text) => {
        if (text.includes('round 1 of 3')) rmSync(out, { recursive: true, force: true });
      },
    );
    assert.equal(code, 1, stderr);
    assert.match(stderr, /result\.json cannot be written: ENOENT.*; the result follows/);
    assert.equal((JSON.parse(stdout) as HarnessResult).scenarios[0].subjects[0].samples.length, 3);
  });

  it('lists what there is', async () => {
    const { code, stdout } = await bench(['matrix', '--list']);
    assert.equal(code, 0);
    assert.match(stdout, /^ {2}h1-rate +HTTP\/1\.1, 64 connections, 3000 requests a second$/m);
    assert.match(stdout, /^ {2}sluice-uring +\d/m);
  });

  for (const [args, message] of [
    [['--scenarios', 'h3'], /--scenarios: there is no "h3"/],
    [['--subjects', 'ngin'], /--subjects: there is no "ngin".*nginx/],
    [['--rounds', '0'], /--rounds: /],
    [['--seconds', 'long'], /--seconds: "long" is not a duration/],
    [['--out', '/proc/self'], /no results can be written there/],
    [['--reference', 'nobody'], /--reference: nobody is not among the subjects/],
    [['--io', 'magic'], /--io: /],
    [['--first-port', '80'], /--first-port: /],
  ] as const) {
    it(`refuses ${args.join(' ')}`, () => refused(benchMatrixCommand, args, message));
  }
});

describe('sluice bench saturate', () => {
  it('looks for a rate, and has the curve', async () => {
    const out = join(root, 'saturated');
    const { code, stderr } = await bench([
      ...['saturate', '--subjects', 'direct', '--from', '100', '--most', '200', '--limit', '5s', '--out', out],
      ...['--seconds', '0.2', '--first-port', '31000'],
    ]);
    assert.equal(code, 0, stderr);
    const direct = subject(readResult(join(out, 'result.json')), 'direct');
    assert.equal(direct?.saturation, 200);
    assert.deepEqual(
      direct?.curve.map(({ wantedRate }) => wantedRate),
      [100, 200],
    );
    await refused(benchSaturateCommand, ['--from', '500', '--most', '100'], /--from: 500 is above --most 100/);
  });
});

describe('sluice bench compare', () => {
  const file = (name: string, text: string): string => {
    const path = join(root, name);
    writeFileSync(path, text);
    return path;
  };
  const run = (factor: number): string =>
    JSON.stringify(
      resultOf([
        scenarioOf([
          subjectOf(
            'a',
            [10, 11, 10, 12, 10].map((cost, round) => sampleOf({ round, cpuUs: cost * factor })),
          ),
        ]),
      ]),
    );

  it('says what got worse, by its exit code too', async () => {
    const [before, after] = [file('before.json', run(1)), file('after.json', run(1.5))];
    const worse = await bench(['compare', before, after]);
    assert.equal(worse.code, 1, worse.stderr);
    assert.match(worse.stdout, /^worse {3}h1 a cpu: 10\.0 → 15\.0 µs CPU\/request, \+50\.0 % \(\+\d/m);
    const { changes, worse: more } = compare(readResult(after), readResult(before), {
      threshold: 0.02,
      relativeTo: null,
    });
    assert.deepEqual([changes[0].verdict, more], ['better', false]);
    const same = await bench(['compare', before, before, '-o', 'json']);
    assert.equal(same.code, 0, same.stderr);
    assert.equal((JSON.parse(same.stdout) as Comparison).changes[0].verdict, 'noise');
  });

  it('takes the directories of two runs', async () => {
    for (const [name, cpu] of [
      ['monday', 1],
      ['friday', 0.8],
    ] as const) {
      mkdirSync(join(root, name));
      file(`${name}/result.json`, run(cpu));
    }
    const { code, stdout, stderr } = await bench(['compare', join(root, 'monday'), join(root, 'friday'), '-o', 'json']);
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as Comparison).changes[0].verdict, 'better');
    await refused(benchCompareCommand, [join(root, 'monday'), root], /result\.json: cannot be read: ENOENT/);
    const report = await bench(['report', join(root, 'monday')]);
    assert.equal(report.code, 0, report.stderr);
    assert.ok(existsSync(join(root, 'monday', 'report.html')));
  });

  it('refuses what it cannot compare', async () => {
    const good = file('good.json', run(1));
    const other = JSON.parse(run(1)) as { scenarios: { name: string }[] };
    other.scenarios[0].name = 'other';
    for (const [text, message] of [
      [run(1).slice(0, 200), /is not valid JSON, or was cut off/],
      [run(1).replace('"version":1', '"version":9'), /results of version 9 are not known here/],
      ['{}', /is not a result of `sluice bench matrix`/],
    ] as const)
      await refused(benchCompareCommand, [good, file('bad.json', text)], message);
    const { code, stderr } = await bench(['compare', good, file('other.json', JSON.stringify(other))]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /the runs have no scenario and subject in common/);
    for (const [args, message] of [
      [[good], /which runs\? name two result\.json files, or the directories with them/],
      [[good, join(root, 'nothing')], /cannot be read/],
      [[good, good, '--relative-to', 'b'], /neither run has b; there are a/],
      [[good, good, '--threshold', 'x'], /"x" is not a percentage/],
    ] as const)
      await refused(benchCompareCommand, args, message);
  });
});
