import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ORIG_PROTO_VALUES, ORIGIN, originOf } from '../../src/http/orig-proto.js';

const read = (text: string): number => originOf(Buffer.from(`x${text}y`), 1, text.length);

describe('l5d-orig-proto', () => {
  it('is read as it is written', () => {
    for (const [plain, absolute] of ORIG_PROTO_VALUES) {
      assert.equal(read(plain), ORIGIN.HTTP1);
      assert.equal(read(absolute), ORIGIN.ABSOLUTE);
    }
    assert.equal(read('HTTP/1.1;absolute-form'), ORIGIN.ABSOLUTE);
  });

  it('is nothing that we know otherwise', () => {
    for (const text of [
      '',
      'HTTP/1',
      'HTTP/2.0',
      'HTTP/1.2',
      'HTTP/1.1 ',
      'HTTP/1.1;',
      'HTTP/1.1; absolute',
      'HTTP/1.1, x',
    ])
      assert.equal(read(text), ORIGIN.OTHER, text);
  });
});
