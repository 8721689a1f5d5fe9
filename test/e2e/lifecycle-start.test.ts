import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '../support/servers.js';
import { availableExecutors, eventually, startSluice } from '../support/sluice.js';
import { refuses } from '../support/tcp.js';
import { basicConfig, httpOrigin, listening, open } from './lifecycle-support.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const NO_URING = fileURLToPath(new URL('../../../native/test/no-uring.c', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sluice-start-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function configFile(name: string, yaml: string): string {
  const file = join(directory, name);
  writeFileSync(file, yaml);
  return file;
}

/** Runs a command to its end. */
async function run(
  program: string,
  args: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

const sluice = (...args: string[]) => run(process.execPath, [MAIN, ...args]);

const two = (first: number, second: number, endpoint = '127.0.0.1:9'): string =>
  `admin: { listen: "127.0.0.1:0" }\nlisteners:\n  - { name: first, listen: "127.0.0.1:${first}", service: web }\n` +
  `  - { name: second, listen: "127.0.0.1:${second}", service: web }\nservices: { web: { endpoints: ["${endpoint}"] } }\n`;

for (const io of await availableExecutors()) {
  test(`${io}: a proxy says that it is ready when every listener accepts, and what it listens on`, async () => {
    const origin = await httpOrigin();
    const proxy = await startSluice(basicConfig(origin.port, 'workers: 2\n'), io);
    assert.equal((await fetch(`http://127.0.0.1:${proxy.adminPort}/ready`)).status, 200);
    const client = await open(proxy.port('edge'));
    assert.equal((await client.get()).status, 200);
    client.destroy();
    const accepting = proxy.log.find((line) => line.message === 'accepting');
    assert.equal(accepting?.executor, io);
    assert.equal(accepting?.workers, 2);
    assert.equal(await proxy.stop(), 0);
    await origin.close();
  });

  test(`${io}: a start that fails says why in one line, exits 1 and leaves nothing listening`, async (t) => {
    const taken = createServer();
    const takenPort = await listening(taken);
    const free = await freePort();
    const cases: Record<string, { yaml: string; says: RegExp }> = {
      'a port in use': {
        yaml: two(free, takenPort),
        says: new RegExp(
          `^sluice run: listener second: 127\\.0\\.0\\.1:${takenPort} is in use by another process; .*listeners\\[1\\]\\.listen\\n$`,
        ),
      },
      'a port of a sidecar in use': {
        yaml: `admin: { listen: "127.0.0.1:0" }\nsidecar: { enabled: true, inbound: 0, outbound: ${takenPort} }\n`,
        says: new RegExp(
          `^sluice run: listener outbound: 127\\.0\\.0\\.1:${takenPort} is in use by another process; .*write another port in sidecar\\.outbound \\(or SLUICE_SIDECAR_OUTBOUND; of an injected pod, the annotation config\\.linkerd\\.io/outbound-port\\)\\n$`,
        ),
      },
      'a port of the admin server in use': {
        yaml: two(free, 0).replace('127.0.0.1:0', `127.0.0.1:${takenPort}`),
        says: new RegExp(`^sluice run: cannot listen for admin on 127\\.0\\.0\\.1:${takenPort}: .*\\n$`),
      },
      'an address of another machine': {
        yaml: two(free, free + 1).replace(`127.0.0.1:${free + 1}`, `192.0.2.1:${free + 1}`),
        says: /^sluice run: listener second: 192\.0\.2\.1:\d+: this machine does not have that address\n$/,
      },
    };
    for (const [name, { yaml, says }] of Object.entries(cases)) {
      await t.test(name, async () => {
        const { code, stdout, stderr } = await sluice('run', '-c', configFile('fails.yaml', yaml), '--io', io);
        assert.match(stderr, says);
        assert.equal(stdout, '');
        assert.equal(code, 1);
        assert.equal(await refuses(free), true);
      });
    }
    taken.close();
  });
}

test('a file that is not there, or has mistakes, is one message with the place', async () => {
  const missing = await sluice('run', '-c', join(directory, 'missing.yaml'));
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /missing\.yaml/);
  const wrong = await sluice('run', '-c', configFile('wrong.yaml', 'listeners: []\nservices: {}\n'));
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /wrong\.yaml:1/);
});

