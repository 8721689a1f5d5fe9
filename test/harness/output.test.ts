import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { clock, liveText, Progress, remaining } from '../../src/harness/progress.js';
import { DirectoryError, ResultDirectory } from '../../src/harness/result-directory.js';
import { resultOf } from './figures.js';

describe('the directory of results', () => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-results-'));
  after(() => rmSync(root, { recursive: true, force: true }));
  const free = { force: false };

  it('is made, and has the last result whole', () => {
    const directory = new ResultDirectory(join(root, 'a/b'), free);
    assert.equal(existsSync(directory.file), false);
    assert.equal(directory.save(resultOf([])), true);
    assert.equal(directory.save(resultOf([], { rounds: 7 })), true);
    assert.equal((JSON.parse(readFileSync(directory.file, 'utf8')) as { rounds: number }).rounds, 7);
    assert.deepEqual(readdirSync(directory.path), ['result.json']);
  });

  it('is not written over, unless that is wanted', () => {
    assert.throws(() => new ResultDirectory(join(root, 'a/b'), free), /result\.json exists already; add --force/);
    assert.equal(new ResultDirectory(join(root, 'a/b'), { force: true }).save(resultOf([])), true);
  });

  it('is refused before anything is measured where nothing can be written', () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    assert.throws(() => new ResultDirectory(file, free), DirectoryError);
    assert.throws(() => new ResultDirectory(join(file, 'below'), free), /no results can be written there/);
    // The kernel refuses it, root or not.
    assert.throws(() => new ResultDirectory('/proc/self', free), /no results can be written there/);
  });

  it('says why it has failed later, and tries again', () => {
    const directory = new ResultDirectory(join(root, 'c'), free);
    rmSync(directory.path, { recursive: true });
    assert.equal(directory.save(resultOf([])), false);
    assert.match(directory.problem ?? '', /ENOENT/);
    assert.equal(new ResultDirectory(directory.path, free).save(resultOf([])), true);
    assert.equal(directory.save(resultOf([])), true);
    assert.equal(directory.problem, null);
  });
});

describe('the live line', () => {
  it('says what remains, in the width that there is', () => {
    assert.equal(clock(5), '0:05');
    assert.equal(clock(754.6), '12:35');
    assert.equal(clock(3 * 3600 + 61), '3:01:01');
    assert.equal(remaining(10, 0, 20), null);
    assert.equal(remaining(10, 5, 20), 40);
    assert.equal(liveText('h1: nginx, round 1 of 5', 61, 80), 'h1: nginx, round 1 of 5  1:01 left');
    assert.equal(liveText('h1: nginx, round 1 of 5', 61, 30), 'h1: nginx, round …  1:01 left');
    assert.equal(liveText('h1: nginx, round 1 of 5', 61, 30).length, 29);
  });

  it('is written over on a terminal, and is not there elsewhere', () => {
    const to = (isTTY: boolean): string => {
      let text = '';
      let now = 0;
      const output = { isTTY, columns: 60, write: (more: string) => (text += more) };
      const progress = new Progress(output, () => now);
      progress.plan(20);
      progress.at('first');
      now = 10_000;
      progress.done(10);
      progress.at('second');
      progress.say('a result');
      progress.end();
      return text;
    };
    assert.equal(to(false), 'a result\n');
    assert.equal(
      to(true),
      '\r\x1b[2Kfirst\r\x1b[2Ksecond  0:10 left\r\x1b[2Ka result\n\r\x1b[2Ksecond  0:10 left\r\x1b[2K',
    );
  });
});
