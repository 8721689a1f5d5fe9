import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { createLineWriter, createLogger, formatLine } from '../../src/log/logger.js';

const NOON = Date.UTC(2024, 0, 2, 12);

function collect(level: 'error' | 'warn' | 'info' | 'debug' = 'info') {
  const lines: string[] = [];
  const logger = createLogger({ level, now: () => NOON, write: (line) => lines.push(line) });
  return { lines, logger };
}

test('a line is one JSON object with time, level, message and the fields', () => {
  const { lines, logger } = collect();
  logger.info('ready', { listeners: 2, name: 'edge' });
  assert.deepEqual(lines, [
    '{"time":"2024-01-02T12:00:00.000Z","level":"info","message":"ready","listeners":2,"name":"edge"}\n',
  ]);
});

test('lines below the level are not written, and the level can change', () => {
  const { lines, logger } = collect('warn');
  const all = () => {
    for (const level of ['error', 'warn', 'info', 'debug'] as const) logger[level](level);
    return lines.splice(0).map((line) => JSON.parse(line).message);
  };
  assert.deepEqual(all(), ['error', 'warn']);
  logger.level = 'debug';
  assert.deepEqual(all(), ['error', 'warn', 'info', 'debug']);
  logger.level = 'error';
  assert.deepEqual(all(), ['error']);
});

test('no message or field breaks the line or hides its own keys', () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const line = (fields: Record<string, unknown>) => {
    const text = formatLine(NOON, 'error', 'a\n"b"\u2028', fields);
    assert.ok(!text.includes('\n'));
    const parsed = JSON.parse(text);
    assert.equal(parsed.message, 'a\n"b"\u2028');
    assert.equal(parsed.level, 'error');
    return parsed;
  };
  assert.equal(line({ message: 'x', level: 1, time: 2 }).message_, 'x');
  assert.equal(line({ big: 2n ** 64n }).big, '18446744073709551616');
  assert.deepEqual(line({ ports: new Set([1, 2]) }).ports, [1, 2]);
  assert.match(line({ circular }).unloggable, /circular/i);
  const error = Object.assign(new Error('no'), { code: 'EPERM' });
  assert.deepEqual({ ...line({ error }).error, stack: '' }, { name: 'Error', message: 'no', code: 'EPERM', stack: '' });
});

const failure = (code: string) => Object.assign(new Error(code), { code });

/** A pipe with `room` bytes, as writeSync shows it. */
function pipe(room: number) {
  const state = { room, text: '', waits: 0, onWait: (): void => undefined };
  const writer = createLineWriter(
    2,
    (_fd, bytes) => {
      if (state.room === 0) throw failure('EAGAIN');
      const part = bytes.subarray(0, state.room);
      state.room -= part.length;
      state.text += Buffer.from(part).toString('latin1');
      return part.length;
    },
    () => {
      state.waits++;
      state.onWait();
    },
  );
  return { state, writer };
}

test('a full pipe is waited for', () => {
  const { state, writer } = pipe(3);
  state.onWait = () => {
    if (state.waits % 2 === 0) state.room = 4;
  };
  writer.write('0123456789\n');
  assert.equal(state.text, '0123456789\n');
});

test('a pipe that stays full costs lines, not the process, and the loss is told', () => {
  const { state, writer } = pipe(0);
  writer.write('one\n');
  const waits = state.waits;
  assert.ok(waits > 0 && waits < 100, `${waits}`);
  writer.write('two\n');
  assert.equal(state.waits, waits, 'a reader known to be slow is not waited for again');
  state.room = 1000;
  writer.write('three\n');
  const [notice, line] = state.text.split('\n');
  assert.equal(JSON.parse(notice).dropped, 2);
  assert.equal(line, 'three');
});

test('a line that went out in part is completed before the next', () => {
  const { state, writer } = pipe(2);
  writer.write('one\n');
  assert.equal(state.text, 'on');
  writer.write('two\n');
  state.room = 1000;
  writer.write('three\n');
  assert.match(state.text, /^one\n\{[^\n]*"dropped":1\}\nthree\n$/);
});

test('a reader that is gone, a full disk and an interrupted call are survived', () => {
  for (const code of ['EPIPE', 'ENOSPC', 'EIO', 'EBADF']) {
    const writer = createLineWriter(2, () => {
      throw failure(code);
    });
    writer.write('x\n');
    writer.write('y\n');
  }
  let calls = 0;
  const writer = createLineWriter(2, (_fd, bytes) => {
    if (calls++ === 0) throw failure('EINTR');
    return bytes.length;
  });
  writer.write('x\n');
  assert.equal(calls, 2);
});

test('a process whose log reader has gone goes on', async () => {
  const module = new URL('../../src/log/logger.js', import.meta.url);
  const script = `
    import { createLogger } from '${module}';
    const log = createLogger();
    process.stdin.once('data', () => {
      for (let i = 0; i < 100; i++) log.error('x'.repeat(9000));
      console.log('alive');
      process.exit();
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  child.stderr.destroy();
  await once(child.stderr, 'close');
  child.stdin.write('go');
  const [text] = await once(child.stdout.setEncoding('utf8'), 'data');
  assert.equal(text, 'alive\n');
});