test('run, check, explain and version work end to end', async () => {
  const port = await freePort();
  const file = configFile('good.yaml', two(port, 0));
  assert.equal((await sluice('check', '-c', file)).code, 0);
  const version = await sluice('version');
  assert.equal(version.code, 0);
  assert.match(version.stdout, /\d+\.\d+\.\d+/);
  const explained = await sluice('explain', '-c', file, `127.0.0.1:${port}`);
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(explained.stdout, /first/);
});

const compiler = spawnSync('cc', ['-o', join(directory, 'no-uring'), NO_URING], { encoding: 'utf8' });
const noCompiler = compiler.status === 0 ? false : `no C compiler: ${compiler.stderr ?? compiler.error?.message ?? ''}`;

test('where io_uring is refused, asking for it fails with a clear message', { skip: noCompiler }, async () => {
  const port = await freePort();
  const file = configFile('uring.yaml', two(port, 0));
  const { code, stderr } = await run(join(directory, 'no-uring'), [
    process.execPath,
    MAIN,
    'run',
    '-c',
    file,
    '--io',
    'uring',
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /^sluice run: .*io_uring_setup.*EPERM.*\n$/);
  assert.equal(await refuses(port), true);
});

test('where io_uring is refused, auto takes epoll and logs why', { skip: noCompiler }, async () => {
  const origin = await httpOrigin();
  const file = configFile('auto.yaml', `admin: { listen: "127.0.0.1:0" }\n${basicConfig(origin.port)}`);
  const child = spawn(join(directory, 'no-uring'), [process.execPath, MAIN, 'run', '-c', file], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8');
  for await (const chunk of child.stderr as AsyncIterable<string>) {
    text += chunk;
    if (text.includes('"accepting"')) break;
  }
  const accepting = text.split('\n').find((line) => line.includes('"accepting"'));
  const { executor, why } = JSON.parse(accepting ?? '{}') as { executor: string; why: string };
  assert.equal(executor, 'epoll');
  assert.match(why, /io_uring_setup: EPERM/);
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  await origin.close();
});

test('where only a part of io_uring is refused, it is as if all of it were', { skip: noCompiler }, async () => {
  const origin = await httpOrigin();
  const under = [join(directory, 'no-uring'), '--enter'];
  const proxy = await startSluice(basicConfig(origin.port), 'auto', {}, under);
  const accepting = proxy.log.find((line) => line.message === 'accepting');
  assert.equal(accepting?.executor, 'epoll');
  assert.match(String(accepting.why), /^io_uring_enter: EPERM/);
  const client = await open(proxy.port('edge'));
  assert.equal((await client.get()).status, 200);
  client.destroy();
  assert.equal(await proxy.stop(), 0);
  await origin.close();
  await assert.rejects(startSluice(basicConfig(origin.port), 'uring', {}, under), /io_uring_enter: EPERM/);
});

test('a configuration may come through a FIFO, and waiting for its writer can be ended', async () => {
  const origin = await httpOrigin();
  const fifo = join(directory, 'fifo.yaml');
  assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
  const begin = () => {
    const child = spawn(process.execPath, [MAIN, 'run', '-c', fifo], {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: { ...process.env, SLUICE_WARMUP: 'off' },
    });
    const state = { child, text: '' };
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      state.text += chunk;
    });
    return state;
  };
  const waits = begin();
  // It answers this one as soon as it waits.
  const asking = setInterval(() => waits.child.kill('SIGUSR1'), 100);
  await eventually(() => waits.text.includes('"phase":"starting"'), 'it hears signals');
  clearInterval(asking);
  waits.child.kill('SIGTERM');
  assert.deepEqual(await once(waits.child, 'exit'), [0, null]);
  assert.match(waits.text, /stopped before the configuration was read/);
  const served = begin();
  const yaml = `admin: { listen: "127.0.0.1:0" }\n${basicConfig(origin.port)}`;
  // In two pieces, with a pause between them.
  const write = `printf %s "$1" | { head -c 40; sleep 0.2; cat; } > "$2"`;
  spawn('sh', ['-c', write, 'sh', yaml, fifo], { stdio: 'inherit' });
  await eventually(() => served.text.includes('"accepting"'), served.text);
  served.child.kill('SIGINT');
  assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  await origin.close();
});

