import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { build } from 'hdr-histogram-js';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { H, H2_ERRORS, H2_ROLES, h2Error } from '../../src/http2/counters.js';
import { H2_ERROR } from '../../src/http2/frame.js';
import {
  C,
  CLOSE_REASONS,
  E,
  endpointHistogram,
  GRPC_CODES,
  HISTOGRAM,
  HISTOGRAM_SLOTS,
  h2Base,
  histogramCount,
  isGrpcFailure,
  L,
  LIMITS,
  LISTENER_TLS,
  listenerHistogram,
  MAX_ENDPOINT_SERIES,
  MAX_LISTENERS,
  MAX_SERVICE_SERIES,
  REASONS,
  S,
  SUMS_AT,
  serviceHistogram,
  VERDICTS,
  verdictField,
  W,
  WORKER_HISTOGRAMS,
  workerHistogram,
} from '../../src/metrics/layout.js';
import { RESPONSE_CELLS } from '../../src/metrics/response-cells.js';
import { allocateWorkerMemory, slotOf, WorkerMetrics } from '../../src/metrics/shared.js';
import { runs } from '../support/runs.js';

/** The parts of JsHistogram's index arithmetic that its types keep private. */
interface Reference {
  readonly countsArrayLength: number;
  countsArrayIndex(value: number): number;
}

const reference = build({
  bitBucketSize: 64,
  lowestDiscernibleValue: HISTOGRAM.lowest,
  highestTrackableValue: HISTOGRAM.highest,
  numberOfSignificantValueDigits: HISTOGRAM.digits,
}) as unknown as Reference;

test('a histogram has as many slots as hdr-histogram-js gives it', () => {
  assert.equal(HISTOGRAM_SLOTS, reference.countsArrayLength);
  assert.equal(slotOf(HISTOGRAM.highest), HISTOGRAM_SLOTS - 1);
});

test('every value takes the slot that hdr-histogram-js gives it', () => {
  const same = (value: number) => assert.equal(slotOf(value), reference.countsArrayIndex(value), String(value));
  for (let value = 0; value < 5000; value++) same(value);
  for (let bit = 8; bit < 31; bit++) for (let step = -2; step <= 2; step++) same(2 ** bit + step);
  fc.assert(fc.property(fc.integer({ min: 0, max: HISTOGRAM.highest }), same), { numRuns: runs(5000) });
});

test('recording counts one and adds to the sum of that histogram only', () => {
  const memory = allocateWorkerMemory();
  const metrics = new WorkerMetrics(memory);
  const counts = new Uint32Array(memory.histograms);
  const at = endpointHistogram(7, 1);
  metrics.record(at, 1234);
  metrics.record(at, 1234.9);
  assert.equal(counts[at * HISTOGRAM_SLOTS + slotOf(1234)], 2);
  assert.equal(metrics.values[SUMS_AT + at], 2468);
  assert.equal(
    counts.reduce((total, count) => total + count, 0),
    2,
  );
});

test('values that a clock should not give stay inside the histogram', () => {
  const memory = allocateWorkerMemory();
  const metrics = new WorkerMetrics(memory);
  const counts = new Uint32Array(memory.histograms);
  const first = serviceHistogram(1, 0);
  for (const value of [-1, Number.NaN, -0.5, Number.NEGATIVE_INFINITY]) metrics.record(first, value);
  assert.equal(counts[first * HISTOGRAM_SLOTS], 4);
  assert.equal(metrics.values[SUMS_AT + first], 0);
  for (const value of [2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY]) metrics.record(first, value);
  assert.equal(counts[first * HISTOGRAM_SLOTS + HISTOGRAM_SLOTS - 1], 3);
  assert.equal(counts[(first + 1) * HISTOGRAM_SLOTS], 0);
});

test('each histogram has a number of its own', () => {
  const numbers = new Set<number>(WORKER_HISTOGRAMS.map((_, index) => workerHistogram(index)));
  for (let slot = 0; slot < MAX_LISTENERS; slot++) numbers.add(listenerHistogram(slot, 0));
  for (let slot = 0; slot < MAX_SERVICE_SERIES; slot++) {
    for (let cell = 0; cell < RESPONSE_CELLS; cell++) numbers.add(serviceHistogram(slot, cell));
  }
  for (let slot = 0; slot < MAX_ENDPOINT_SERIES; slot++) {
    numbers.add(endpointHistogram(slot, 0));
    numbers.add(endpointHistogram(slot, 1));
  }
  assert.equal(numbers.size, histogramCount(MAX_ENDPOINT_SERIES));
  assert.equal(Math.max(...numbers), histogramCount(MAX_ENDPOINT_SERIES) - 1);
});

