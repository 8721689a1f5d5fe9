// Members by key: one, none, several, and back.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MultiMap } from '../../src/kubernetes/multi-map.js';

describe('groups', () => {
  it('have members in the order in which they came, each once', () => {
    const [a, b, c] = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];
    const groups = new MultiMap<string, { readonly name: string }>();
    const names = (): string => [...groups.of('key')].map(({ name }) => name).join('');
    assert.equal(names(), '');
    groups.delete('key', a);
    groups.add('key', a);
    groups.add('key', a);
    assert.equal(names(), 'a');
    groups.delete('key', b);
    assert.equal(names(), 'a');
    for (const member of [b, c, a]) groups.add('key', member);
    assert.equal(names(), 'abc');
    groups.delete('key', a);
    groups.delete('key', a);
    assert.equal(names(), 'bc');
    groups.delete('key', c);
    assert.equal(names(), 'b');
    groups.add('key', a);
    assert.equal(names(), 'ba');
    // Who goes through them may take them away.
    for (const member of groups.of('key')) groups.delete('key', member);
    assert.equal(names(), '');
    assert.deepEqual([...groups.of('other')], []);
  });
});
