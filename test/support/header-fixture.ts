// A header memory with room beside it for blocks and text, and conversions between lists and plain objects.
import type { FieldList } from '../../src/hpack/field-list.js';
import { HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import type { Field } from './naive-hpack.js';

const MEMORY_BYTES = 1024 * 1024;
/** Blocks to decode go here; blocks that were encoded, and text of lists built in tests, further up. */
export const INPUT = MEMORY_BYTES;
export const OUTPUT = INPUT + 256 * 1024;
export const TEXT = OUTPUT + 256 * 1024;

export function newMemory(maxAtoms?: number): HeaderMemory {
  return new HeaderMemory(new Uint8Array(TEXT + 256 * 1024), 0, MEMORY_BYTES, maxAtoms);
}

/** Writes octets (or hexadecimal digits) at `at`; returns the position after them. */
export function write(memory: HeaderMemory, octets: ArrayLike<number> | string, at = INPUT): number {
  const bytes = typeof octets === 'string' ? Buffer.from(octets.replace(/\s/g, ''), 'hex') : octets;
  memory.bytes.set(bytes, at);
  return at + bytes.length;
}

export function read(memory: HeaderMemory, at: number, end: number): number[] {
  return [...memory.bytes.subarray(at, end)];
}

export function textAt(memory: HeaderMemory, at: number, length: number): string {
  return Buffer.from(memory.bytes.subarray(at, at + length)).toString('latin1');
}

/** All fields of a list; the list's form stays. */
export function fieldsOf(list: FieldList): Field[] {
  const fields: Field[] = [];
  const { memory, template } = list;
  const add = (from: FieldList | NonNullable<typeof template>, i: number): void => {
    fields.push({
      name: textAt(memory, from.nameAt[i], from.nameLength[i]),
      value: textAt(memory, from.valueAt[i], from.valueLength[i]),
      never: from.neverIndexed[i] === 1,
    });
  };
  let i = 0;
  if (template !== null) {
    while (i < list.count && textAt(memory, list.nameAt[i], 1) === ':') add(list, i++);
    for (let k = 0; k < template.count; k++) add(template, k);
  }
  while (i < list.count) add(list, i++);
  return fields;
}

/** Fills a list with fields as a caller would, their text at TEXT. */
export function build(list: FieldList, fields: readonly Field[]): void {
  const { memory } = list;
  list.clear();
  let at = TEXT;
  for (const field of fields) {
    const nameAt = at;
    const valueAt = write(memory, Buffer.from(field.name, 'latin1'), nameAt);
    at = write(memory, Buffer.from(field.value, 'latin1'), valueAt);
    if (!list.add(nameAt, valueAt - nameAt, valueAt, at - valueAt, field.never ?? false))
      throw new Error('list is full');
  }
  list.finish();
}

/** Fields with those of one name together, in their order: what may be compared where lines of other names may move. */
export function grouped(fields: readonly Field[]): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const { name, value, never } of fields) {
    const key = `:${name}`;
    groups[key] ??= [];
    groups[key].push(`${never ? 'never ' : ''}${value}`);
  }
  return groups;
}