test('the lists fit the room that the layout leaves them', () => {
  assert.ok(W.LIMIT + LIMITS.length <= W.RESPONSE);
  assert.ok(W.RESPONSE + RESPONSE_REASONS.length <= W.HTTP2);
  assert.ok(W.HTTP2 + H2_ROLES.length * H.SIZE <= W.SIZE);
  assert.ok(L.CLOSE + CLOSE_REASONS.length <= L.REQUESTS);
  assert.ok(verdictField(VERDICTS.length, 0) <= L.TLS);
  assert.ok(L.TLS + LISTENER_TLS.length <= L.COUNTED_BY_IDENTITY);
  for (const key of ['OPEN_TOTAL', 'OPEN', 'READ_BYTES', 'WRITE_BYTES', 'CLOSE', 'REQUESTS'] as const) {
    assert.equal(C[key], L[key], 'the counters of clients are those of their listener');
    assert.equal(E[key], L[key]);
  }
  assert.ok(S.RESPONSE + RESPONSE_REASONS.length <= S.GRPC_STATUS);
  assert.ok(S.GRPC_STATUS + GRPC_CODES <= S.SIZE);
  assert.ok(E.CLOSE + CLOSE_REASONS.length <= E.REQUESTS);
  assert.ok(E.STATUS + 500 <= E.GRPC_STATUS);
  assert.ok(E.GRPC_STATUS + GRPC_CODES <= E.SIZE);
});

test('no two fields share a place', () => {
  const blocks: Readonly<Record<string, number>> = {
    'W.LIMIT': LIMITS.length,
    'W.RESPONSE': RESPONSE_REASONS.length,
    'W.HTTP2': H2_ROLES.length * H.SIZE,
    'H.RESET_SENT': H2_ERRORS.length,
    'H.RESET_RECEIVED': H2_ERRORS.length,
    'H.GOAWAY_SENT': H2_ERRORS.length,
    'H.GOAWAY_RECEIVED': H2_ERRORS.length,
    'L.CLOSE': CLOSE_REASONS.length,
    'L.VERDICT': VERDICTS.length * REASONS.length,
    'L.TLS': LISTENER_TLS.length,
    'S.RESPONSE': RESPONSE_REASONS.length,
    'S.GRPC_STATUS': GRPC_CODES,
    'E.CLOSE': CLOSE_REASONS.length,
    'C.CLOSE': CLOSE_REASONS.length,
    'E.STATUS': 500,
    'E.GRPC_STATUS': GRPC_CODES,
    'E.PASSED': E.REQUESTS,
  };
  for (const [kind, layout] of Object.entries({ W, H, L, S, E, C })) {
    const { SIZE, ...fields } = layout as Readonly<Record<string, number>>;
    const taken = new Map<number, string>();
    for (const [key, at] of Object.entries(fields)) {
      const length = blocks[`${kind}.${key}`] ?? 1;
      for (let place = at; place < at + length; place++) {
        assert.ok(place < SIZE, `${kind}.${key}`);
        assert.equal(taken.get(place), undefined, `${kind}.${key}`);
        taken.set(place, key);
      }
    }
  }
  assert.equal(h2Base(1) - h2Base(0), H.SIZE);
});

test('HTTP/2 error codes are counted by the names of the RFC, all others as one', () => {
  for (const [name, code] of Object.entries(H2_ERROR)) assert.equal(H2_ERRORS[h2Error(code)], name);
  for (const code of [14, 255, 2 ** 31, 2 ** 32 - 1, -1]) assert.equal(H2_ERRORS[h2Error(code)], 'other');
});

test('gRPC statuses that blame the service are failures, those that blame the client are not', () => {
  const failures = Array.from({ length: GRPC_CODES }, (_, code) => code).filter(isGrpcFailure);
  assert.deepEqual(failures, [2, 4, 7, 13, 14, 15]);
});
