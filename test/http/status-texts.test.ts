import assert from 'node:assert/strict';
import { STATUS_CODES } from 'node:http';
import { test } from 'node:test';
import { STATUS_TEXTS } from '../../src/http/status-texts.js';

test('reason phrases are those of Node.js', () => {
  for (const [status, text] of Object.entries(STATUS_TEXTS)) assert.equal(text, STATUS_CODES[status] ?? text, status);
  for (const status of [100, 200, 204, 304, 404, 421, 425, 502, 511]) assert.ok(STATUS_TEXTS[status], `${status}`);
});
