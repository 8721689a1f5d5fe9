import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Template } from '../../src/hpack/memory/template.js';
import { NAME } from '../../src/http/field-names.js';
import { ACTION, LineCache } from '../../src/translate/lines.js';
import { text } from '../http1/support.js';
import { Bench, type Field, TIMES } from './support.js';

const actions = new Uint8Array(256);
actions[NAME.STATUS] = ACTION.SKIP;
actions[NAME.EXPECT] = ACTION.REFUSE;
actions[NAME.TRAILER] = 7;

describe('the lines of a template', () => {
  const bench = new Bench();

  function template(...fields: Field[]): Template {
    for (let time = 0; time < TIMES; time++) bench.list([[':status', '200'], ...fields]);
    const { template, count } = bench.fieldList;
    assert.ok(template !== null && count === 0);
    return template;
  }

  it('are made when it comes for the second time, without what is skipped', () => {
    const cache = new LineCache(bench.bytes, actions);
    const both = template(['server', 'a'], ['x-empty', '']);
    assert.equal(cache.lines(both), null);
    const ready = cache.lines(both);
    assert.ok(ready !== null);
    assert.equal(text(ready, 0, ready.length), 'server: a\r\nx-empty: \r\n');
    assert.equal(cache.lines(both), ready);
  });

  it('are not made where a field is refused, or hangs on the message it is in', () => {
    const cache = new LineCache(bench.bytes, actions);
    const others = [
      template(['expect', '100-continue']),
      template(['trailer', 'x']),
      template(['content_length', '1']),
    ];
    for (const other of others) for (let time = 0; time < TIMES; time++) assert.equal(cache.lines(other), null);
  });
});
