// Field lists in a form that does not depend on a connection's table, for requests that may be sent again and for waiting data: literals
// without Huffman coding, and indices of the static table (RFC 7541 section 6).

import { NAME } from '../../http/field-names.js';
import type { FieldList } from '../field-list.js';
import { Cursor, putInteger, readInteger } from '../integer.js';
import { LAST_STATIC } from '../static-table.js';
import { putPlain } from '../string-literal.js';
import { READY_BYTES } from './block-cache.js';
import type { HeaderMemory } from './header-memory.js';
import type { Template } from './template.js';

/** In place of an encoder's number and table version: no encoder has these. */
const NOBODY = 0;
const NO_VERSION = -1;

const cursor = new Cursor();

/** Writes `list` to [at, limit). Returns the position after it, or -1 if it does not fit. */
export function saveList(list: FieldList, at: number, limit: number): number {
  const { memory, template } = list;
  if (at + list.encodedBound > limit) return -1;
  let p = at;
  let i = 0;
  const current = list.epoch === memory.epoch;
  const { name, nameAt, nameLength, valueAt, valueLength, neverIndexed, atom } = list;
  if (template !== null) {
    for (; i < list.count && name[i] !== NAME.OTHER && name[i] <= NAME.UNKNOWN_PSEUDO; i++) {
      const ref = current ? list.ref[i] : -1;
      p = saveField(memory, p, -1, ref, nameAt[i], nameLength[i], valueAt[i], valueLength[i], neverIndexed[i]);
    }
    p = saveFields(memory, p, template, current);
  }
  for (; i < list.count; i++) {
    const ref = current ? list.ref[i] : -1;
    p = saveField(memory, p, atom[i], ref, nameAt[i], nameLength[i], valueAt[i], valueLength[i], neverIndexed[i]);
  }
  return p;
}

/** Like `saveList`, for a list that is exactly `template`, of the memory's current epoch. */
export function saveTemplate(memory: HeaderMemory, template: Template, at: number, limit: number): number {
  // No form of a field is longer than its size, which includes 32 bytes of overhead (RFC 9113 section 6.5.2).
  return at + template.size > limit ? -1 : saveFields(memory, at, template, true);
}

/** Reads what `saveList` wrote. The list's text is that of [at, end), which must stay. Throws on anything else. */
export function restoreList(list: FieldList, at: number, end: number): void {
  const { bytes, names } = list.memory;
  list.clear();
  let p = at;
  while (p < end) {
    const first = bytes[p++];
    if (first >= 0x80) {
      list.addConstant((first & 0x7f) - 1);
      continue;
    }
    let index = first & 15;
    if (index === 15) index = savedInteger(bytes, p, end, 15);
    else cursor.at = p;
    p = cursor.at;
    let nameAt = 0;
    let nameLength = 0;
    if (index === 0) {
      nameLength = savedLength(bytes, p, end);
      nameAt = cursor.at;
      p = nameAt + nameLength;
    }
    const valueLength = savedLength(bytes, p, end);
    const valueAt = cursor.at;
    p = valueAt + valueLength;
    const neverIndexed = (first & 0x10) !== 0;
    if (index === 0) list.add(nameAt, nameLength, valueAt, valueLength, neverIndexed);
    else list.addNamed(names.staticRef[index], valueAt, valueLength, neverIndexed);
  }
  list.finish();
}

/** The fields of a template. They depend on no table, so they are kept ready to copy like blocks, with an owner that no encoder has. */
function saveFields(memory: HeaderMemory, at: number, template: Template, current: boolean): number {
  const { ready } = memory;
  const slot = ready.slot(template, NOBODY);
  if (current && ready.has(slot, template, NOBODY, NO_VERSION)) return ready.copy(slot, at);
  const { atom, ref, nameAt, nameLength, valueAt, valueLength, neverIndexed } = template;
  let p = at;
  for (let k = 0; k < template.count; k++) {
    const name = current ? ref[k] : -1;
    p = saveField(memory, p, atom[k], name, nameAt[k], nameLength[k], valueAt[k], valueLength[k], neverIndexed[k]);
  }
  if (current && p - at <= READY_BYTES) ready.keep(slot, template, NOBODY, NO_VERSION, 0, at, p);
  return p;
}

function saveField(
  memory: HeaderMemory,
  at: number,
  atom: number,
  ref: number,
  nameAt: number,
  nameLength: number,
  valueAt: number,
  valueLength: number,
  neverIndexed: number,
): number {
  const { bytes } = memory;
  const { view } = memory.text;
  if (atom >= 0 && atom < LAST_STATIC) {
    bytes[at] = 0x80 | (atom + 1);
    return at + 1;
  }
  const first = neverIndexed !== 0 ? 0x10 : 0;
  const index = ref >= 0 ? memory.names.static[ref] : 0;
  let p = putInteger(bytes, at, first, 4, index);
  if (index === 0) p = putPlain(bytes, view, nameAt, nameLength, p);
  return putPlain(bytes, view, valueAt, valueLength, p);
}

function savedInteger(bytes: Uint8Array, at: number, end: number, prefix: number): number {
  cursor.at = at;
  if (!readInteger(bytes, end, prefix, cursor)) throw new Error('no saved header list');
  return cursor.value;
}

function savedLength(bytes: Uint8Array, at: number, end: number): number {
  let length = at < end ? bytes[at] : 0x80;
  if (length >= 0x80) throw new Error('no saved header list');
  if (length === 0x7f) length = savedInteger(bytes, at + 1, end, 0x7f);
  else cursor.at = at + 1;
  if (cursor.at + length > end) throw new Error('no saved header list');
  return length;
}
