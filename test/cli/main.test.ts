import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const GOOD = `listeners: [{ name: edge, listen: "127.0.0.1:20500", service: web }]
services: { web: { endpoints: ["127.0.0.1:20501"] } }
`;

function write(name: string, text: string): string {
  writeFileSync(join(directory, name), text);
  return name;
}

/** Runs the real command in the scratch directory, without SLUICE_ variables of ours. */
function sluice(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_')));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...inherited, ...env },
  });
  return { status, stdout, stderr };
}

const good = write('good.yaml', GOOD);

test('the command is a script', () => {
  assert.match(readFileSync(main, 'utf8'), /^#!\/usr\/bin\/env node\n/);
});

test('check says that a right file is right, on stdout', () => {
  assert.deepEqual(sluice(['check', '-c', good]), {
    status: 0,
    stdout: 'good.yaml: ok (1 listener, 1 service)\n',
    stderr: '',
  });
  assert.equal(sluice(['check', `--config=${good}`]).status, 0);
});

test('check prints each mistake on a line of its own on stderr and exits 1', () => {
  const bad = write('bad.yaml', `workerz: 1\n${GOOD.replace('service: web', 'service: wep')}`);
  assert.deepEqual(sluice(['check', '-c', bad]), {
    status: 1,
    stdout: '',
    stderr:
      'bad.yaml:1:1: workerz: unknown key; did you mean "workers"?\n' +
      'bad.yaml:2:63: listeners[0].service: there is no service "wep"; did you mean "web"?\n',
  });
});

test('check reads the environment as run does', () => {
  const { status, stderr } = sluice(['check', '-c', good], { SLUICE_WORKER: '1', SLUICE_LOG_LEVEL: 'loud' });
  assert.equal(status, 1);
  assert.equal(
    stderr,
    'environment: SLUICE_WORKER: unknown variable; did you mean SLUICE_WORKERS?\n' +
      'environment: SLUICE_LOG_LEVEL: "loud" is unknown; expected one of error, warn, info, debug\n',
  );
});

test('check reads the files of endpoints, and places what is wrong with them', () => {
  write('right.yaml', 'web:\n- 10.0.0.1:80\n');
  write('wrong.yaml', '- 10.0.0.1:80\n- { address: "10.0.0.2" }\n');
  const listeners = 'listeners: [{ name: out, listen: "127.0.0.1:20500", originalDestination: true }]\n';
  const files = write(
    'files.yaml',
    `${listeners}services:
  a: { endpoints: { file: right.yaml, key: web } }
  b: { endpoints: ["10.0.0.1:1", { file: wrong.yaml }] }
  c: { endpoints: ["10.0.0.1:1", { file: missing.yaml }] }
  d: { endpoints: { file: right.yaml, key: wep } }
  e: { endpoints: { file: wrong.yaml } }
  f: { endpoints: { file: missing.yaml } }
`,
  );
  const { status, stderr } = sluice(['check', '-c', files]);
  assert.equal(status, 1);
  assert.deepEqual(stderr.trimEnd().split('\n'), [
    'wrong.yaml:2:3: [1].address: "10.0.0.2" has no port; write "10.0.0.2:8080"',
    'files.yaml:5:42: services.c.endpoints[1].file: missing.yaml does not exist; create it, or correct the path',
    'files.yaml:6:44: services.d.endpoints.key: right.yaml has no list "wep"; did you mean "web"?',
  ]);
  const right = write(
    'files-right.yaml',
    `${listeners}services: { a: { endpoints: { file: right.yaml, key: web } } }\n`,
  );
  assert.equal(sluice(['check', '-c', right]).status, 0);
});

test('explain says where a redirected connection goes', () => {
  const redirecting = write(
    'redirect.yaml',
    `listeners: [{ name: out, listen: "127.0.0.1:20500", originalDestination: true }]
services: { web: { match: ["10.0.0.0/8:80"], endpoints: ["127.0.0.1:20501"] } }
`,
  );
  assert.match(
    sluice(['explain', '-c', redirecting, '10.0.0.7:80']).stdout,
    /^10\.0\.0\.7:80: detect\n {2}listener {3}out\n {2}service {4}web\n {2}endpoints {2}127\.0\.0\.1:20501\n/,
  );
  assert.match(
    sluice(['explain', '-c', redirecting, '--listener', 'out', '192.0.2.1:5432']).stdout,
    /^192\.0\.2\.1:5432: opaque \(default-port\)\n {2}listener {3}out\n {2}service {4}none\n {2}endpoints {2}192\.0\.2\.1:5432\n/,
  );
});

test('a missing file is one clear line', () => {
  assert.deepEqual(sluice(['check', '-c', 'nowhere.yaml']), {
    status: 1,
    stdout: '',
    stderr: 'nowhere.yaml: there is no such file; check the path given with -c\n',
  });
});

test('wrong usage exits 2 and points at the help', () => {
  const cases: [string[], RegExp][] = [
    [['chek'], /^sluice: unknown command chek; did you mean "check"\?\nTry: sluice --help\n$/],
    [
      ['identity', 'dve'],
      /^sluice identity: unknown command dve; did you mean "dev"\?\nTry: sluice identity --help\n$/,
    ],
    [['--verbose'], /^sluice: unknown option --verbose; /],
    [['check', '--pre', '-c', good], /^sluice check: --pre does not apply to -c\nTry: sluice check --help\n$/],
    [['check', '-c'], /^sluice check: -c needs a value\n/],
    [['check', '-c', '-'], /^sluice check: -c -: the standard input is not read; /],
    [['run', '-c', '--io', 'epoll'], /^sluice run: -c needs a value\n/],
    [['check', '-c', good, '-c', good], /--config is given twice/],
    [['check', '--confg', good], /unknown option --confg; did you mean "--config"\?/],
    [['check', '-c', good, 'extra'], /unexpected argument "extra"/],
    [['explain', '-c', good, '--json=yes', 'a:1'], /--json takes no value/],
    [['explain', '-c', good], /which destination\? add HOST:PORT/],
    [['explain', '-c', good, 'nowhere'], /"nowhere" has no port; write "nowhere:8080"/],
    [['explain', '-c', good, '::1:80'], /put the IPv6 address in brackets/],
    [['version', 'x'], /unexpected argument "x"/],
    [['run', '-c', good, '--workers', '99'], /^command line: --workers: found 99; write a whole number from 1 to 64/],
    [['run', '-c', good, '--io', 'urin'], /^command line: --io: "urin" is unknown; did you mean "uring"\?/],
  ];
  for (const [args, expected] of cases) {
    const { status, stdout, stderr } = sluice(args);
    assert.match(stderr, expected);
    assert.equal(status, 2, args.join(' '));
    assert.equal(stdout, '');
  }
});

test('no arguments at all show the help, as wrong usage', () => {
  const { status, stdout, stderr } = sluice([]);
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /Usage: sluice COMMAND/);
});

