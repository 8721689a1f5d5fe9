// Decides when requests are sent: given the time, it says what is due and when the next request is. No clock, no sockets.
//
// A schedule counts µs since the start. It does not know the outcomes of requests: a caller that cannot send one in time takes it later,
// and learns when it was due. So latency can count from the due time, and a stalling server is charged for everything that it kept waiting.
import type { Pace } from './plan.js';

export interface Schedule {
  /** One cell: when the next request is due; Infinity: none is left. A cell, because passing a number with a fraction allocates. */
  readonly next: Float64Array;
  /** Takes the next one. */
  advance(): void;
  /** How many are due at `now` and not taken. */
  due(now: number): number;
  /** Those that were due before `time` are not taken any more. */
  skip(time: number): void;
}

const PER_SECOND = 1_000_000;

/** A period with its own rate. */
export interface RateStep {
  /** Per second. */
  readonly rate: number;
  readonly seconds: number;
}

/** Evenly spaced, at a rate that may change in steps. */
export class SteadySchedule implements Schedule {
  readonly next = new Float64Array(1);
  private taken = 0;
  private at = 0;
  /** Of each stretch: when it begins, requests before it, requests per µs; behind them an end. */
  private readonly begins: number[] = [0];
  private readonly before: number[] = [0];
  private readonly rates: number[] = [];

  /** `offset`: position of the first request within the first interval, 0..1, so that several schedules together are even, too. */
  constructor(
    stretches: readonly RateStep[],
    private readonly offset = 0,
  ) {
    for (const [i, { rate, seconds }] of stretches.entries()) {
      this.rates.push(rate / PER_SECOND);
      this.begins.push(this.begins[i] + seconds * PER_SECOND);
      this.before.push(this.before[i] + rate * seconds);
    }
    this.find();
  }

  advance(): void {
    this.taken++;
    this.find();
  }

  due(now: number): number {
    let i = 0;
    while (i < this.rates.length - 1 && now >= this.begins[i + 1]) i++;
    const end = Math.min(now, this.begins[i + 1]);
    if (end < 0 || this.rates.length === 0) return 0;
    const passed = this.before[i] + (end - this.begins[i]) * this.rates[i] - this.offset;
    // A request due exactly at the end belongs to the next period.
    const count = now >= this.begins[this.rates.length] ? Math.ceil(passed - 1e-6) : Math.floor(passed + 1e-6) + 1;
    return Math.max(0, count - this.taken);
  }

  skip(time: number): void {
    // Most of them at once, and those around `time` one by one.
    this.taken += Math.max(0, this.due(time) - 2);
    this.find();
    while (this.next[0] < time) this.advance();
  }

  private find(): void {
    const number = this.taken + this.offset;
    while (this.at < this.rates.length && number >= this.before[this.at + 1] - 1e-6) this.at++;
    const { at } = this;
    this.next[0] =
      at === this.rates.length
        ? Number.POSITIVE_INFINITY
        : this.begins[at] + Math.max(0, number - this.before[at]) / this.rates[at];
  }
}

/** Independent arrivals, as from many independent clients. */
export class PoissonSchedule implements Schedule {
  readonly next = new Float64Array(1);
  private readonly end: number;
  private readonly mean: number;
  private state: number;
  /** How far `due` has looked ahead, while nothing is taken. */
  private readonly ahead = new Float64Array(1);

  constructor({ rate, seconds }: RateStep, seed: number) {
    this.end = seconds * PER_SECOND;
    this.mean = PER_SECOND / rate;
    this.state = (seed ^ 0x9e3779b9) >>> 0;
    this.next[0] = 0;
    this.advance();
  }

  advance(): void {
    this.next[0] = this.after(this.next[0]);
  }

  /** As expensive as taking them: for the end only. */
  due(now: number): number {
    const { state } = this;
    this.ahead[0] = this.next[0];
    let count = 0;
    while (this.ahead[0] <= now) {
      count++;
      this.ahead[0] = this.after(this.ahead[0]);
    }
    this.state = state;
    return count;
  }

  /** Costs as much as taking them. */
  skip(time: number): void {
    while (this.next[0] < time) this.advance();
  }

  private after(at: number): number {
    const next = at - Math.log(1 - this.random()) * this.mean;
    return next < this.end ? next : Number.POSITIVE_INFINITY;
  }

  /** 0..1, never 1 (mulberry32). */
  private random(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
}

/** One part of a load shared by several threads. */
export interface Portion {
  /** Share of the total rate, 0..1. */
  readonly share: number;
  /** Its position among the portions, 0..1: they start one after the other. */
  readonly offset: number;
  readonly number: number;
}

/** The schedule of a portion; null if requests wait for answers. The warm-up has the rate of the first period. */
export function scheduleOf(pace: Pace, warmupSeconds: number, seconds: number, portion: Portion): Schedule | null {
  switch (pace.kind) {
    case 'closed':
      return null;
    case 'constant':
      return new SteadySchedule(
        [{ rate: pace.rate * portion.share, seconds: warmupSeconds + seconds }],
        portion.offset,
      );
    case 'poisson':
      return new PoissonSchedule(
        { rate: pace.rate * portion.share, seconds: warmupSeconds + seconds },
        pace.seed + portion.number * 7919,
      );
    case 'steps': {
      const [first] = pace.steps;
      const steps = pace.steps.map((step) => ({ ...step, rate: step.rate * portion.share }));
      const warmup = warmupSeconds > 0 ? [{ rate: first.rate * portion.share, seconds: warmupSeconds }] : [];
      return new SteadySchedule([...warmup, ...steps], portion.offset);
    }
  }
}
