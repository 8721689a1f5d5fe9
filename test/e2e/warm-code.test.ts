// What a rehearsal has compiled is there for the first requests: it outlives the collections before the worker is ready, and suits the objects
// of the worker that serves. Counted in V8's own log, whatever the machine is busy with.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { answering, client, OK, upstream } from '../support/http.js';
import { availableExecutors, plainSockets, startSluice } from '../support/sluice.js';

const REQUESTS = 3000;
/** Requests that are sent at once. */
const BATCH = 50;
/**
 * Functions that may be compiled anew, by name, of which there are several of one name. Where the code of a rehearsal is lost there are more
 * than a hundred.
 */
const MAX_COMPILED = 40;
/** What is discarded under traffic: code for what no rehearsal shows, of which little is in a simple request. Where shapes differ it is 30. */
const MAX_BAILOUTS = 20;

const names = (log: string): string[] =>
  [...log.matchAll(/^\[completed optimizing \S+ <JSFunction ([^ >]+)/gm)].map(([, name]) => name);

test('code that a rehearsal has compiled serves the first requests', { skip: !plainSockets }, async (t) => {
  const [io] = await availableExecutors();
  const endpoint = await upstream(answering(() => OK));
  const directory = mkdtempSync(join(tmpdir(), 'sluice-'));
  t.after(() => endpoint.close());
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'v8.log');
  // V8 writes by blocks where it is not told otherwise.
  const traced = `node=$1; shift; exec stdbuf -oL "$node" --trace-opt --trace-deopt "$@" > ${file}`;
  const sluice = await startSluice(
    `workers: 1
drain: { hold: 0s }
listeners: [{ name: edge, listen: "127.0.0.1:0", service: one }]
services: { one: { protocol: http1, endpoints: ["${endpoint.address}"] } }
`,
    io,
    { SLUICE_WARMUP: 'auto' },
    ['sh', '-c', traced, 'sh'],
  );
  t.after(() => sluice.stop());
  const before = readFileSync(file, 'latin1');
  assert.ok(names(before).length > 0, 'V8 says what it compiles');
  const wire = await client(sluice.port('edge'));
  for (let sent = 0; sent < REQUESTS; sent += BATCH) {
    wire.write('GET / HTTP/1.1\r\nhost: one\r\n\r\n'.repeat(BATCH));
    for (let i = 0; i < BATCH; i++) assert.equal((await wire.message())?.status, 200);
  }
  const after = readFileSync(file, 'latin1').slice(before.length);
  const known = new Set(names(before));
  const again = names(after).filter((name) => known.has(name));
  assert.ok(again.length <= MAX_COMPILED, `${again.length} functions were compiled again: ${again}`);
  const bailouts = [...after.matchAll(/^\[bailout \(kind: [^,]+, reason: ([^)]*)\).* <JSFunction ([^ >]+)/gm)];
  assert.ok(bailouts.length <= MAX_BAILOUTS, bailouts.map(([line]) => line.slice(0, 160)).join('\n'));
});