test('the help of every command teaches with examples, on stdout', () => {
  for (const args of [['--help'], ['-h'], ['help']]) {
    const { status, stdout } = sluice(args);
    assert.equal(status, 0);
    for (const command of ['run', 'check', 'explain', 'identity', 'version'])
      assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
  }
  for (const command of ['run', 'check', 'explain', 'identity', 'identity dev', 'identity serve', 'version']) {
    const long = sluice([...command.split(' '), '--help']);
    assert.equal(long.status, 0);
    assert.match(long.stdout, new RegExp(`^Usage: sluice ${command}`));
    assert.match(long.stdout, /^Examples?:\n {2}\S/m);
    assert.ok(long.stdout.split('\n').every((line) => line.length <= 120));
  }
  assert.equal(sluice(['help', 'run']).stdout, sluice(['run', '-h']).stdout);
  assert.equal(sluice(['help', 'identity', 'dev']).stdout, sluice(['identity', 'dev', '-h']).stdout);
  const incomplete = sluice(['identity']);
  assert.deepEqual([incomplete.status, incomplete.stdout], [2, '']);
  assert.match(incomplete.stderr, /^Usage: sluice identity COMMAND/);
});

test('run prints mistakes of the configuration for people, not as JSON', () => {
  const bad = write('run.yaml', GOOD.replace('20500', '99999'));
  const { status, stdout, stderr } = sluice(['run', '-c', bad]);
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.equal(stderr, 'run.yaml:1:35: listeners[0].listen: "99999" is not a port; write a number from 0 to 65535\n');
});

test('explain answers in text and in JSON', () => {
  const text = sluice(['explain', '-c', good, '127.0.0.1:20500']);
  assert.equal(text.status, 0, text.stderr);
  assert.match(
    text.stdout,
    /^127\.0\.0\.1:20500: detect\n {2}listener {3}edge\n {2}service {4}web\n {2}endpoints {2}127\.0\.0\.1:20501\nWhy:\n {2}1\. /,
  );
  const json = sluice(['explain', '--json', '--config', good, '127.0.0.1:20500']);
  const explanation = JSON.parse(json.stdout);
  assert.equal(explanation.listener, 'edge');
  assert.ok(explanation.steps.length > 0);
  assert.equal(json.stdout.trimEnd().split('\n').length, 1);
});

test('explain says that nobody takes a connection', () => {
  assert.match(
    sluice(['explain', '-c', good, '127.0.0.1:1']).stdout,
    /^127\.0\.0\.1:1: none \(no-listener\)\n {2}listener {3}none\n/,
  );
});

test('version names Sluice, Node and the executor, native module or not', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  for (const args of [['version'], ['--version'], ['-v']]) {
    const { status, stdout } = sluice(args);
    assert.equal(status, 0);
    const lines = stdout.split('\n');
    assert.equal(lines[0], `sluice ${version}`);
    assert.equal(lines[1], `node ${process.version} (${process.platform}-${process.arch})`);
    assert.match(lines[2], /^io (uring|epoll|not available: )/);
  }
});

test('a reader of stdout that leaves early is no failure', () => {
  const command = `"${process.execPath}" "${main}" --help | true`;
  const { status, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', command], { encoding: 'utf8' });
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('a result that the standard output does not take is a failure, and said', () => {
  const full = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(process.execPath, [main, '--help'], {
    encoding: 'utf8',
    stdio: ['ignore', full, 'pipe'],
  });
  closeSync(full);
  assert.equal(status, 1);
  assert.match(stderr, /^sluice: the standard output could not be written: .*ENOSPC/);
});
