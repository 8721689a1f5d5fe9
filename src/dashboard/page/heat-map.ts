// A heat map of latency over time: a column per second, four rows per doubling, more intense where there are more requests.
import { bucketFloorUs } from '../../live/buckets.js';
import { byId } from './dom.js';
import { ms } from './format.js';
import { type Frame, SECONDS, spoken } from './history.js';
import { colour } from './plots.js';

const HEIGHT = 200;
const LEFT = 56;
const BOTTOM = 22;
/** Buckets per row. There are 16 per doubling. */
const BUCKETS = 4;

export class HeatMap {
  private readonly host = byId('heat');
  private readonly canvas = document.createElement('canvas');
  private name = '';
  private frames: readonly Frame[] = [];

  constructor() {
    this.host.append(this.canvas);
    new ResizeObserver(() => this.draw()).observe(this.host);
  }

  show(name: string, frames: readonly Frame[]): void {
    this.name = name;
    this.frames = frames;
    this.draw();
  }

  draw(): void {
    const { canvas, frames } = this;
    const width = Math.max(this.host.clientWidth, 100);
    const scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = HEIGHT * scale;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${HEIGHT}px`;
    const context = canvas.getContext('2d');
    const last = frames[frames.length - 1];
    if (context === null || last === undefined) return;
    context.scale(scale, scale);
    const rows = frames.flatMap(({ distribution }) => distribution.map(([bucket]) => Math.floor(bucket / BUCKETS)));
    // At least three doublings: a single row would fill the whole height.
    const low = rows.reduce((least, row) => Math.min(least, row), rows[0] ?? 0) - 1;
    const high = Math.max(rows.reduce((most, row) => Math.max(most, row), low) + 2, low + 12);
    const area = { width: width - LEFT, height: HEIGHT - BOTTOM, low, high };
    this.cells(context, area, last.at);
    this.axes(context, area);
    const of = spoken(this.name);
    const range = rows.length === 0 ? 'no requests' : `from ${limit(low + 1)} to ${limit(high - 1)} ms`;
    this.host.setAttribute('aria-label', `Latency of ${of} over the last two minutes: ${range}`);
  }

  private cells(context: CanvasRenderingContext2D, { width, height, low, high }: Area, now: number): void {
    const step = width / SECONDS;
    const row = height / (high - low);
    let most = 1;
    const columns = this.frames.map(({ at, distribution }) => {
      const counts = new Map<number, number>();
      for (const [bucket, count] of distribution) {
        const at = Math.floor(bucket / BUCKETS);
        counts.set(at, (counts.get(at) ?? 0) + count);
        most = Math.max(most, counts.get(at) ?? 0);
      }
      return { at, counts };
    });
    context.fillStyle = colour('--accent');
    for (const { at, counts } of columns) {
      const x = LEFT + width + ((at - now) / 1000 - 1) * step;
      if (x < LEFT - step) continue;
      for (const [place, count] of counts) {
        // A single request must be visible beside thousands.
        context.globalAlpha = 0.18 + 0.82 * (Math.log1p(count) / Math.log1p(most));
        context.fillRect(x, height - (place - low + 1) * row, Math.max(step, 1), Math.max(row - 0.5, 1));
      }
    }
    context.globalAlpha = 1;
  }

  private axes(context: CanvasRenderingContext2D, { width, height, low, high }: Area): void {
    context.fillStyle = colour('--weak');
    context.font = '12px system-ui, sans-serif';
    context.textAlign = 'right';
    const step = Math.max(4, Math.ceil((high - low) / 6));
    for (let row = low + 1; row < high; row += step) {
      const y = height - ((row - low) * height) / (high - low);
      context.fillText(limit(row), LEFT - 6, y + 4);
    }
    context.textAlign = 'center';
    for (let at = -SECONDS + 30; at <= -30; at += 30)
      context.fillText(`${at} s`, LEFT + width * (1 + at / SECONDS), HEIGHT - 6);
    context.textAlign = 'right';
    context.fillText('now', LEFT + width, HEIGHT - 6);
  }
}

interface Area {
  readonly width: number;
  readonly height: number;
  readonly low: number;
  readonly high: number;
}

const limit = (row: number): string => ms(bucketFloorUs(Math.max(0, row) * BUCKETS) / 1000);
