// Facts of messages that are written as lines.
import assert from 'node:assert/strict';
import { FieldList } from '../../src/hpack/field-list.js';
import type { Facts } from '../../src/http/facts.js';
import { build, newMemory } from './header-fixture.js';

export type Lines = readonly (readonly [name: string, value: string])[];
export const GET: Lines = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'example.com'],
];

const list = new FieldList(newMemory());

/** Facts of a list at its first sight, then with atoms, then with a template: they must agree. */
export function factsOf(lines: Lines): Facts {
  const fields = lines.map(([name, value]) => ({ name, value }));
  const whereverTextLies = { methodAt: 0, pathAt: 0, authorityAt: 0, hostAt: 0 };
  build(list, fields);
  const first = { ...list.facts, ...whereverTextLies };
  for (let i = 0; i < 4; i++) {
    build(list, fields);
    assert.deepEqual({ ...list.facts, ...whereverTextLies }, first);
  }
  return list.facts;
}
