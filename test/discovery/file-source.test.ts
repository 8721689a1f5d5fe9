import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Endpoint } from '../../src/discovery/endpoint.js';
import { FileSource } from '../../src/discovery/file-source.js';
import { nodeTimers } from '../../src/discovery/source.js';
import { addressText } from '../../src/discovery/text.js';
import { scratchDirectory } from './scratch.js';

const scratch = scratchDirectory();
let directories = 0;

/** A directory of its own for a test, below the scratch one. */
function directory(): { at: (name: string) => string; file: (name: string, text: string) => string } {
  const name = `d${directories++}`;
  mkdirSync(scratch.path(name));
  return {
    at: (file) => scratch.path(`${name}/${file}`),
    file: (file, text) => scratch.file(`${name}/${file}`, text),
  };
}

const textOf = (endpoints: readonly Endpoint[]): string =>
  endpoints.map(({ address }) => addressText(address)).join(' ');

/** A source that polls every `pollMs`; reports and errors are waited for, not for a time. */
function setUp(pollMs = 3_600_000, maxFileBytes = 2 ** 20) {
  const reports: string[] = [];
  const logs: string[] = [];
  const waiting: (() => void)[] = [];
  const tell = (): void => {
    for (const wake of waiting.splice(0)) wake();
  };
  const log = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    logs.push(`${level} ${message}${fields?.problem === undefined ? '' : `: ${fields.problem}`}`);
    tell();
  };
  const limits = { maxFileBytes, pollMs };
  const counts = { watched: 0, broken: 0, tooLarge: 0 };
  const source = new FileSource({
    logger: { info: log('info'), warn: log('warn'), error: log('error') },
    limits: () => limits,
    counts,
  });
  const watch = (path: string, key: string | null = null, service = 'web') =>
    source.watch({ service, source: { kind: 'file', path, key }, minTtlMs: 1, maxTtlMs: 1, known: null }, (update) => {
      reports.push(update.kind === 'failed' ? `failed ${update.reason}` : `${service}: ${textOf(update.endpoints)}`);
      tell();
    });
  /** Resolves when `done` holds; the watchers and timers of the source do not keep the process alive. */
  const until = async (done: () => boolean): Promise<void> => {
    const alive = setInterval(() => {}, 1000);
    while (!done()) await new Promise<void>((resolve) => waiting.push(resolve));
    clearInterval(alive);
  };
  const reported = (text: string) => until(() => reports.at(-1) === text);
  const logged = (pattern: RegExp) => until(() => logs.some((line) => pattern.test(line)));
  return { source, reports, logs, watch, until, reported, logged, limits, counts };
}

