import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FieldList } from '../../src/hpack/field-list.js';
import { restoreList, saveList } from '../../src/hpack/memory/saved-list.js';
import { build, fieldsOf, grouped, newMemory, TEXT } from '../support/header-fixture.js';

const of = (...lines: [name: string, value: string][]) => lines.map(([name, value]) => ({ name, value, never: false }));
const GRPC = of(
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a.B/C'],
  ['te', 'trailers'],
  ['content-type', 'application/grpc'],
);

describe('saved lists', () => {
  it('come back as they were, with their template', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const restored = new FieldList(memory);
    const lines = [
      ...GRPC,
      ...of(['grpc-timeout', '1S'], ['x-id', 'é'.repeat(200)]),
      { name: 'x-key', value: 'k', never: true },
    ];
    const at = TEXT + 65536;
    for (let i = 0; i < 6; i++) {
      build(list, lines);
      const end = saveList(list, at, at + 4096);
      restoreList(restored, at, end);
      assert.deepEqual(grouped(fieldsOf(restored)), grouped(lines));
      assert.equal(restored.size, list.size);
    }
    assert.notEqual(restored.template, null);
    assert.equal(restored.template, list.template);
  });

  it('are not written where they do not fit', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    build(list, GRPC);
    assert.equal(saveList(list, TEXT, TEXT + 10), -1);
  });

  it('outlive an epoch', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    for (let i = 0; i < 4; i++) build(list, GRPC);
    const end = saveList(list, TEXT, TEXT + 4096);
    memory.newEpoch();
    restoreList(list, TEXT, end);
    assert.deepEqual(fieldsOf(list), GRPC);
    assert.throws(() => restoreList(list, TEXT, end - 1), /no saved header list/);
  });
});