const unshare = spawnSync('unshare', ['-m', 'true']).status === 0;

test('without /proc it starts, and warms up', { skip: !unshare && 'may not mount' }, async () => {
  const origin = await httpOrigin();
  const under = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$0" "$@"'];
  const proxy = await startSluice(basicConfig(origin.port), 'auto', { SLUICE_WARMUP: 'auto' }, under);
  assert.deepEqual(
    proxy.log.filter(({ level }) => level === 'warn').filter(({ message }) => message.includes('warm-up')),
    [],
  );
  assert.ok((await proxy.metric('sluice_warmup_requests')) > 0);
  assert.equal(await proxy.stop(), 0);
  await origin.close();
});

test('it starts in a directory that has been removed, and says what it can not find there', async () => {
  const origin = await httpOrigin();
  const gone = ['sh', '-c', 'd=$(mktemp -d) && cd "$d" && rmdir "$d" && exec "$0" "$@"'];
  const proxy = await startSluice(basicConfig(origin.port), 'auto', {}, gone);
  const client = await open(proxy.port('edge'));
  assert.equal((await client.get()).status, 200);
  client.destroy();
  proxy.reload(basicConfig(origin.port));
  await proxy.logged(({ message }) => message === 'reloaded');
  assert.equal(await proxy.stop(), 0);
  await origin.close();
  const [program, ...args] = [...gone, process.execPath, MAIN, 'run', '-c', 'relative.yaml'];
  const relative = await run(program, args);
  assert.equal(relative.stderr, 'relative.yaml: there is no such file; check the path given with -c\n');
  assert.equal(relative.code, 1);
});

test('limits that are too low to start are named', { skip: spawnSync('prlimit').error?.message }, async () => {
  const file = configFile('limits.yaml', two(await freePort(), 0));
  const { code, stderr } = await run('prlimit', ['--nofile=24', process.execPath, MAIN, 'run', '-c', file]);
  assert.equal(code, 1);
  assert.match(stderr, /^sluice run: .*EMFILE.*; raise the limit of open files: ulimit -n 1024, .*\n$/m);
});

test('it serves as a user without privileges', {
  skip: process.getuid?.() !== 0 && 'the other tests run unprivileged already',
}, async () => {
  const origin = await httpOrigin();
  const file = configFile('nobody.yaml', `admin: { listen: "127.0.0.1:0" }\n${basicConfig(origin.port)}`);
  chmodSync(directory, 0o755);
  for (const io of await availableExecutors()) {
    const child = spawn(
      'setpriv',
      [
        '--reuid',
        '65534',
        '--regid',
        '65534',
        '--clear-groups',
        '--no-new-privs',
        '--bounding-set',
        '-all',
        process.execPath,
        MAIN,
        'run',
        '-c',
        file,
        '--io',
        io,
      ],
      { stdio: ['ignore', 'inherit', 'pipe'] },
    );
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    while (!text.includes('"accepting"')) {
      assert.equal(child.exitCode, null, text);
      await once(child.stderr, 'data');
    }
    const port = Number(/edge=127\.0\.0\.1:(\d+)/.exec(text)?.[1]);
    const client = await open(port);
    assert.equal((await client.get()).status, 200);
    client.destroy();
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  }
  await origin.close();
});
