// docs/balance.svg: who got the traffic, second by second, under each policy.
import { Svg } from '../src/report/svg.js';

export type Endpoint = 'healthy' | 'slow' | 'failing';

export interface BalanceRun {
  readonly policy: string;
  /** `shares` in the order of the endpoints, each 0..1. */
  readonly steps: readonly { readonly at: number; readonly shares: readonly number[] }[];
  /** While the trouble was on: latency of the good answers in ms, and the share that failed. */
  readonly troubled: { readonly p50: number; readonly p99: number; readonly failed: number };
  readonly requests: number;
}

export interface BalanceResult {
  readonly seconds: number;
  readonly rate: number;
  readonly troubleFrom: number;
  readonly troubleTo: number;
  readonly endpoints: readonly Endpoint[];
  readonly runs: readonly BalanceRun[];
}

const WIDTH = 760;
const LEFT = 50;
const RIGHT = 200;
const TOP = 78;
const PANEL = 120;
const GAP = 46;
const LEGEND: Readonly<Record<Endpoint, string>> = {
  healthy: 'healthy endpoint',
  slow: 'becomes 50 ms slower',
  failing: 'answers 503 at once',
};
const NAMES: Readonly<Record<string, string>> = { ewma: 'Peak EWMA (default)', 'round-robin': 'Round robin' };

export function drawBalance({ seconds, troubleFrom, troubleTo, endpoints, runs }: BalanceResult): string {
  const svg = new Svg(WIDTH, TOP + runs.length * (PANEL + GAP) + 4);
  const x = (second: number) => LEFT + (second / seconds) * (WIDTH - LEFT - RIGHT);
  svg.text(16, 26, 'Who gets the traffic when two of three endpoints go bad', { class: 'title' });
  endpoints.forEach((endpoint, index) => {
    svg.rectangle(16 + index * 170, 40, 10, 10, { class: `c${index}` });
    svg.text(32 + index * 170, 50, LEGEND[endpoint], { class: 'muted' });
  });
  runs.forEach((run, panel) => {
    const top = TOP + panel * (PANEL + GAP);
    const y = (share: number) => top + PANEL * (1 - share);
    const beneath = run.steps.map(() => 0);
    endpoints.forEach((_, index) => {
      const lower = run.steps.map(({ at }, step) => [x(at), y(beneath[step])] as const);
      run.steps.forEach(({ shares }, step) => {
        beneath[step] += shares[index];
      });
      const upper = run.steps.map(({ at }, step) => [x(at), y(beneath[step])] as const);
      const last = [
        [x(seconds), y(beneath[beneath.length - 1])],
        [x(seconds), lower[lower.length - 1][1]],
      ] as const;
      svg.area([...upper, ...last, ...lower.reverse()], { class: `c${index}`, 'fill-opacity': 0.85 });
    });
    for (const edge of [troubleFrom, troubleTo]) svg.line(x(edge), top - 6, x(edge), top + PANEL, { class: 'bar' });
    svg.text(x(troubleFrom) + 4, top - 6, 'trouble', { class: 'barText small' });
    for (const share of [0, 0.5, 1]) {
      svg.text(LEFT - 8, y(share) + 4, `${share * 100} %`, { class: 'muted small', 'text-anchor': 'end' });
    }
    for (const second of [0, seconds / 4, seconds / 2, (seconds * 3) / 4, seconds]) {
      svg.text(x(second), top + PANEL + 15, `${second} s`, { class: 'muted small', 'text-anchor': 'middle' });
    }
    const side = WIDTH - RIGHT + 16;
    svg.text(side, top + 16, NAMES[run.policy] ?? run.policy, { class: 'strong' });
    svg.text(side, top + 42, `failed ${(run.troubled.failed * 100).toFixed(1)} %`);
    svg.text(side, top + 60, `p50 ${run.troubled.p50.toFixed(0)} ms`);
    svg.text(side, top + 78, `p99 ${run.troubled.p99.toFixed(0)} ms`);
    svg.text(side, top + 96, 'while the trouble lasts', { class: 'muted small' });
  });
  return svg.toString();
}
