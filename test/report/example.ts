// A result of the harness, made up: two subjects that ran, one that is missing and one that died.
import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { HarnessResult, HarnessSample, SubjectResult } from '../../src/harness/results.js';
import type { EncodedHistogram, LoadResult } from '../../src/load/result.js';

export function encoded(values: readonly number[]): EncodedHistogram {
  const histogram = build({ bitBucketSize: 64, numberOfSignificantValueDigits: 3, highestTrackableValue: 2 ** 31 - 1 });
  for (const value of values) histogram.recordValue(value);
  const sum = values.reduce((total, value) => total + value, 0);
  return { unit: 'us', v2: encodeIntoCompressedBase64(histogram), count: values.length, sum };
}

export const ramp = (count: number, step: number): number[] => Array.from({ length: count }, (_, i) => (i + 1) * step);

export function loadOf(step: number): LoadResult {
  const latency = encoded(ramp(1000, step));
  const interval = (second: number) => ({
    startMs: second * 1000,
    endMs: (second + 1) * 1000,
    done: 500,
    errors: 0,
    latency: encoded(ramp(500, step)),
  });
  return {
    startedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
    seconds: 2,
    done: 1000,
    bytesRead: 1,
    bytesWritten: 1,
    wantedRate: 500,
    unsent: 0,
    errors: { timeout: 1 },
    statuses: { 200: 1000 },
    connectionsOpened: 4,
    latency,
    service: latency,
    connect: encoded([]),
    intervals: [interval(0), interval(1)],
    cpu: { userUs: 1, systemUs: 1 },
    interrupted: false,
  };
}

const sample = (round: number, cpuUs: number, step: number): HarnessSample => ({
  round,
  cpuUs,
  userShare: 0.5,
  memoryBytes: 30 * 1024 * 1024,
  contextSwitches: { voluntary: 100, involuntary: 10 },
  foreign: 0,
  load: loadOf(step),
});

const subject = (name: string, over: Partial<SubjectResult>): SubjectResult => ({
  name,
  version: '1.0',
  skipped: null,
  failed: null,
  samples: [],
  ratios: [],
  coldP99: [],
  curve: [],
  saturation: null,
  ...over,
});

export function exampleResult(): HarnessResult {
  return {
    format: 'sluice-bench',
    version: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    environment: {
      sluice: '0.1.0',
      node: 'v20.0.0',
      kernel: '6.1',
      cpu: 'A <b>fast</b> one',
      cores: 2,
      memoryBytes: 2 ** 34,
      architecture: 'x64',
    },
    rounds: 2,
    interrupted: false,
    scenarios: [
      {
        name: 'h1',
        title: 'HTTP/1, 64 connections',
        unit: 'request',
        plan: {
          protocol: 'http1',
          targets: [{ address: '127.0.0.1', port: 80, authority: 'a', path: '/', weight: 1 }],
          method: 'GET',
          headers: [],
          bodyBytes: 0,
          pace: { kind: 'constant', rate: 500 },
          connections: 64,
          streams: 1,
          keepAlive: true,
          threads: 1,
          warmupSeconds: 1,
          seconds: 2,
          timeoutMs: 1000,
          io: 'auto',
          tls: null,
        },
        subjects: [
          subject('sluice-uring', {
            samples: [sample(1, 5, 10), sample(2, 5.2, 10)],
            ratios: [{ to: 'rival', value: 0.5, low: 0.45, high: 0.55, verdict: 'less' }],
            curve: [
              { wantedRate: 100, rate: 100, cpuUs: 5, p50: 100, p99: 900, p999: 1000, errors: 0, held: true },
              { wantedRate: 200, rate: 190, cpuUs: 5, p50: 100, p99: 90_000, p999: 100_000, errors: 0, held: false },
            ],
            saturation: 100,
          }),
          subject('rival', { samples: [sample(1, 10, 30), sample(2, 10.4, 30)] }),
          subject('absent', { skipped: 'not installed: <script>alert(1)</script>' }),
          subject('mortal', { samples: [sample(1, 8, 20)], failed: 'ended by SIGSEGV in round 2' }),
        ],
      },
    ],
  };
}
