import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mappingsOf } from '../../bench/memory/smaps.js';

const mapping = (range: string, access: string, inode: number, name: string, anonymous: number): string =>
  `${range} ${access} 00000000 ${inode === 0 ? '00:00' : 'fe:01'} ${inode} ${name}\nSize: 4 kB\nRss: 9999 kB\nAnonymous: ${anonymous} kB\nLazyFree: 0 kB\n`;

test('memory of a process is told apart by its mappings, and the parts add up', () => {
  const smaps = [
    mapping('00400000-00500000', 'r-xp', 77, '/usr/bin/node', 0),
    mapping('00500000-00600000', 'rw-p', 77, '/usr/bin/node', 40),
    mapping('01000000-02000000', 'rw-p', 0, '[heap]', 300),
    mapping('2a00000000-2a00040000', 'rw-p', 0, '', 256),
    // V8: a page, and a code range.
    mapping('7e0000000000-7e0000040000', 'rw-p', 0, '', 200),
    mapping('7e0100000000-7e0120000000', 'rwxp', 0, '', 2000),
    mapping('7f0000000000-7f0000400000', 'rw-p', 0, '', 500),
    mapping('7f0000400000-7f0004000000', '---p', 0, '', 0),
    mapping('7f1000001000-7f1000002000', '---p', 0, '', 0),
    mapping('7f1000002000-7f1000802000', 'rw-p', 0, '', 60),
    mapping('7f1000803000-7f1000903000', 'rw-p', 0, '', 70),
    mapping('7ffd00000000-7ffd00100000', 'rw-p', 0, '[stack]', 20),
  ].join('');
  assert.deepEqual(mappingsOf(smaps), { malloc: 800, stacks: 80, files: 40, mapped: 2526, total: 3446 });
});