describe('a file of endpoints that is watched', () => {
  it('is reported at once, and again when it is written in place', async () => {
    const { file } = directory();
    const path = file('e.yaml', '- 10.0.0.1:80\n');
    const { reports, watch, reported, logs } = setUp();
    const { stop } = watch(path);
    assert.deepEqual(reports, ['web: 10.0.0.1:80']);
    writeFileSync(path, '- 10.0.0.2:80\n');
    await reported('web: 10.0.0.2:80');
    stop();
    assert.deepEqual(logs, []);
  });

  it('is seen when it is replaced by rename', async () => {
    const { at, file } = directory();
    const path = file('e.json', '["10.0.0.1:80"]');
    const { watch, reported } = setUp();
    const { stop } = watch(path);
    for (const host of ['10.0.0.2', '10.0.0.3']) {
      renameSync(file('next', `["${host}:80"]`), at('e.json'));
      await reported(`web: ${host}:80`);
    }
    stop();
  });

  it('is seen when Kubernetes swaps the link of a ConfigMap', async () => {
    const { at } = directory();
    const publish = (version: string, text: string): void => {
      mkdirSync(at(version));
      writeFileSync(at(`${version}/e.yaml`), text);
      symlinkSync(version, at('..data_tmp'));
      renameSync(at('..data_tmp'), at('..data'));
    };
    publish('..1', '- 10.0.0.1:80\n');
    symlinkSync('..data/e.yaml', at('e.yaml'));
    const { reports, watch, reported, source } = setUp();
    const { stop } = watch(at('e.yaml'));
    assert.deepEqual(reports, ['web: 10.0.0.1:80']);
    for (const version of ['2', '3']) {
      publish(`..${version}`, `- 10.0.0.${version}:80\n`);
      rmSync(at(`..${Number(version) - 1}`), { recursive: true });
      await reported(`web: 10.0.0.${version}:80`);
    }
    // Where the link leads now is watched as well.
    writeFileSync(at('..3/e.yaml'), '- 10.0.0.4:80\n');
    await reported('web: 10.0.0.4:80');
    assert.equal(source.directories, 2);
    stop();
    assert.equal(source.directories, 0);
  });

  it('keeps its last good content while it is wrong or gone, and says why once', async () => {
    const { file, at } = directory();
    const path = file('e.yaml', '- 10.0.0.1:80\n');
    const { reports, watch, reported, logged, logs, counts, until } = setUp();
    const { stop } = watch(path);
    assert.deepEqual(counts, { watched: 1, broken: 0, tooLarge: 0 });
    writeFileSync(path, '- 10.0.0.1:80\n- 10.0.0.2:99999\n');
    await logged(/e\.yaml:2:3: \[1\]: "99999" is not a port/);
    assert.deepEqual(counts, { watched: 1, broken: 1, tooLarge: 0 });
    writeFileSync(path, '');
    await logged(/e\.yaml:1:1: is empty; write \[\] for no endpoints/);
    rmSync(path);
    await logged(/e\.yaml: does not exist/);
    mkdirSync(path);
    await logged(/e\.yaml: is a directory/);
    rmSync(path, { recursive: true });
    writeFileSync(at('latin1'), Buffer.from('# \xe9\n', 'latin1'));
    renameSync(at('latin1'), path);
    await logged(/e\.yaml: is not UTF-8 text/);
    writeFileSync(path, `# ${'x'.repeat(2 ** 20)}\n`);
    await logged(/e\.yaml: has \d+, more than discovery\.maxFileSize \(1MiB\)/);
    assert.equal(counts.broken, 1);
    assert.ok(counts.tooLarge > 0);
    assert.deepEqual(reports, ['web: 10.0.0.1:80']);
    for (const line of logs)
      assert.match(line, /^error file of endpoints is not right; the endpoints that it named last stay in use: /);
    writeFileSync(path, '- 10.0.0.3:80\n');
    await reported('web: 10.0.0.3:80');
    assert.match(logs.at(-1) ?? '', /^info file of endpoints is right again/);
    assert.equal(counts.broken, 0);
    rmSync(path);
    await until(() => counts.broken === 1);
    stop();
    assert.equal(counts.watched, 0);
    assert.equal(counts.broken, 0);
  });

  it('may be missing, or wrong, at the start: there are no endpoints until it is right', async () => {
    const { at, file } = directory();
    const { reports, watch, reported, logs } = setUp();
    const missing = watch(at('later.yaml'));
    const broken = watch(file('broken.yaml', '- nonsense\n'), null, 'other');
    assert.deepEqual(reports, ['web: ', 'other: ']);
    assert.equal(logs.length, 2);
    assert.match(logs[0], /its services have no endpoints from it until it is: .*later\.yaml: does not exist/);
    assert.match(logs[1], /broken\.yaml:1:3: \[0\]: "nonsense" has no port/);
    file('later.yaml', '- 10.0.0.1:80\n');
    await reported('web: 10.0.0.1:80');
    file('broken.yaml', '- 10.0.0.2:80\n');
    await reported('other: 10.0.0.2:80');
    missing.stop();
    broken.stop();
  });

  it('is found by polling where its directory did not exist, or was replaced', async () => {
    const { at } = directory();
    const { watch, reported } = setUp(20);
    const { stop } = watch(at('later/e.yaml'));
    mkdirSync(at('later'));
    writeFileSync(at('later/e.yaml'), '- 10.0.0.1:80\n');
    await reported('web: 10.0.0.1:80');
    mkdirSync(at('next'));
    writeFileSync(at('next/e.yaml'), '- 10.0.0.2:80\n');
    renameSync(at('later'), at('old'));
    renameSync(at('next'), at('later'));
    await reported('web: 10.0.0.2:80');
    stop();
  });

  it('is read once for all services that share it, each with its list', async () => {
    const { file } = directory();
    const path = file('e.yaml', 'a:\n- 10.0.0.1:80\nb:\n- 10.0.0.2:80\n');
    const { reports, watch, until, logged, logs, source, counts } = setUp();
    const stops = [watch(path, 'a', 'a'), watch(path, 'b', 'b'), watch(path, 'c', 'c')];
    assert.deepEqual(reports, ['a: 10.0.0.1:80', 'b: 10.0.0.2:80', 'c: ']);
    assert.equal(source.directories, 1);
    assert.match(logs[0], /has no list for a service.*e\.yaml: has no list "c"; did you mean "a"\?$/);
    assert.deepEqual(counts, { watched: 1, broken: 1, tooLarge: 0 });
    // Only b's list goes: the others are not harmed, and b keeps what it had.
    writeFileSync(path, 'a:\n- 10.0.0.3:80\nc: []\n');
    await logged(/has no list "b"/);
    await until(() => reports.length === 5);
    assert.deepEqual(reports.slice(3), ['a: 10.0.0.3:80', 'c: ']);
    assert.equal(counts.broken, 1);
    stops[1].stop();
    assert.equal(counts.broken, 0);
    for (const { stop } of stops) stop();
    assert.equal(source.directories, 0);
    assert.deepEqual(counts, { watched: 0, broken: 0, tooLarge: 0 });
  });

  it('is not reported any more after it is stopped', async () => {
    const { file } = directory();
    const path = file('e.yaml', 'a: []\nb: []\n');
    const { reports, watch, until } = setUp();
    const a = watch(path, 'a', 'a');
    const b = watch(path, 'b', 'b');
    a.stop();
    a.stop();
    writeFileSync(path, 'a:\n- 10.0.0.1:80\nb:\n- 10.0.0.2:80\n');
    await until(() => reports.length > 2);
    assert.deepEqual(reports, ['a: ', 'b: ', 'b: 10.0.0.2:80']);
    b.stop();
  });

  it('is read again when the limit that it exceeded is raised', async () => {
    const { file } = directory();
    const path = file('e.yaml', `# ${'x'.repeat(100)}\n- 10.0.0.1:80\n`);
    const { reports, watch, reported, limits } = setUp(20, 50);
    const { stop } = watch(path);
    assert.deepEqual(reports, ['web: ']);
    limits.maxFileBytes = 1000;
    await reported('web: 10.0.0.1:80');
    stop();
  });

  it('takes one watch of the kernel for a directory with thousands of files, and finds each change', async () => {
    const { file } = directory();
    const { reports, watch, reported, source } = setUp();
    const paths = Array.from({ length: 2000 }, (_, i) => file(`s${i}.yaml`, `- 10.0.${i >> 8}.${i & 255}:80\n`));
    const watches = paths.map((path, i) => watch(path, null, `s${i}`));
    assert.equal(reports.length, 2000);
    assert.equal(source.directories, 1);
    writeFileSync(paths[1234], '- 10.9.9.9:80\n');
    await reported('s1234: 10.9.9.9:80');
    assert.equal(reports.length, 2001);
    for (const { stop } of watches) stop();
  });

  it('is polled in turns where there are thousands', () => {
    const { at } = directory();
    let polls: (() => void)[] = [];
    const source = new FileSource({
      logger: { info: () => {}, warn: () => {}, error: () => {} },
      limits: () => ({ maxFileBytes: 1000, pollMs: 77 }),
      counts: { watched: 0, broken: 0, tooLarge: 0 },
      timers: {
        set: (callback, delayMs) => {
          if (delayMs === 77) polls.push(callback);
          return nodeTimers.set(() => {}, 0);
        },
        clear: () => {},
      },
    });
    let reports = 0;
    const watches = Array.from({ length: 600 }, (_, i) =>
      source.watch(
        {
          service: 's',
          source: { kind: 'file', path: at(`${i}.yaml`), key: null },
          minTtlMs: 1,
          maxTtlMs: 1,
          known: null,
        },
        () => reports++,
      ),
    );
    assert.equal(reports, 600);
    for (let i = 0; i < 600; i++) writeFileSync(at(`${i}.yaml`), '- 10.0.0.1:80\n');
    const seen: number[] = [];
    for (let poll = 0; poll < 4; poll++) {
      assert.equal(polls.length, 1);
      const [fire] = polls;
      polls = [];
      fire();
      seen.push(reports - 600);
    }
    assert.deepEqual(seen, [256, 512, 600, 600]);
    for (const { stop } of watches) stop();
  });
});
