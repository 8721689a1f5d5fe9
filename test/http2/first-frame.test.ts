import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FIRST, firstFrame } from '../../src/http2/first-frame.js';

const settings = Buffer.from([0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3]);
const goaway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

describe('firstFrame', () => {
  it('knows SETTINGS and GOAWAY from their frame header on, wherever they lie', () => {
    for (const bytes of [settings, goaway]) {
      assert.equal(firstFrame(bytes, 0, bytes.length), FIRST.YES);
      assert.equal(firstFrame(bytes, 0, 9), FIRST.YES);
      const moved = Buffer.concat([Buffer.from('x'), bytes]);
      assert.equal(firstFrame(moved, 1, moved.length), FIRST.YES);
    }
  });

  it('waits for a whole frame header', () => {
    for (let length = 1; length < 9; length++) assert.equal(firstFrame(settings, 0, length), FIRST.MORE);
  });

  it('takes nothing else for HTTP/2', () => {
    const others = [
      Buffer.from('HTTP/1.1 200 OK\r\n'),
      Buffer.from([0, 0, 18, 4, 1, 0, 0, 0, 0]),
      Buffer.from([0, 0, 18, 4, 0, 0, 0, 0, 1]),
      Buffer.from([0, 0, 18, 1, 0, 0, 0, 0, 0]),
      Buffer.from([0, 1, 0, 4, 0, 0, 0, 0, 0]),
    ];
    for (const bytes of others) assert.equal(firstFrame(bytes, 0, bytes.length), FIRST.NO);
  });
});
