import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FieldList } from '../../src/hpack/field-list.js';
import { HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { build, fieldsOf, newMemory } from '../support/header-fixture.js';

const of = (...lines: [name: string, value: string][]) => lines.map(([name, value]) => ({ name, value, never: false }));

describe('header memory', () => {
  it('says what it needs', () => {
    assert.throws(() => new HeaderMemory(new Uint8Array(4096), 0, 4096), /1048576 octets at least/);
    const memory = newMemory();
    assert.throws(() => {
      for (let i = 0; i < 100; i++) new FieldList(memory);
    }, /no header memory left for another field list/);
  });

  it('stops learning the values of a name that has too many', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    for (let i = 0; i < 2000; i++) {
      build(list, of(['x-session', `${i >> 1}`]));
      assert.deepEqual(fieldsOf(list), of(['x-session', `${i >> 1}`]));
    }
    assert.ok(memory.atoms.count < memory.atoms.permanent + 300);
  });
});
