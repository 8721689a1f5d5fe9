import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MESSAGE_ERROR } from '../../src/http1/errors.js';
import { writeRequest } from '../../src/http1/write.js';
import { MAX_FORWARDS_BYTES, spendForward, spendListed } from '../../src/translate/max-forwards.js';
import { Bench, type Field, lines, OUT, sameFields, TIMES } from './support.js';

const bench = new Bench();
const NUMBER_AT = 50_000;
const { MAX_FORWARDS, LAST_OPTIONS, LAST_TRACE } = MESSAGE_ERROR;

/** The request as it goes on by HTTP/1, or an error. */
function spent(method: string, ...fields: string[]): string | number {
  const head = bench.request(lines(`${method} / HTTP/1.1`, 'Host: a', ...fields));
  const error = spendForward(bench.bytes, head);
  if (error !== 0) return error;
  return bench.written((at, limit) => writeRequest(bench.bytes, head, at, limit, 0, -1, false));
}

const listOf = (method: string, fields: readonly Field[]): Field[] => [
  [':method', method],
  [':scheme', 'http'],
  [':path', '/'],
  ...fields,
];

/** As `spent`, of HTTP/2, each time of many. */
function spentListed(method: string, fields: readonly Field[], expected: readonly Field[] | number): void {
  for (let i = 0; i < TIMES; i++) {
    const list = bench.list(listOf(method, fields));
    const error = spendListed(bench.bytes, list, NUMBER_AT);
    if (typeof expected === 'number') {
      assert.equal(error, expected);
      continue;
    }
    assert.equal(error, 0);
    sameFields(bench.fields(list), listOf(method, expected));
    const size = bench.fields(list).reduce((sum, [name, value]) => sum + 32 + name.length + value.length, 0);
    assert.equal(list.size, size);
  }
}

describe('Max-Forwards', () => {
  for (const [number, left] of [
    ['1', '0'],
    ['0010', '9'],
    ['1000', '999'],
    ['2147483647', '2147483646'],
    ['2147483648', '2147483647'],
    ['9'.repeat(300), '2147483647'],
  ]) {
    it(`${number.slice(0, 12)} becomes ${left}`, () => {
      for (const method of ['OPTIONS', 'TRACE']) {
        const name = 'mAx-Forwards';
        const request = spent(method, 'A: b', `${name}:${number} `, 'C: d');
        assert.equal(request, lines(`${method} / HTTP/1.1`, 'Host: a', 'A: b', `${name}: ${left}`, 'C: d'));
        const others: Field[] = [
          ['a', 'b'],
          ['c', 'd'],
        ];
        spentListed(method, [...others, ['max-forwards', number]], [...others, ['max-forwards', left]]);
      }
    });
  }

  it('at 0 the request is for us', () => {
    for (const number of ['0', '0000']) {
      assert.equal(spent('OPTIONS', `Max-Forwards: ${number}`), LAST_OPTIONS);
      assert.equal(spent('TRACE', `Max-Forwards: ${number}`), LAST_TRACE);
      spentListed('OPTIONS', [['max-forwards', number]], LAST_OPTIONS);
      spentListed('TRACE', [['max-forwards', number]], LAST_TRACE);
    }
  });

  it('has to be one number', () => {
    for (const number of ['', '-1', '+1', '1.0', '1,2', '1 2', '0x1', '1;', '٣']) {
      assert.equal(spent('OPTIONS', `Max-Forwards: ${number}`), MAX_FORWARDS, number);
      spentListed('OPTIONS', [['max-forwards', number]], MAX_FORWARDS);
    }
    assert.equal(spent('OPTIONS', 'Max-Forwards: 1', 'A: b', 'Max-Forwards: 1'), MAX_FORWARDS);
    const one: Field = ['max-forwards', '1'];
    spentListed('OPTIONS', [one, one], MAX_FORWARDS);
  });

  it('is not missed where there is none', () => {
    assert.equal(spent('OPTIONS', 'A: b'), lines('OPTIONS / HTTP/1.1', 'Host: a', 'A: b'));
    spentListed('OPTIONS', [['max-forwardz', '1']], [['max-forwardz', '1']]);
  });

  it('a list has room for what is written', () => {
    assert.ok(MAX_FORWARDS_BYTES >= '2147483647'.length && NUMBER_AT + MAX_FORWARDS_BYTES < OUT);
  });
});
