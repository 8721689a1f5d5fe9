import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isAccept, KEY_LENGTH, putAccept, putKey, validKey } from '../../src/http/web-socket.js';
import { latin1, text } from '../http1/support.js';

const NONCE = latin1('??the sample nonce');
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

describe('the opening handshake of WebSocket', () => {
  it('has a key and an answer to it as in the example (RFC 6455 section 1.3)', () => {
    const bytes = new Uint8Array(100);
    putKey(NONCE, 2, bytes, 10);
    assert.equal(text(bytes, 10, 10 + KEY_LENGTH), 'dGhlIHNhbXBsZSBub25jZQ==');
    assert.ok(validKey(bytes, 10, 10 + KEY_LENGTH));
    const end = putAccept(bytes, 10, bytes, 50);
    assert.equal(text(bytes, 50, end), ACCEPT);
    assert.ok(isAccept(bytes, 10, bytes, 50, end));
    assert.ok(!isAccept(bytes, 10, bytes, 50, end - 1));
    bytes[55] ^= 0x20;
    assert.ok(!isAccept(bytes, 10, bytes, 50, end));
  });

  it('takes nothing for a key but 16 octets in base64 (RFC 6455 section 4.2.1)', () => {
    for (const key of [
      '',
      'dGhl',
      'dGhlIHNhbXBsZSBub25jZQ=A',
      'dGhlIHNhbXBsZSBub25j\r\n==',
      'dGhlIHNhbXBsZSBub25jZ===',
    ]) {
      const bytes = latin1(key);
      assert.ok(!validKey(bytes, 0, bytes.length), key);
    }
  });
});
