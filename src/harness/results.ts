// Results of a run: the raw JSON behind reports and comparisons.
import type { LoadPlan } from '../load/plan.js';
import type { LoadResult } from '../load/result.js';

/** In the directory of a run. */
export const RESULT_FILE = 'result.json';

export interface Environment {
  readonly sluice: string;
  readonly node: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly architecture: string;
}

/** One round of one subject. */
export interface HarnessSample {
  readonly round: number;
  /** CPU time of all processes of the subject, from the scheduler's accounting, µs per unit of work. */
  readonly cpuUs: number;
  /** Share of it in user space, 0..1. */
  readonly userShare: number;
  /** Anonymous memory of all its processes after the load, bytes. */
  readonly memoryBytes: number;
  readonly contextSwitches: { readonly voluntary: number; readonly involuntary: number };
  /** Share of the measured cores used by others meanwhile, 0..1. */
  readonly foreign: number;
  /** The same of the cores of the load and the server behind. */
  readonly loadForeign?: number;
  readonly load: LoadResult;
}

/** One subject relative to another, in the same rounds. */
export interface Ratio {
  readonly to: string;
  /** Median of the rounds' ratios of CPU per unit of work. */
  readonly value: number;
  /** Its 95 % bootstrap interval. */
  readonly low: number;
  readonly high: number;
  /** `unclear` if the interval contains 1. */
  readonly verdict: 'less' | 'more' | 'unclear';
}

/** One point of a curve of latency against rate. */
export interface CurvePoint {
  readonly wantedRate: number;
  readonly rate: number;
  readonly cpuUs: number;
  /** In µs. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly errors: number;
  /** Whether it was within the limit. */
  readonly held: boolean;
}

export interface SubjectResult {
  readonly name: string;
  readonly version: string;
  /** Why it was not run: not installed, or not capable of this work. */
  readonly skipped: string | null;
  /** Why it has no further samples. */
  readonly failed: string | null;
  readonly samples: readonly HarnessSample[];
  readonly ratios: readonly Ratio[];
  /** First seconds of a new process: p99 of each, µs. */
  readonly coldP99: readonly number[];
  readonly curve: readonly CurvePoint[];
  /** Highest rate within the limit, requests per second; null: not searched. */
  readonly saturation: number | null;
}

export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  /** Unit of the work: `request`, `connection`, `message`, `GB`. */
  readonly unit: string;
  readonly plan: LoadPlan;
  readonly subjects: readonly SubjectResult[];
}

export interface HarnessResult {
  readonly format: 'sluice-bench';
  readonly version: 1;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly environment: Environment;
  readonly rounds: number;
  readonly interrupted: boolean;
  /** Remarks for the reader: shared cores, disturbances. */
  readonly notes?: readonly string[];
  readonly scenarios: readonly ScenarioResult[];
}
