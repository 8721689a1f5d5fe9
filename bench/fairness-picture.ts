// docs/fairness.svg: which endpoint served how much of one client's calls, and what the client felt of it.
import { Svg } from '../src/report/svg.js';

export interface FairnessRun {
  readonly name: string;
  /** By endpoint, each 0..1. */
  readonly shares: readonly number[];
  /** ms from a call to its answer. */
  readonly p50: number;
  readonly p99: number;
  readonly mean: number;
  readonly calls: number;
  readonly errors: number;
  readonly callsPerSecond: number;
}

export interface FairnessResult {
  readonly seconds: number;
  readonly rate: number;
  readonly fastMs: number;
  readonly slowMs: number;
  /** Index of the slow endpoint. */
  readonly slow: number;
  readonly runs: readonly FairnessRun[];
}

const WIDTH = 860;
const LEFT = 250;
const RIGHT = 220;
const COLUMN = 66;
const TOP = 84;
const ROW = 46;
const NAMES: Readonly<Record<string, readonly [string, string]>> = {
  sluice: ['Sluice', 'call by call, Peak EWMA'],
  'haproxy-leastconn': ['HAProxy, HTTP/2', 'call by call, leastconn'],
  connections: ['connections balanced', 'this one met a fast endpoint'],
  'connections-unlucky': ['connections balanced', 'this one met the slow endpoint'],
};

const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

export function drawFairness({ rate, fastMs, slowMs, slow, runs }: FairnessResult): string {
  const svg = new Svg(WIDTH, TOP + runs.length * ROW + 14);
  const x = (share: number) => LEFT + share * (WIDTH - LEFT - RIGHT);
  const title = `Who serves one gRPC client: ${rate.toLocaleString('en')} calls a second on one connection`;
  svg.text(16, 26, title, { class: 'title' });
  svg.rectangle(16, 40, 10, 10, { class: 'c0' });
  svg.text(32, 50, `endpoints that take ${fastMs} ms`, { class: 'muted' });
  svg.rectangle(202, 40, 10, 10, { class: 'c2' });
  svg.text(218, 50, `the one that takes ${slowMs} ms`, { class: 'muted' });
  const column = (index: number) => WIDTH - RIGHT + 16 + index * COLUMN;
  ['slow one', 'p50', 'p99'].forEach((heading, index) => {
    svg.text(column(index), TOP - 10, heading, { class: 'muted small' });
  });
  svg.text(x(0), TOP - 10, 'share of the calls', { class: 'muted small' });
  runs.forEach((run, row) => {
    const y = TOP + row * ROW;
    const [name, how] = NAMES[run.name] ?? [run.name, ''];
    svg.text(LEFT - 12, y + 15, name, { class: 'strong', 'text-anchor': 'end' });
    svg.text(LEFT - 12, y + 30, how, { class: 'muted small', 'text-anchor': 'end' });
    let from = 0;
    run.shares.forEach((share, endpoint) => {
      // Neighbours of one colour are told apart by a gap.
      const width = x(from + share) - x(from) - 2;
      const colour = endpoint === slow ? 'c2' : 'c0';
      if (width > 0) svg.rectangle(x(from), y + 4, width, ROW - 16, { class: colour, rx: 2 });
      // Text is only put where it fits.
      if (width > 36) {
        svg.text(x(from) + width / 2, y + 23, percent(share), { class: 'inside', 'text-anchor': 'middle' });
      }
      from += share;
    });
    svg.text(column(0), y + 23, percent(run.shares[slow]), { class: 'strong' });
    svg.text(column(1), y + 23, `${run.p50.toFixed(1)} ms`);
    svg.text(column(2), y + 23, `${run.p99.toFixed(1)} ms`);
  });
  return svg.toString();
}
