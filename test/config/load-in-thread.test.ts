import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { loadConfigInThread } from '../../src/config/load-in-thread.js';
import { ConfigError } from '../../src/config/problem.js';

const services = (endpoint: string): string =>
  Array.from({ length: 5000 }, (_, i) => `  s${i}: { endpoints: ["${endpoint}"] }`).join('\n');

/** A file of 160 KiB. */
const text = (endpoint = '127.0.0.1:80'): string =>
  `listeners: [{ name: a, listen: ":1", service: s1 }]\nservices:\n${services(endpoint)}\n`;

async function withFile(content: string, use: (file: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-'));
  const file = join(directory, 'sluice.yaml');
  writeFileSync(file, content);
  await use(file).finally(() => rmSync(directory, { recursive: true }));
}

test('a large file is read like a small one, and settings that are equal are one object', async () => {
  await withFile(text(), async (file) => {
    const env = { SLUICE_LOG_LEVEL: 'debug' };
    const flags = [{ path: ['workers'], value: 3, source: 'command line', name: '--workers' }] as const;
    const config = await loadConfigInThread(file, env, flags);
    assert.deepEqual(config, loadConfig(file, env, flags));
    assert.equal(config.workers, 3);
    assert.equal(config.services[0].pool, config.services[4999].pool);
  });
});

test('the mistakes of a large file are told like those of a small one', async () => {
  await withFile(text('nowhere'), async (file) => {
    await assert.rejects(loadConfigInThread(file, {}), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.problems.length, 5000);
      assert.match(error.message, /sluice.yaml:3:21: services.s0.endpoints\[0\]: "nowhere" has no port/);
      return true;
    });
  });
});

test('a file that is not there is told so', async () => {
  await assert.rejects(loadConfigInThread('/nowhere/sluice.yaml', {}), /there is no such file/);
});
