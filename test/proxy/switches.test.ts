import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { unreachable } from '../../src/proxy/unreachable.js';

const PROXY = new URL('../../../src/proxy/', import.meta.url);

interface Switch {
  readonly where: string;
  readonly text: string;
}

/** The switches in a file. The formatter has indented them: each ends with a brace below its beginning. */
function switchesIn(file: string): Switch[] {
  const lines = readFileSync(new URL(file, PROXY), 'utf8').split('\n');
  const found: Switch[] = [];
  for (const [i, line] of lines.entries()) {
    const indent = /^( *)switch \(/.exec(line)?.[1];
    if (indent === undefined) continue;
    const end = lines.indexOf(`${indent}}`, i);
    found.push({ where: `src/proxy/${file}:${i + 1}`, text: lines.slice(i, end).join('\n') });
  }
  return found;
}

describe('switches over what legs and sockets are', () => {
  const switches = readdirSync(PROXY, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap(switchesIn);
  const overKinds = switches.filter(({ text }) => /case (LEG|SOCKET_KIND|STATE)\./.test(text));

  it('have a case for each kind, which the compiler checks where they end in `unreachable`', () => {
    assert.ok(overKinds.length > 5, `${overKinds.length} of ${switches.length} switches are over kinds`);
    const open = overKinds.filter(({ text }) => !/default:\n *(return )?unreachable\(\w+\);$/.test(text));
    assert.deepEqual(
      open.map(({ where }) => where),
      [],
    );
  });

  it('say which kind it was if a table is broken nevertheless', () => {
    assert.throws(() => unreachable(77 as never), /unknown kind 77/);
  });
});
