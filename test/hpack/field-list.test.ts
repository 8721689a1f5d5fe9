import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Encoder } from '../../src/hpack/encoder.js';
import { MAX_FIELDS } from '../../src/hpack/field-columns.js';
import { FieldList } from '../../src/hpack/field-list.js';
import { NAME } from '../../src/http/field-names.js';
import { build, fieldsOf, grouped, newMemory, OUTPUT, TEXT, textAt, write } from '../support/header-fixture.js';
import { NaiveDecoder } from '../support/naive-hpack.js';

const of = (...lines: [name: string, value: string][]) => lines.map(([name, value]) => ({ name, value, never: false }));
const GRPC = of(
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a.B/C'],
  ['te', 'trailers'],
  ['content-type', 'application/grpc'],
);

const stableFields = (list: FieldList): number => list.template?.count ?? 0;

describe('field list', () => {
  it('is plain at first, and a template once the same fields have come again', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    build(list, GRPC);
    assert.equal(stableFields(list), 0);
    assert.deepEqual(fieldsOf(list), GRPC);
    for (let i = 0; i < 3; i++) build(list, GRPC);
    assert.equal(stableFields(list), GRPC.length);
    assert.equal(list.count, 0);
    assert.deepEqual(fieldsOf(list), GRPC);
    list.expand();
    assert.equal(list.template, null);
    assert.deepEqual(fieldsOf(list), GRPC);
  });

  it('keeps what changes apart: pseudo-header fields in front, the others behind', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const at = (i: number) => [
      ...GRPC.slice(0, 2),
      ...of([':path', `/item/${i}`]),
      ...GRPC.slice(3),
      ...of(['x-request-id', `${i}`]),
    ];
    for (let i = 0; i < 5; i++) build(list, at(i));
    assert.equal(stableFields(list), 4);
    assert.equal(list.count, 2);
    assert.deepEqual(grouped(fieldsOf(list)), grouped(at(4)));
    const path = list.find(NAME.PATH);
    assert.equal(textAt(memory, list.valueAt[path], list.valueLength[path]), '/item/4');
    assert.equal(list.find(NAME.HOST), -1);
    assert.deepEqual(
      fieldsOf(list).map(({ name }) => name),
      [':path', ':method', ':scheme', 'te', 'content-type', 'x-request-id'],
    );
  });

  it('keeps the order of the lines of one name, seen before or not', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const at = (i: number) =>
      of(['set-cookie', 'old'], ['set-cookie', `new ${i}`], ['set-cookie', 'older'], ['server', 'x']);
    for (let i = 0; i < 8; i++) {
      build(list, at(i));
      assert.deepEqual(grouped(fieldsOf(list)), grouped(at(i)));
    }
    assert.equal(list.template, null);
  });

  it('keeps their order when a name is learned in the middle of a list', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const lines = of(['x-new', 'a'], ['x-new', 'b'], ['x-new', 'b'], ['x-new', 'a'], ['x-new', 'b']);
    for (let i = 0; i < 6; i++) {
      build(list, lines);
      assert.deepEqual(grouped(fieldsOf(list)), grouped(lines));
    }
  });

  it('takes a field behind all others, and another value, in either form', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    const decoder = new NaiveDecoder();
    const at = (i: number) => [...GRPC, ...of(['via', 'first'], ['x-request-id', `${i}`])];
    const value = TEXT + 5000;
    write(memory, Buffer.from('second and last'), value);
    for (let i = 0; i < 6; i++) {
      build(list, at(i));
      assert.deepEqual([list.has(NAME.VIA), list.has(NAME.TE), list.has(NAME.DATE)], [true, true, false]);
      list.append(NAME.VIA, value, 6);
      list.append(NAME.DATE, value, 3);
      const expected = grouped([...at(i), ...of(['via', 'second'], ['date', 'sec'])]);
      assert.ok(list.has(NAME.DATE));
      assert.deepEqual(grouped(fieldsOf(list)), expected);
      const { size, encodedBound } = list;
      const end = encoder.encode(list, OUTPUT);
      assert.ok(end - OUTPUT <= encodedBound + 16);
      assert.deepEqual(grouped(decoder.decode(memory.bytes.subarray(OUTPUT, end))), expected);
      const via = list.find(NAME.VIA);
      list.replace(via, value, 15);
      assert.deepEqual([list.size, list.encodedBound], [size + 10, encodedBound + 10]);
      const again = encoder.encode(list, OUTPUT);
      const replaced = grouped([...at(i), ...of(['via', 'second'], ['date', 'sec'])]);
      replaced[':via'] = ['second and last', 'second'];
      assert.deepEqual(grouped(decoder.decode(memory.bytes.subarray(OUTPUT, again))), replaced);
    }
    // What was added is not taken for what a list like it has.
    build(list, at(7));
    assert.deepEqual(grouped(fieldsOf(list)), grouped(at(7)));
  });

  it('that is full takes nothing more', () => {
    const list = new FieldList(newMemory());
    build(list, GRPC);
    const { size } = list;
    while (list.count < MAX_FIELDS) assert.ok(list.addKnown(NAME.HOST, TEXT, 0));
    list.append(NAME.VIA, TEXT, 1);
    assert.deepEqual([list.count, list.size], [MAX_FIELDS, size]);
  });

  it('gives malformed lists no template', () => {
    const list = new FieldList(newMemory());
    for (let i = 0; i < 6; i++) {
      build(list, [...of(['x', 'y']), ...GRPC]);
      assert.notEqual(list.facts.error, 0);
      assert.equal(list.template, null);
      build(list, [...GRPC, ...of(['connection', 'close'])]);
      assert.notEqual(list.facts.error, 0);
      assert.equal(list.template, null);
    }
  });

  it('counts size and bound over both parts', () => {
    const list = new FieldList(newMemory());
    const lines = [...GRPC, ...of(['x-request-id', 'abc'])];
    const size = lines.reduce((sum, { name, value }) => sum + 32 + name.length + value.length, 0);
    for (let i = 0; i < 5; i++) {
      build(list, lines);
      assert.equal(list.size, size);
      assert.equal(list.encodedBound, size - 21 * lines.length);
    }
  });

  it('takes constants and known names', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const type = memory.constant('content-type', 'application/grpc');
    const reason = memory.constant('sluice-reason', 'no-endpoint');
    const ok = memory.constant(':status', '200');
    assert.equal(ok, memory.constant(':status', '200'));
    for (let i = 0; i < 4; i++) {
      list.clear();
      list.addConstant(ok);
      list.addConstant(type);
      list.addKnown(NAME.GRPC_STATUS, TEXT, write(memory, Buffer.from('14'), TEXT) - TEXT);
      list.addConstant(reason);
      list.finish();
      assert.equal(list.facts.status, 200);
      assert.equal(list.facts.grpcStatus, 14);
      assert.ok(list.facts.grpc);
      assert.deepEqual(
        grouped(fieldsOf(list)),
        grouped(
          of(
            [':status', '200'],
            ['content-type', 'application/grpc'],
            ['grpc-status', '14'],
            ['sluice-reason', 'no-endpoint'],
          ),
        ),
      );
    }
    memory.newEpoch();
    list.clear();
    list.addConstant(reason);
    list.finish();
    assert.deepEqual(fieldsOf(list), of(['sluice-reason', 'no-endpoint']));
  });

  it('refuses more fields than it can hold', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    list.clear();
    for (let i = 0; i < MAX_FIELDS; i++) assert.ok(list.addKnown(NAME.HOST, TEXT, 0));
    assert.equal(list.addKnown(NAME.HOST, TEXT, 0), false);
    assert.equal(list.addConstant(0), false);
    assert.equal(list.add(TEXT, 1, TEXT, 0), false);
  });
});
