// Field lists and HTTP/1 heads as plain values, for tests of the bridge between them.
import assert from 'node:assert/strict';
import { FieldList } from '../../src/hpack/field-list.js';
import { HEADER_MEMORY_BYTES, HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { METHOD } from '../../src/http/methods.js';
import { Head, type HeadLimits } from '../../src/http1/head.js';
import { parseRequest, parseResponse } from '../../src/http1/head-parser.js';
import { latin1, text } from '../http1/support.js';

export type Field = readonly [name: string, value: string];

/**
 * Fields in an order that is the same for all lists that mean the same: a FieldList keeps the order of fields of one name
 * only (RFC 9110 section 5.3).
 */
function ordered(fields: readonly Field[]): Field[] {
  return [...fields].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

export function sameFields(actual: readonly Field[], expected: readonly Field[]): void {
  assert.deepEqual(ordered(actual), ordered(expected));
}

/** Compares heads or trailer sections likewise; the start line and, in a request, Host are to be where they are. */
export function sameMessage(actual: string | number, expected: string): void {
  assert.ok(typeof actual === 'string', `error ${actual}`);
  assert.deepEqual(orderedLines(actual), orderedLines(expected));
}

function orderedLines(message: string): string[] {
  const all = message.split('\r\n');
  let fixed = all[0].includes('HTTP/1.1') ? 1 : 0;
  if (all[fixed]?.startsWith('Host: ')) fixed++;
  const fields = all.slice(fixed).map((line): Field => [line.split(':', 1)[0], line]);
  return [...all.slice(0, fixed), ...ordered(fields).map(([, line]) => line)];
}

/** How often a message has to come for all there is to remember of it to be in use. */
export const TIMES = 5;

/** Where the text of fields, heads and output goes; the header memory is behind all that. */
const FIELDS_AT = 1000;
const HEAD_AT = 100_000;
export const OUT = 200_000;
const MEMORY_AT = 1 << 20;

export const LIMITS: HeadLimits = { maxHeaderBytes: 32768, maxHeaders: 128, maxTargetBytes: 8192 };

/** One array as a worker has it, with a list and a head. */
export class Bench {
  readonly bytes = new Uint8Array(MEMORY_AT + HEADER_MEMORY_BYTES);
  readonly memory = new HeaderMemory(this.bytes, MEMORY_AT, HEADER_MEMORY_BYTES);
  readonly fieldList = new FieldList(this.memory);
  readonly head = new Head(128);
  private at = FIELDS_AT;

  /** Puts text where it stays until the next `list` and returns its position. */
  put(value: string): number {
    const octets = latin1(value);
    const at = this.at;
    this.bytes.set(octets, at);
    this.at += octets.length;
    return at;
  }

  list(fields: readonly Field[]): FieldList {
    this.at = FIELDS_AT;
    const list = this.fieldList;
    list.clear();
    for (const [name, value] of fields)
      assert.ok(list.add(this.put(name), name.length, this.put(value), latin1(value).length));
    list.finish();
    return list;
  }

  /** In order, pseudo-header fields having been found to be first. */
  fields(list = this.fieldList): Field[] {
    list.expand();
    const fields = Array.from({ length: list.count }, (_, i): Field => {
      const name = list.nameAt[i];
      const value = list.valueAt[i];
      return [
        text(this.bytes, name, name + list.nameLength[i]),
        text(this.bytes, value, value + list.valueLength[i]),
      ] as const;
    });
    const regular = fields.findIndex(([name]) => !name.startsWith(':'));
    if (regular >= 0)
      assert.ok(
        fields.slice(regular).every(([name]) => !name.startsWith(':')),
        'pseudo-header fields first',
      );
    return fields;
  }

  request(message: string): Head {
    const end = HEAD_AT + message.length;
    this.bytes.set(latin1(message), HEAD_AT);
    assert.equal(parseRequest(this.bytes, HEAD_AT, end, this.head, LIMITS), end, JSON.stringify(message));
    return this.head;
  }

  response(message: string, method: number = METHOD.GET): Head {
    const end = HEAD_AT + message.length;
    this.bytes.set(latin1(message), HEAD_AT);
    assert.equal(parseResponse(this.bytes, HEAD_AT, end, this.head, method, LIMITS), end, JSON.stringify(message));
    return this.head;
  }

  /** What `write` writes at OUT, or its error. */
  written(write: (at: number, limit: number) => number, room = 32768): string | number {
    this.bytes.fill(0x7e, OUT, OUT + room + 8);
    const end = write(OUT, OUT + room);
    if (end < 0) return end;
    assert.ok(end <= OUT + room);
    assert.equal(text(this.bytes, end, OUT + room + 8).replaceAll('~', ''), '', 'nothing is written behind the end');
    return text(this.bytes, OUT, end);
  }

  /** As `written`, after trying with every room that is too small. */
  exactly(write: (at: number, limit: number) => number, noRoom: number): string {
    const message = this.written(write);
    assert.ok(typeof message === 'string', `error ${message}`);
    for (let room = 0; room < message.length; room++) {
      this.bytes.fill(0x7e, OUT, OUT + message.length + 8);
      assert.equal(write(OUT, OUT + room), noRoom, `room ${room} of ${message.length}`);
      assert.equal(text(this.bytes, OUT + room, OUT + message.length + 8).replaceAll('~', ''), '', 'limit respected');
    }
    assert.equal(this.written(write, message.length), message);
    return message;
  }
}

export const lines = (...list: string[]): string => `${list.join('\r\n')}\r\n\r\n`;
