import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClientSeries, type ClientSeriesName, OTHER_IDENTITIES } from '../../src/metrics/client-series.js';
import { LabelValues } from '../../src/metrics/label-values.js';
import { C, clientBase, listenerBase, MAX_CLIENT_SERIES, SEEN, SUMS_AT } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';

const LISTENERS = [
  { slot: 1, name: 'in', mesh: true, tls: 0 },
  { slot: 2, name: 'edge', mesh: false, tls: 3 },
  { slot: 3, name: 'plain', mesh: false, tls: 0 },
];

function series(most: number): { clients: ClientSeries; named: ClientSeriesName[] } {
  const clients = new ClientSeries();
  const named: ClientSeriesName[] = [];
  clients.named = (name) => named.push(name);
  clients.configure(LISTENERS, most);
  return { clients, named };
}

describe('blocks of clients', () => {
  it('are one for each listener and identity, and stay', () => {
    const { clients, named } = series(8);
    const first = clients.baseOf(1, SEEN.ENDED, 'a');
    assert.equal(first, clientBase(0));
    assert.equal(clients.baseOf(2, SEEN.ENDED, 'a'), clientBase(1));
    assert.equal(clients.baseOf(1, SEEN.NONE, ''), clientBase(2));
    assert.equal(clients.baseOf(1, SEEN.ENDED, ''), clientBase(3));
    assert.equal(clients.baseOf(1, SEEN.ENDED, 'a'), first);
    assert.deepEqual(
      named.map(({ listener, seen, identity }) => [listener, seen, identity]),
      [
        [1, SEEN.ENDED, 'a'],
        [2, SEEN.ENDED, 'a'],
        [1, SEEN.NONE, ''],
        [1, SEEN.ENDED, ''],
      ],
    );
    assert.deepEqual(
      [1, 2, 3].map((slot) => clients.waits(slot)),
      [true, true, false],
    );
  });

  it('are as many as identities may be, and one for the others', () => {
    const { clients, named } = series(2);
    for (let i = 0; i < 100; i++) clients.baseOf(1, SEEN.ENDED, `client-${i}`);
    assert.deepEqual(
      named.map(({ identity }) => identity),
      ['client-0', 'client-1', OTHER_IDENTITIES],
    );
    assert.equal(clients.baseOf(1, SEEN.ENDED, 'client-7'), clientBase(2));
  });

  it('run out without harm: the listener counts', () => {
    const { clients } = series(1 << 20);
    let last = 0;
    for (let i = 0; i < MAX_CLIENT_SERIES; i++) last = clients.baseOf(1, SEEN.ENDED, `client-${i}`);
    assert.ok(last + C.SIZE <= SUMS_AT);
    assert.equal(clients.baseOf(1, SEEN.ENDED, 'one more'), -1);
    assert.equal(clients.baseOf(2, SEEN.NONE, ''), -1);
    assert.equal(clients.baseOf(0, SEEN.NONE, ''), -1, 'the overflow of listeners');
  });

  it('of a slot that is another listener now are others', () => {
    const { clients } = series(8);
    const before = clients.baseOf(1, SEEN.ENDED, 'a');
    clients.configure([{ slot: 1, name: 'other', mesh: true, tls: 0 }], 8);
    assert.notEqual(clients.baseOf(1, SEEN.ENDED, 'a'), before);
  });
});

describe('the totals of clients', () => {
  it('are summed over workers, outlive them, and are bounded over all of them', () => {
    const reader = new MetricsReader({ maxIdentities: 2 });
    const slot = reader.listeners.acquire('in');
    reader.setListener(slot, { name: 'in', direction: 'inbound' });
    const workers = [0, 1].map((id) => {
      const memory = allocateWorkerMemory();
      reader.addWorker(id, memory);
      return new WorkerMetrics(memory).values;
    });
    const name = (worker: number, at: number, identity: string, opened: number): void => {
      reader.nameClients(worker, { series: at, listener: slot, seen: SEEN.ENDED, identity });
      workers[worker][clientBase(at) + C.OPEN_TOTAL] = opened;
      workers[worker][clientBase(at) + C.OPEN] = 1;
    };
    name(0, 0, 'a', 5);
    name(1, 0, 'b', 7);
    name(1, 1, 'a', 10);
    name(1, 2, 'c', 20);
    name(0, 1, 'd', 30);
    workers[0][listenerBase(slot) + C.OPEN_TOTAL] = 1;
    const totals = () =>
      Object.fromEntries(
        reader.snapshot().clients.map(({ info, values }) => [info.identity, [values[C.OPEN_TOTAL], values[C.OPEN]]]),
      );
    assert.deepEqual(totals(), { a: [15, 2], b: [7, 1], [OTHER_IDENTITIES]: [50, 2] });
    const [listener] = reader.snapshot().listeners.filter(({ info }) => info.name === 'in');
    assert.equal(listener.values[C.OPEN_TOTAL], 73);
    assert.equal(listener.own[C.OPEN_TOTAL], 1);
    reader.removeWorker(1);
    assert.deepEqual(totals(), { a: [15, 1], b: [7, 0], [OTHER_IDENTITIES]: [50, 1] });
  });
});

describe('values of a label', () => {
  it('are first come, first served', () => {
    const values = new LabelValues(2);
    assert.deepEqual(
      ['a', 'b', 'c', 'a', 'd'].map((name) => values.of(name)),
      ['a', 'b', OTHER_IDENTITIES, 'a', OTHER_IDENTITIES],
    );
  });
});
