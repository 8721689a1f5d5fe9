import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noTapCounts } from '../../src/tap/counts.js';
import { parseTap } from '../../src/tap/parse.js';
import type { TapRequest } from '../../src/tap/request.js';
import { Taps } from '../../src/tap/taps.js';

function start(config = { listeners: 2, maxRps: 100, maxBuffered: 1000 }) {
  const counts = noTapCounts();
  const told: (readonly TapRequest[])[] = [];
  const taps = new Taps({ counts, config: () => config, tell: async (all) => void told.push(all) });
  const open = (query = '', reads = () => true) => {
    const text: string[] = [];
    const request = parseTap(new URLSearchParams(query), taps.nextId(), taps.maxRps);
    const close = taps.open(request, {
      write: (lines) => {
        if (!reads()) return false;
        text.push(lines);
        return true;
      },
    });
    return { id: request.id, close, records: () => text.filter((line) => !line.includes('"tap"')) };
  };
  return { counts, told, taps, open };
}

test('workers are told who listens, and when nobody does any more', (t) => {
  const { counts, told, open } = start();
  const one = open('path=/a');
  const two = open();
  t.after(() => two.close?.());
  assert.deepEqual(
    told.map((all) => all.map(({ path }) => path)),
    [['/a'], ['/a', null]],
  );
  assert.equal(counts.listeners, 2);
  one.close?.();
  one.close?.();
  assert.deepEqual(
    told.at(-1)?.map(({ id }) => id),
    [two.id],
  );
  assert.equal(told.length, 3);
  assert.equal(counts.listeners, 1);
});

test('no more listen than may, and a place is free again when one has left', () => {
  const { counts, open } = start();
  const all = [open(), open(), open()];
  assert.deepEqual(
    all.map(({ close }) => close === null),
    [false, false, true],
  );
  assert.equal(counts.refused, 1);
  all[0].close?.();
  const next = open();
  assert.notEqual(next.close, null);
  for (const { close } of [...all, next]) close?.();
  assert.equal(counts.listeners, 0);
});

test('all workers together stay within the rate', (t) => {
  const { counts, taps, open } = start();
  const tap = open('maxRps=3');
  t.after(() => tap.close?.());
  const lines = ['"a":1', '"b":2'];
  taps.received({ id: tap.id, lines, leftOut: 4 });
  taps.received({ id: tap.id, lines, leftOut: 0 });
  taps.received({ id: 999, lines, leftOut: 1 });
  assert.deepEqual(tap.records(), ['{"a":1}\n{"b":2}\n', '{"a":1}\n']);
  assert.equal(counts.records, 3);
  assert.equal(counts.leftOut.rate, 5);
});

test('who does not read loses records, and they are counted', (t) => {
  const { counts, taps, open } = start();
  let reads = true;
  const tap = open('', () => reads);
  t.after(() => tap.close?.());
  reads = false;
  taps.received({ id: tap.id, lines: ['"a":1', '"b":1'], leftOut: 0 });
  reads = true;
  taps.received({ id: tap.id, lines: ['"c":1'], leftOut: 0 });
  assert.deepEqual(tap.records(), ['{"c":1}\n']);
  assert.equal(counts.leftOut.reader, 2);
  assert.equal(counts.records, 1);
});
