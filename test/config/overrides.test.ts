import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variableName, variables } from '../../src/config/overrides.js';
import { formatProblem } from '../../src/config/problem.js';
import { load, problemsOf, withBasics } from './support.js';

const FILE = withBasics('workers: 2\nio: uring\nlog: { level: warn }');
const messages = (env: NodeJS.ProcessEnv): string[] => problemsOf(() => load(FILE, env)).map(formatProblem);

test('variable names follow from the keys', () => {
  assert.equal(variableName(['limits', 'http1', 'headerTimeout']), 'SLUICE_LIMITS_HTTP1_HEADER_TIMEOUT');
  assert.equal(variableName(['limits', 'maxPipes']), 'SLUICE_LIMITS_MAX_PIPES');
  assert.equal(variableName(['io']), 'SLUICE_IO');
});

test('every scalar outside lists and maps of names has a variable, and no two share one', () => {
  const names = [...variables().keys()];
  for (const name of [
    'SLUICE_WORKERS',
    'SLUICE_IO',
    'SLUICE_ADMIN_LISTEN',
    'SLUICE_LOG_LEVEL',
    'SLUICE_LOG_ACCESS',
    'SLUICE_DRAIN_HOLD',
    'SLUICE_DETECT_LEARN_TTL',
  ]) {
    assert.ok(names.includes(name), name);
  }
  assert.equal(new Set(names).size, names.length);
  assert.ok(!names.some((name) => /^SLUICE_(LISTENERS|SERVICES|OPAQUE_PORTS)/.test(name)), String(names));
});

test('variables win over the file and over defaults', () => {
  const config = load(FILE, {
    SLUICE_WORKERS: '5',
    SLUICE_LOG_LEVEL: 'debug',
    SLUICE_LOG_ACCESS: 'true',
    SLUICE_LIMITS_HTTP1_HEADER_TIMEOUT: '3s',
    SLUICE_ADMIN_LISTEN: '[::1]:1',
  });
  assert.equal(config.workers, 5);
  assert.equal(config.io, 'uring');
  assert.deepEqual(config.log, { level: 'debug', access: true });
  assert.equal(config.limits.http1.headerTimeoutMs, 3000);
  assert.deepEqual(config.admin, { host: '::1', port: 1 });
});

test('flags win over variables', () => {
  const flag = { path: ['io'], value: 'epoll', source: 'command line', name: '--io' } as const;
  assert.equal(load(FILE, { SLUICE_IO: 'auto' }, [flag]).io, 'epoll');
  assert.equal(load(FILE, { SLUICE_IO: 'nonsense' }, [flag]).io, 'epoll');
});

test('a variable turns the admin port on and off', () => {
  assert.equal(load(FILE, { SLUICE_ADMIN_LISTEN: 'off' }).admin, null);
  assert.deepEqual(load(withBasics('admin: off'), { SLUICE_ADMIN_LISTEN: '127.0.0.1:5' }).admin, {
    host: '127.0.0.1',
    port: 5,
  });
});

test('an empty variable counts as unset, and other variables are nobody’s business', () => {
  assert.equal(load(FILE, { SLUICE_WORKERS: '', SLUICE_NONSENSE: '', PATH: '/bin' }).workers, 2);
});

test('a wrong value names its variable', () => {
  assert.deepEqual(messages({ SLUICE_WORKERS: '0' }), [
    'environment: SLUICE_WORKERS: found 0; write a whole number from 1 to 64, or auto for one per available core',
  ]);
  assert.match(messages({ SLUICE_DRAIN_HOLD: '5' })[0], /^environment: SLUICE_DRAIN_HOLD: 5 has no unit/);
  assert.match(messages({ SLUICE_LOG_ACCESS: 'yes' })[0], /^environment: SLUICE_LOG_ACCESS: found "yes"/);
});

test('an unknown variable is an error that names the nearest', () => {
  assert.deepEqual(messages({ SLUICE_WORKER: '1' }), [
    'environment: SLUICE_WORKER: unknown variable; did you mean SLUICE_WORKERS?',
  ]);
  assert.match(messages({ SLUICE_ZZZ: '1' })[0], /^environment: SLUICE_ZZZ: unknown variable; unset it/);
});

test('problems of the environment and of the file come together', () => {
  const lines = problemsOf(() => load(withBasics('workers: x'), { SLUICE_IOO: 'x', SLUICE_IO: 'x' })).map(
    ({ path }) => path,
  );
  assert.deepEqual(lines, ['SLUICE_IOO', 'SLUICE_IO', 'workers']);
});

test('a section of the wrong type stays an error of the file when a variable reaches into it', () => {
  const [problem] = problemsOf(() => load(withBasics('drain: 5'), { SLUICE_DRAIN_HOLD: '1s' }));
  assert.equal(problem.path, 'drain');
  assert.equal(problem.line, 1);
});

test('what Kubernetes says about Services called sluice is no mistake', () => {
  const links = {
    SLUICE_SERVICE_HOST: '10.0.0.1',
    SLUICE_SERVICE_PORT: '4191',
    SLUICE_SERVICE_PORT_ADMIN_HTTP: '4191',
    SLUICE_PORT: 'tcp://10.0.0.1:4191',
    SLUICE_PORT_4191_TCP: 'tcp://10.0.0.1:4191',
    SLUICE_PORT_4191_TCP_PROTO: 'tcp',
    SLUICE_PORT_4191_TCP_PORT: '4191',
    SLUICE_PORT_4191_TCP_ADDR: '10.0.0.1',
    SLUICE_WEB_SERVICE_HOST: '10.0.0.1',
    SLUICE_WEB_PORT_80_TCP: 'tcp://10.0.0.1:80',
  };
  assert.equal(load(FILE, links).workers, 2);
});
