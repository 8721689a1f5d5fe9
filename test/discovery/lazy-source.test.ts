import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSource } from '../../src/config/model.js';
import { LazySource } from '../../src/discovery/lazy-source.js';
import type { Report, Source, WatchSpec } from '../../src/discovery/source.js';

type FileSpec = Extract<EndpointSource, { kind: 'file' }>;

test('a late source is loaded once, with the first watch; who has stopped by then is not heard of', async () => {
  let loaded = 0;
  const open = new Set<string>();
  const real: Source<FileSpec> = {
    watch: ({ service }, report) => {
      open.add(service);
      report({ kind: 'failed', reason: service });
      return { stop: () => open.delete(service) };
    },
  };
  const source = new LazySource<FileSpec>(async () => {
    loaded++;
    return real;
  });
  assert.equal(loaded, 0);
  const heard: string[] = [];
  const report: Report = (update) => heard.push(update.kind === 'failed' ? update.reason : '');
  const spec = (service: string): WatchSpec<FileSpec> => ({
    service,
    source: { kind: 'file', path: '/nowhere', key: null },
    minTtlMs: 0,
    maxTtlMs: 0,
    known: null,
  });
  const [first, second] = [source.watch(spec('first'), report), source.watch(spec('second'), report)];
  second.stop();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([loaded, heard, [...open]], [1, ['first'], ['first']]);
  first.stop();
  assert.equal(open.size, 0);
});
