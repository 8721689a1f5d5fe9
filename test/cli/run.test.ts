import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { EngineHandle, SignalName } from '../../src/cli/run.js';
import { supervise } from '../../src/cli/run.js';
import type { Config } from '../../src/config/model.js';
import { ConfigError } from '../../src/config/problem.js';
import type { LogLevel } from '../../src/config/telemetry-model.js';
import { createLogger } from '../../src/log/logger.js';

const config = (level: LogLevel = 'info') => ({ file: '/x.yaml', log: { level, access: false } }) as Config;

/** An engine that writes down what it is told, and closes when the test says so. */
class FakeEngine implements EngineHandle {
  readonly calls: string[] = [];
  readonly closed: Promise<{ code: number }>;
  close = (_: { code: number }): void => undefined;
  onReload = async (): Promise<void> => undefined;
  onDrain = async (): Promise<void> => undefined;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.close = resolve;
    });
  }
  reload(next: Config): Promise<void> {
    this.calls.push(`reload ${next.log.level}`);
    return this.onReload();
  }
  drain(options: { holdMs?: number } = {}): Promise<void> {
    this.calls.push(`drain ${options.holdMs ?? 'default'}`);
    return this.onDrain();
  }
  state(): { phase: string } {
    return { phase: 'serving' };
  }
  async kill(): Promise<void> {
    this.calls.push('kill');
    this.close({ code: 0 });
  }
}

