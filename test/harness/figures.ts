// Results as the harness makes them, without a run.
import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { HarnessResult, HarnessSample, ScenarioResult, SubjectResult } from '../../src/harness/results.js';
import { planOf, SCENARIOS } from '../../src/harness/scenarios.js';
import type { EncodedHistogram, LoadResult } from '../../src/load/result.js';

/** Of values in µs. */
export function encoded(values: readonly number[]): EncodedHistogram {
  const histogram = build({ useWebAssembly: false });
  for (const value of values) histogram.recordValue(value);
  const sum = values.reduce((total, value) => total + value, 0);
  return { unit: 'us', v2: encodeIntoCompressedBase64(histogram), count: values.length, sum };
}

export function loadOf(more: Partial<LoadResult> = {}): LoadResult {
  const latency = encoded([100, 200, 300]);
  return {
    startedAt: 0,
    seconds: 1,
    done: 1000,
    bytesRead: 1,
    bytesWritten: 1,
    wantedRate: null,
    unsent: 0,
    errors: {},
    statuses: { 200: 1000 },
    connectionsOpened: 1,
    latency,
    service: latency,
    connect: latency,
    intervals: [{ startMs: 0, endMs: 1000, done: 1000, errors: 0, latency }],
    cpu: { userUs: 1, systemUs: 1 },
    interrupted: false,
    ...more,
  };
}

export function sampleOf(more: Partial<HarnessSample>): HarnessSample {
  return {
    round: 0,
    cpuUs: 10,
    userShare: 0.5,
    memoryBytes: 1 << 20,
    contextSwitches: { voluntary: 1, involuntary: 1 },
    foreign: 0,
    load: loadOf(),
    ...more,
  };
}

export function subjectOf(
  name: string,
  samples: readonly HarnessSample[],
  more: Partial<SubjectResult> = {},
): SubjectResult {
  return {
    name,
    version: '1',
    skipped: null,
    failed: null,
    samples,
    ratios: [],
    coldP99: [],
    curve: [],
    saturation: null,
    ...more,
  };
}

export function scenarioOf(subjects: readonly SubjectResult[], more: Partial<ScenarioResult> = {}): ScenarioResult {
  const scenario = SCENARIOS[0];
  const { name, title, unit } = scenario;
  const plan = planOf(scenario, 1, { seconds: 1, threads: 1, io: 'auto' });
  return { name, title, unit, plan, subjects, ...more };
}

export function resultOf(scenarios: readonly ScenarioResult[], more: Partial<HarnessResult> = {}): HarnessResult {
  return {
    format: 'sluice-bench',
    version: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    environment: {
      sluice: '1',
      node: '20',
      kernel: '6',
      cpu: 'a cpu',
      cores: 2,
      memoryBytes: 1 << 30,
      architecture: 'x64',
    },
    rounds: 5,
    interrupted: false,
    scenarios,
    ...more,
  };
}
