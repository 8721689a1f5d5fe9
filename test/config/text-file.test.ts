import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { untilWritten } from '../../src/config/text-file.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-text-'));
after(() => rmSync(directory, { recursive: true }));
const file = join(directory, 'sluice.yaml');

/** How often it pauses for a file that is written to in the first `writes` of its pauses, `ageMs` after it was changed. */
async function pauses(writes: number, ageMs: number): Promise<number> {
  writeFileSync(file, 'workers: 1\n');
  const { mtimeMs } = statSync(file);
  let count = 0;
  const pause = async (): Promise<void> => {
    if (count++ < writes) appendFileSync(file, '# more\n');
  };
  await untilWritten(file, pause, () => mtimeMs + ageMs);
  return count;
}

test('a file that is being written is waited for until it stays the same', async () => {
  assert.equal(await pauses(0, 5), 1);
  assert.equal(await pauses(3, 5), 4);
});

test('a file that is written to for ever is read in the end', async () => {
  assert.equal(await pauses(Number.POSITIVE_INFINITY, 5), 20);
});

test('a file that was changed long ago, or is not there, is not waited for', async () => {
  assert.equal(await pauses(3, 500), 0);
  await untilWritten(join(directory, 'missing'), () => Promise.reject(new Error('waited')));
});
