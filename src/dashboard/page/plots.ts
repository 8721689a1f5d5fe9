// The plots, made with uPlot in the page's colours, which may change with the system's theme.
import uPlot from 'uplot';
import { bucketFloorUs } from '../../live/buckets.js';
import { byId } from './dom.js';
import { ms, rate, round } from './format.js';
import { type Frame, merged, percentiles, SECONDS, spoken } from './history.js';

const HEIGHT = 200;
/** Ticks of the percentile axis: 1 / (1 − p), and the label. */
const PERCENTILES: readonly (readonly [odds: number, text: string])[] = [
  [1, '0'],
  [2, '50'],
  [10, '90'],
  [100, '99'],
  [1000, '99.9'],
  [10_000, '99.99'],
  [100_000, '99.999'],
];

export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axis(extra: uPlot.Axis): uPlot.Axis {
  const lines = { stroke: colour('--line'), width: 1 };
  return { stroke: colour('--weak'), grid: lines, ticks: lines, font: '12px system-ui, sans-serif', ...extra };
}

const LOG: uPlot.Scale = { distr: 3 };

interface Line {
  readonly label: string;
  readonly colour: string;
  readonly dash?: number[];
}

const line = ({ label, colour: name, dash }: Line): uPlot.Series => ({
  label,
  stroke: colour(name),
  width: 2,
  points: { show: false },
  ...(dash !== undefined && { dash }),
});

type Options = Omit<uPlot.Options, 'width' | 'height'>;

const noLegend = { legend: { show: false }, cursor: { show: false } } as const;

const seconds = (): uPlot.Axis =>
  axis({ values: (_, splits) => splits.map((at) => (at === 0 ? 'now' : `${at} s`)), space: 60 });

const times = (): Options['scales'] => ({ x: { time: false, range: [-SECONDS, 0] } });

const rateOptions = (): Options => ({
  ...noLegend,
  scales: { ...times(), y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
  axes: [seconds(), axis({ values: (_, splits) => splits.map((value) => round(value)), size: 56 })],
  series: [{}, { ...line({ label: 'requests a second', colour: '--accent' }), fill: `${colour('--accent')}22` }],
});

/** Extends a range to powers of ten, so that the axis has ticks. */
const decades = (_: uPlot, min: number | null, max: number | null): [number, number] => {
  const low = 10 ** Math.floor(Math.log10(Math.max(min ?? 0.1, 0.001)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(max ?? 10, 0.01)));
  return [low, Math.max(high, low * 10)];
};

/** Ticks at powers of ten only: there is no room for more. */
const powersAxis = (): uPlot.Axis =>
  axis({
    size: 56,
    splits: (_, __, min, max) => {
      const powers: number[] = [];
      for (let power = Math.ceil(Math.log10(min) - 1e-9); 10 ** power <= max * 1.0001; power++)
        powers.push(10 ** power);
      return powers;
    },
    values: (_, splits) => splits.map((value) => (value === null ? null : String(Number(value.toPrecision(1))))),
  });

const timesOptions = (): Options => ({
  ...noLegend,
  scales: { ...times(), y: { ...LOG, range: decades } },
  axes: [seconds(), powersAxis()],
  series: [
    {},
    line({ label: 'p50', colour: '--accent' }),
    line({ label: 'p95', colour: '--second', dash: [8, 4] }),
    line({ label: 'p99', colour: '--third', dash: [2, 4] }),
  ],
});

/** Without the median, which stands close to the axis. */
const apart = (odds: number): number | null => (odds === 2 ? null : odds);

const percentilesOptions = (): Options => ({
  ...noLegend,
  scales: { x: { ...LOG, time: false, range: (_, __, max) => [1, Math.max(100, max)] }, y: { ...LOG, range: decades } },
  axes: [
    axis({
      splits: (_, __, ___, max) => PERCENTILES.map(([odds]) => odds).filter((odds) => odds <= max),
      // uPlot leaves out what is no power of ten; here only what would touch its neighbour.
      filter: (plot, splits) => (plot.valToPos(2, 'x') - plot.valToPos(1, 'x') < 20 ? splits.map(apart) : splits),
      values: (_, splits) => splits.map((odds) => PERCENTILES.find(([known]) => known === odds)?.[1] ?? null),
    }),
    powersAxis(),
  ],
  series: [
    {},
    line({ label: 'the last minute', colour: '--accent' }),
    line({ label: 'the last 10 s', colour: '--second', dash: [8, 4] }),
  ],
});

/** One plot. It fits its container, and is made again when the colours change. */
class Plot {
  private readonly host: HTMLElement;
  private plot: uPlot | null = null;
  private data: uPlot.AlignedData = [[]];

  constructor(
    id: string,
    private readonly options: () => Options,
  ) {
    this.host = byId(id);
    new ResizeObserver(() => this.fit()).observe(this.host);
  }

  show(data: uPlot.AlignedData, summary: string): void {
    this.data = data;
    this.host.setAttribute('aria-label', summary);
    if (this.plot === null) this.make();
    else this.plot.setData(data);
  }

  make(): void {
    this.plot?.destroy();
    const width = Math.max(this.host.clientWidth, 100);
    this.plot = new uPlot({ ...this.options(), width, height: HEIGHT }, this.data, this.host);
  }

  private fit(): void {
    const width = this.host.clientWidth;
    if (this.plot !== null && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }
}

/** Two curves on one axis: uPlot needs a value of each curve at every position. */
function curves(frames: readonly Frame[]): uPlot.AlignedData {
  const minute = percentiles(merged(frames, 60));
  const short = percentiles(merged(frames, 10));
  const places = [...new Set([...minute, ...short].map(({ odds }) => odds))].sort((a, b) => a - b);
  const on = (curve: typeof minute): (number | null | undefined)[] => {
    // Where two buckets meet, the later one counts.
    const known = new Map(curve.map(({ odds, bucket }) => [odds, bucketFloorUs(bucket + 1) / 1000]));
    return places.map((odds) => known.get(odds));
  };
  return [places, on(minute), on(short)] as uPlot.AlignedData;
}

export class Plots {
  private readonly rate = new Plot('rate', rateOptions);
  private readonly times = new Plot('times', timesOptions);
  private readonly percentiles = new Plot('percentiles', percentilesOptions);

  show(name: string, frames: readonly Frame[]): void {
    const last = frames[frames.length - 1];
    if (last === undefined) return;
    const of = spoken(name);
    const at = frames.map((frame) => (frame.at - last.at) / 1000);
    const sum = `${rate(last.requests ?? 0)} requests a second`;
    this.rate.show([at, frames.map(({ requests }) => requests)], `Requests a second of ${of}: now ${sum}`);
    this.times.show(
      [at, frames.map(({ p50 }) => p50), frames.map(({ p95 }) => p95), frames.map(({ p99 }) => p99)],
      `Latency of ${of}: now p50 ${ms(last.p50)} ms, p95 ${ms(last.p95)} ms, p99 ${ms(last.p99)} ms`,
    );
    const [places, minute] = curves(frames);
    const worst = minute[places.length - 1];
    this.percentiles.show(
      curves(frames),
      `Latency of ${of} by percentile: the longest of the last minute ${ms(worst ?? null)} ms`,
    );
  }

  recolour(): void {
    for (const plot of [this.rate, this.times, this.percentiles]) plot.make();
  }
}
