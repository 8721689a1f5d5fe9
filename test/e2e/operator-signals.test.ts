import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  availableExecutors,
  type Executor,
  eventually,
  type LogLine,
  type Sluice,
  startSluice,
} from '../support/sluice.js';
import { basicConfig, httpOrigin, open } from './lifecycle-support.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sluice-signals-'));
const started: Sluice[] = [];
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

async function start(yaml: string, io: Executor): Promise<Sluice> {
  const proxy = await startSluice(yaml, io);
  started.push(proxy);
  return proxy;
}

const proc = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
};

/** Node's inspector would say so on stderr, and listen. */
function noInspector(proxy: Sluice): void {
  assert.deepEqual(
    proxy.log.filter(({ level }) => level === 'raw'),
    [],
  );
}

const states = (proxy: Sluice): LogLine[] => proxy.log.filter(({ message }) => message === 'state');

for (const io of await availableExecutors()) {
  test(`${io}: SIGUSR1 logs a summary and opens no inspector, SIGUSR2 ends nothing`, async () => {
    const origin = await httpOrigin();
    const proxy = await start(basicConfig(origin.port, 'workers: 2\n'), io);
    const client = await open(proxy.port('edge'));
    assert.equal((await client.get()).status, 200);
    await eventually(async () => (await proxy.metric('sluice_slab_buffers')) > 0, 'the first sample');
    for (const signal of ['SIGUSR2', 'SIGUSR1'] as const) proxy.child.kill(signal);
    const state = await proxy.logged(({ message }) => message === 'state');
    assert.equal(state.phase, 'serving');
    assert.equal(state.executor, io);
    assert.equal(state.pid, proxy.pid);
    assert.deepEqual(state.workers, { ready: 2, of: 2 });
    assert.deepEqual(state.services, { ready: 1, of: 1 });
    assert.deepEqual(state.endpoints, { ready: 1, of: 1 });
    assert.deepEqual(state.connections, { clients: 1, endpoints: 1 });
    const { slab, memory, descriptors } = state as unknown as Record<string, Record<string, number>>;
    assert.ok(slab.free > 0 && slab.free <= slab.buffers);
    assert.ok(memory.rss > 0);
    assert.ok(descriptors.open > 10 && descriptors.open < descriptors.limit);
    assert.equal((await client.get()).status, 200, 'the same connection goes on');
    noInspector(proxy);
    client.destroy();
    assert.equal(await proxy.stop(), 0);
    await origin.close();
  });

  test(`${io}: signals while it drains change nothing, and SIGUSR1 says that it does`, async () => {
    const origin = await httpOrigin();
    const proxy = await start(basicConfig(origin.port), io);
    const client = await open(proxy.port('edge'));
    assert.equal((await client.get()).status, 200);
    proxy.child.kill('SIGQUIT');
    await proxy.logged(({ message }) => message === 'draining');
    for (const signal of ['SIGUSR2', 'SIGUSR1'] as const) proxy.child.kill(signal);
    await eventually(() => states(proxy).some(({ phase }) => phase === 'draining'), 'a state that says draining');
    noInspector(proxy);
    client.destroy();
    await proxy.stop();
    await origin.close();
  });
}

test('it is called sluice: pidof, pkill -x and ps know it by that name', async () => {
  const origin = await httpOrigin();
  const proxy = await start(basicConfig(origin.port), 'epoll');
  assert.equal(proc(proxy.pid, 'comm'), 'sluice\n');
  assert.match(proc(proxy.pid, 'cmdline'), /^sluice\0*$/);
  if (existsSync('/usr/bin/pidof'))
    assert.ok(execFileSync('pidof', ['sluice'], { encoding: 'utf8' }).split(/\s+/).includes(`${proxy.pid}`));
  if (existsSync('/usr/bin/pkill')) {
    execFileSync('pkill', ['-HUP', '-x', '-P', `${process.pid}`, 'sluice']);
    await proxy.logged(({ message }) => message === 'reloaded');
  }
  assert.equal(await proxy.stop(), 0);
  await origin.close();
});

test('signals hurt nobody from the moment that it has its name', async () => {
  const origin = await httpOrigin();
  const file = join(directory, 'early.yaml');
  writeFileSync(file, `admin: { listen: "127.0.0.1:0" }\n${basicConfig(origin.port)}`);
  const child = spawn(process.execPath, [MAIN, 'run', '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close');
  await eventually(() => proc(child.pid ?? 0, 'comm') === 'sluice\n', 'the name');
  for (let round = 0; round < 20; round++)
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) child.kill(signal);
  await eventually(() => /"message":"accepting"/.test(stderr), 'the start');
  child.kill('SIGINT');
  assert.deepEqual(await ended, [0, null]);
  assert.doesNotMatch(stderr, /^[^{]/m, stderr);
  await origin.close();
});
