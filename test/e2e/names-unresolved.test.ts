// Names that don't resolve hold up nobody: the rest is served, and what is missing is told of by its true reason.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { answering, exchange, upstream } from '../support/http.js';
import { MAIN } from '../support/logged-process.js';
import { freePort } from '../support/servers.js';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { refuses } from '../support/tcp.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-names-'));
/** Stands before Node's DNS: `silent.` names are never answered; others have what the file of that name says. */
const PRELOAD = join(directory, 'dns.cjs');
writeFileSync(
  PRELOAD,
  `const { readFileSync } = require('node:fs');
const dns = require('node:dns').promises;
const answer = (name) => {
  if (name.startsWith('silent.')) return new Promise(() => undefined);
  try { return Promise.resolve(readFileSync(${JSON.stringify(directory)} + '/' + name, 'utf8')); }
  catch { return Promise.reject(Object.assign(new Error('query ' + name), { code: 'ENOTFOUND' })); }
};
dns.Resolver.prototype.resolve4 = (name) => answer(name).then((address) => [{ address, ttl: 0 }]);
dns.Resolver.prototype.resolve6 = (name) => answer(name).then(() => []);
dns.lookup = (name) => answer(name).then((address) => [{ address, family: 4 }]);
`,
);
const started: Sluice[] = [];
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

const host = (name: string, address: string | null): void =>
  address === null ? rmSync(join(directory, name)) : writeFileSync(join(directory, name), address);

async function start(io: Executor, yaml: string): Promise<Sluice> {
  const sluice = await startSluice(yaml, io, { NODE_OPTIONS: `--require ${PRELOAD}` });
  started.push(sluice);
  return sluice;
}

const config = (services: Readonly<Record<string, string>>): string =>
  ['drain: { hold: 0 }', 'discovery: { startWait: 200ms }', 'listeners:']
    .concat(
      Object.keys(services).map(
        (name) => `  - { name: ${name}, listen: "127.0.0.1:0", protocol: http1, service: ${name} }`,
      ),
    )
    .concat('services:')
    .concat(
      Object.entries(services).map(
        ([name, endpoint]) =>
          `  ${name}: { protocol: http1, endpoints: ["${endpoint}"], dns: { minTtl: 10ms, maxTtl: 20ms } }`,
      ),
    )
    .join('\n');

test('a signal ends the wait for names at the start', async () => {
  const port = await freePort();
  const yaml = config({ web: 'silent.test:80' })
    .replace('startWait: 200ms', 'startWait: 1h')
    .replace('127.0.0.1:0', `127.0.0.1:${port}`);
  const file = join(directory, 'waits.yaml');
  writeFileSync(file, yaml);
  const env = { ...process.env, NODE_OPTIONS: `--require ${PRELOAD}` };
  const child = spawn(process.execPath, [MAIN, 'run', '-c', file], { env, stdio: 'ignore' });
  const ended = once(child, 'exit');
  await eventually(async () => !(await refuses(port)), 'it listens');
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
});

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const ask = async (sluice: Sluice, name: string): Promise<string> => {
  const { status, body } = await exchange(sluice.port(name), GET);
  return `${status} ${String(body).trim()}`;
};
const logged = (sluice: Sluice, text: string): number =>
  sluice.log.filter(({ message }) => message.startsWith(text)).length;

for (const io of await availableExecutors()) {
  test(`${io}: two of three services have no address at the start, and the third is served`, async () => {
    const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
    const sluice = await start(
      io,
      config({ web: origin.address, typo: `typo.${io}:${origin.port}`, silent: 'silent.example:80' }),
    );
    assert.equal(await ask(sluice, 'web'), '200 ok');
    assert.equal(await ask(sluice, 'typo'), '503 unresolved');
    assert.equal(await ask(sluice, 'silent'), '503 unresolved');
    assert.equal(await sluice.metric('sluice_services_unready'), 2);
    assert.equal(
      await sluice.metric('sluice_service_proxy_response_total', { service: 'typo', reason: 'unresolved' }),
      1,
    );
    const ready = await fetch(`http://127.0.0.1:${sluice.adminPort}/ready`);
    assert.equal(ready.status, 200);
    assert.match(
      await ready.text(),
      /^ready\nservice typo has no endpoint; typo\.\w+:\d+: there is no such name.*\nservice silent has no endpoint; silent\.example:80: no answer yet\n$/,
    );
    await eventually(
      async () => (await sluice.metric('sluice_dns_failures_total', { service: 'typo' })) > 3,
      'asked again',
    );
    assert.equal(logged(sluice, 'endpoint does not resolve'), 1, 'said once');
    host(`typo.${io}`, '127.0.0.1');
    await eventually(async () => (await ask(sluice, 'typo')) === '200 ok', 'served once it resolves');
    assert.equal(await sluice.metric('sluice_services_unready'), 1);
    assert.ok((await sluice.metric('sluice_dns_last_success_timestamp_seconds', { service: 'typo' })) > 1.7e9);
    assert.equal(logged(sluice, 'endpoint resolves now'), 1);
    host(`typo.${io}`, null);
    await sluice.logged(({ message }) => message.startsWith('endpoint no longer resolves'));
    assert.equal(await ask(sluice, 'typo'), '200 ok', 'what was known last stays in use');
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });

  test(`${io}: a reload takes what resolves, and is not ready when nothing does`, async () => {
    const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
    const sluice = await start(io, config({ web: origin.address }));
    const reload = async (services: Readonly<Record<string, string>>): Promise<void> => {
      const before = logged(sluice, 'reloaded');
      sluice.reload(config(services));
      await eventually(() => logged(sluice, 'reloaded') > before, 'reloaded');
    };
    await reload({ web: origin.address, later: 'silent.example:80' });
    assert.equal(await ask(sluice, 'web'), '200 ok');
    assert.equal(await sluice.metric('sluice_services_unready'), 1);
    assert.match(await sluice.admin('/ready'), /^ready\n/);
    await reload({ web: 'typo.example:80' });
    assert.equal(await ask(sluice, 'web'), '503 unresolved');
    assert.match(await sluice.admin('/ready'), /^not ready\nno service has an endpoint\n/);
    await reload({ web: origin.address });
    assert.equal(await ask(sluice, 'web'), '200 ok');
    assert.equal(await sluice.admin('/ready'), 'ready\n');
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });
}