/** Lets everything that is ready run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function harness(load: () => Config | Promise<Config> = () => config()) {
  const engine = new FakeEngine();
  const emitter = new EventEmitter();
  const lines: { level: string; message: string; [field: string]: unknown }[] = [];
  const logger = createLogger({ write: (line) => lines.push(JSON.parse(line)) });
  const start = { go: (): void => undefined, fail: (_: Error): void => undefined };
  const started = new Promise<EngineHandle>((resolve, reject) => {
    start.go = () => resolve(engine);
    start.fail = reject;
  });
  let hurry: AbortSignal | undefined;
  const begin = (_config: Config, _logger: unknown, signal: AbortSignal): Promise<EngineHandle> => {
    hurry = signal;
    return started;
  };
  const code = supervise(load, begin, emitter, logger);
  const signal = (name: SignalName): void => {
    emitter.emit(name);
  };
  const running = async (): Promise<void> => {
    start.go();
    await settle();
  };
  const hurried = (): boolean => hurry?.aborted === true;
  return { engine, lines, logger, start, code, signal, running, hurried };
}

test('SIGTERM drains with the configured hold, and the engine gives the exit code', async () => {
  for (const expected of [0, 1]) {
    const { engine, code, signal, running } = harness();
    await running();
    signal('SIGTERM');
    engine.close({ code: expected });
    assert.equal(await code, expected);
    assert.deepEqual(engine.calls, ['drain default']);
  }
});

test('SIGINT drains without the hold', async () => {
  const { engine, code, signal, running } = harness();
  await running();
  signal('SIGINT');
  engine.close({ code: 0 });
  assert.equal(await code, 0);
  assert.deepEqual(engine.calls, ['drain 0']);
});

test('a second signal kills once and exits 1', async () => {
  const { engine, code, signal, running } = harness();
  await running();
  signal('SIGTERM');
  signal('SIGINT');
  signal('SIGINT');
  assert.equal(await code, 1);
  assert.deepEqual(engine.calls, ['drain default', 'kill']);
});

test('a drain that fails ends in a kill', async () => {
  const { engine, code, signal, running, lines } = harness();
  engine.onDrain = () => Promise.reject(new Error('no'));
  await running();
  signal('SIGTERM');
  assert.equal(await code, 1);
  assert.deepEqual(engine.calls, ['drain default', 'kill']);
  assert.ok(lines.some(({ message, reason }) => /drain failed/.test(message) && reason === 'no'));
});

test('a signal during the start hurries it, waits for it, then drains without the hold', async () => {
  const { engine, code, signal, running, hurried } = harness();
  await settle();
  assert.equal(hurried(), false);
  signal('SIGTERM');
  assert.equal(hurried(), true);
  assert.deepEqual(engine.calls, []);
  await running();
  assert.deepEqual(engine.calls, ['drain 0']);
  engine.close({ code: 0 });
  assert.equal(await code, 0);
});

test('a signal while the configuration is read ends it at once', async () => {
  const { engine, code, signal, lines } = harness(() => new Promise<Config>(() => undefined));
  await settle();
  signal('SIGTERM');
  assert.equal(await code, 0);
  assert.deepEqual(engine.calls, []);
  assert.ok(lines.some(({ message }) => message === 'stopped before the configuration was read'));
});

test('two signals during the start abandon it', async () => {
  const { engine, code, signal } = harness();
  await settle();
  signal('SIGINT');
  signal('SIGINT');
  assert.equal(await code, 1);
  assert.deepEqual(engine.calls, []);
});

test('a start that fails is the caller’s to report', async () => {
  const { code, start } = harness();
  start.fail(Object.assign(new Error('port 80 is in use'), { code: 'EADDRINUSE' }));
  await assert.rejects(code, /port 80 is in use/);
});

test('SIGHUP loads anew, hands it to the engine and takes over the log level', async () => {
  const levels: LogLevel[] = ['warn', 'debug'];
  const { engine, code, signal, running, logger, lines } = harness(() => config(levels.shift()));
  await running();
  assert.equal(logger.level, 'warn');
  signal('SIGHUP');
  await settle();
  assert.deepEqual(engine.calls, ['reload debug']);
  assert.equal(logger.level, 'debug');
  assert.ok(lines.some(({ message }) => message === 'reloaded'));
  engine.close({ code: 0 });
  assert.equal(await code, 0);
});

test('SIGHUP during the start reloads once it is over: the file may have been read before it was changed', async () => {
  const { engine, code, signal, running } = harness();
  signal('SIGHUP');
  signal('SIGHUP');
  await running();
  assert.deepEqual(engine.calls, ['reload info']);
  engine.close({ code: 0 });
  assert.equal(await code, 0);
});

test('SIGQUIT drains as SIGTERM does', async () => {
  const { engine, code, signal, running } = harness();
  await running();
  signal('SIGQUIT');
  engine.close({ code: 0 });
  assert.equal(await code, 0);
  assert.deepEqual(engine.calls, ['drain default']);
});

test('SIGUSR1 logs the state whatever the log level, during the start too; SIGUSR2 does nothing', async () => {
  const { engine, code, signal, running, lines } = harness(() => config('error'));
  signal('SIGUSR1');
  const [atStart] = lines;
  assert.equal(atStart.message, 'state');
  assert.equal(atStart.phase, 'starting');
  assert.ok(Number(atStart.uptimeSeconds) >= 0);
  await running();
  signal('SIGUSR1');
  signal('SIGUSR2');
  assert.equal(lines[1].phase, 'serving');
  assert.match(lines[2].message, /SIGUSR2 does nothing/);
  assert.deepEqual(engine.calls, []);
  engine.close({ code: 0 });
  assert.equal(await code, 0);
});

test('a reload with mistakes logs every one of them and changes nothing', async () => {
  const problem = (path: string) => ({ file: 'f', line: 1, column: 2, path, message: 'is wrong; mend it' });
  let loads = 0;
  const { engine, code, signal, running, lines, logger } = harness(() => {
    if (loads++ === 0) return config();
    throw new ConfigError([problem('a'), problem('b')]);
  });
  await running();
  signal('SIGHUP');
  await settle();
  assert.deepEqual(engine.calls, []);
  assert.equal(logger.level, 'info');
  assert.deepEqual(
    lines.map(({ level, message, problem, reason }) => ({ level, message, detail: problem ?? reason })),
    [
      { level: 'error', message: 'configuration problem', detail: 'f:1:2: a: is wrong; mend it' },
      { level: 'error', message: 'configuration problem', detail: 'f:1:2: b: is wrong; mend it' },
      { level: 'error', message: 'reload refused; the running configuration stays', detail: '2 problems' },
    ],
  );
  engine.close({ code: 0 });
  await code;
});

test('a reload that the engine refuses is logged and keeps the log level', async () => {
  const levels: LogLevel[] = ['info', 'debug'];
  const { engine, code, signal, running, lines, logger } = harness(() => config(levels.shift()));
  engine.onReload = () => Promise.reject(new Error('port in use'));
  await running();
  signal('SIGHUP');
  await settle();
  assert.equal(lines.at(-1)?.reason, 'port in use');
  assert.equal(logger.level, 'info');
  engine.close({ code: 0 });
  await code;
});

test('signals during a reload make exactly one more, for the newest file', async () => {
  const { engine, code, signal, running } = harness();
  let finish = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    finish = resolve;
  });
  engine.onReload = () => held;
  await running();
  signal('SIGHUP');
  signal('SIGHUP');
  signal('SIGHUP');
  await settle();
  assert.equal(engine.calls.length, 1);
  finish();
  await settle();
  assert.equal(engine.calls.length, 2);
  signal('SIGTERM');
  signal('SIGHUP');
  await settle();
  assert.deepEqual(engine.calls, ['reload info', 'reload info', 'drain default']);
  engine.close({ code: 0 });
  assert.equal(await code, 0);
});

test('what nobody caught is one JSON line, and exit code 1', () => {
  const log = new URL('../../src/log/logger.js', import.meta.url);
  const run = new URL('../../src/cli/run.js', import.meta.url);
  for (const crash of ["setImmediate(() => { throw new Error('ouch'); })", "Promise.reject(new Error('ouch'))"]) {
    const script = `import { createLogger } from '${log}'; import { exitWithError } from '${run}'; exitWithError(createLogger()); ${crash};`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    assert.equal(status, 1);
    const line = JSON.parse(stderr);
    assert.equal(line.message, 'internal error');
    assert.equal(line.error.message, 'ouch');
  }
});
