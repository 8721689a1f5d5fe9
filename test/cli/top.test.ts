// `sluice top`: what it counts, and that it ends by itself.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { table } from '../../src/cli/tables.js';
import { MAX_ROWS, TopTable, topColumns } from '../../src/cli/top-table.js';
import { inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const request = { message: 'request', method: 'GET', service: 'web', status: 200, durationMs: 9 };

describe('the table of sluice top', () => {
  it('has requests by method and path, with times and success', () => {
    const top = new TopTable();
    for (const record of [
      { ...request, path: '/b?x=1', responseMs: 2 },
      { ...request, path: '/b?x=2', responseMs: 1 },
      { ...request, path: '/b', responseMs: 3, status: 503 },
      { ...request, path: '/a', method: 'POST', grpcStatus: 14 },
      { message: 'tap' },
      { message: 'connection' },
    ])
      top.note(record);
    assert.equal(top.count, 4);
    assert.deepEqual(table(topColumns(false), top.rows(), { width: 200, wide: false, none: '' }), [
      'PATH  METHOD  SERVICE  COUNT    BEST   WORST    LAST  SUCCESS',
      '/b    GET     web          3  1.00ms  3.00ms  3.00ms   66.67%',
      '/a    POST    web          1  9.00ms  9.00ms  9.00ms    0.00%',
    ]);
    const narrow = table(topColumns(false), top.rows(), { width: 40, wide: false, none: '' });
    assert.ok(
      narrow.every((line) => line.length <= 40),
      narrow.join('\n'),
    );
  });

  it('is bounded, whatever paths there are, and harmless', () => {
    const top = new TopTable();
    for (let i = 0; i < MAX_ROWS + 50; i++) top.note({ ...request, path: `/${i}\u001b[2J${'x'.repeat(3000)}` });
    assert.deepEqual([top.count, top.others, top.rows().length], [MAX_ROWS + 50, 50, MAX_ROWS]);
    const text = table(topColumns(true), top.rows(), { width: Number.POSITIVE_INFINITY, wide: true, none: '' }).join(
      '',
    );
    assert.doesNotMatch(text, /\p{Cc}/u);
  });
});

async function run(...args: string[]): Promise<{ status: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: inherited() });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, out, err };
}

describe('tap and top as commands', () => {
  it('read what a proxy says, end with it, and say what was left out', async () => {
    const asked: string[] = [];
    const server = createServer((incoming, response) => {
      asked.push(incoming.url ?? '');
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const lines = [
        { message: 'tap', maxRps: 5, shown: 0, leftOut: 0, dropped: 0 },
        { ...request, time: '2026-01-01T00:00:00.000Z', path: '/a\u001b[31m', authority: 'x', responseMs: 1 },
        { message: 'tap', maxRps: 5, shown: 1, leftOut: 7, dropped: 2 },
      ];
      response.end(`${lines.map((line) => JSON.stringify(line)).join('\n')}\nnonsense\n`);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [tap, top] = await Promise.all([
      run('tap', '--from', address, '--path', '/a', '--max-rps', '5'),
      run('top', '--from', address, '-o', 'json'),
    ]);
    assert.equal(tap.status, 0);
    assert.equal(tap.out, '00:00:00.000 200 GET x/a\\x1b[31m 1.00ms - -> web -\n');
    assert.match(tap.err, /9 more were left out \(7 beyond --max-rps, 2 not read in time\)/);
    assert.equal(top.status, 0);
    const { count, leftOut, rows } = JSON.parse(top.out) as { count: number; leftOut: number; rows: object[] };
    assert.deepEqual([count, leftOut, rows.length], [1, 9, 1]);
    assert.deepEqual(asked.sort(), ['/tap?', '/tap?path=%2Fa&maxRps=5']);
    server.close();
  });

  it('say what is wrong, with the right code', async () => {
    const server = createServer((_, response) => response.writeHead(403).end('from this machine only\n'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [refused, nobody, wrong] = await Promise.all([
      run('tap', '--from', address),
      run('top', '--from', '127.0.0.1:1'),
      run('top', '--for', 'x'),
    ]);
    assert.deepEqual([refused.status, nobody.status, wrong.status], [1, 1, 2]);
    assert.match(refused.err, /refuses: from this machine only/);
    assert.match(nobody.err, /no answer from the admin port 127\.0\.0\.1:1: .*ECONNREFUSED.*--from/);
    assert.match(wrong.err, /--for: /);
    server.close();
  });
});
