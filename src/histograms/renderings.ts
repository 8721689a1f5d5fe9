// The output formats.

import { logHead, logLines } from './log-file.js';
import type { Rendering } from './rendering.js';

export const FORMATS = ['table', 'hgrm', 'log', 'json', 'csv', 'prometheus', 'otlp'] as const;
export type Format = (typeof FORMATS)[number];

export interface RenderingOptions {
  /** Width of the terminal. */
  readonly columns: number;
  /** Whether the recordings are intervals. */
  readonly delta: boolean;
  /** The collector's address. */
  readonly target: string | null;
}

const simple = (next: Rendering['next']): Rendering => ({ next, end: () => Promise.resolve(true) });

/** Loads only the code that the format needs. */
export async function renderings(format: Format, options: RenderingOptions): Promise<Rendering> {
  switch (format) {
    case 'log':
      return logRendering();
    case 'prometheus': {
      const { prometheusText } = await import('./prometheus-text.js');
      return simple(({ histograms }) => prometheusText(histograms));
    }
    case 'otlp': {
      const { otlpRendering } = await import('./otlp-rendering.js');
      return otlpRendering(options.target ?? '', options.delta);
    }
    default:
      return textRendering(format, options);
  }
}

async function textRendering(format: 'table' | 'hgrm' | 'json' | 'csv', options: RenderingOptions): Promise<Rendering> {
  const { CSV_HEAD, csvLines, hgrmOf, jsonOf, table } = await import('./render.js');
  let head = format === 'csv' ? CSV_HEAD : '';
  return simple((recording) => {
    const before = head;
    head = '';
    switch (format) {
      case 'csv':
        return before + csvLines(recording);
      case 'json':
        return `${options.delta ? JSON.stringify(jsonOf(recording)) : JSON.stringify(jsonOf(recording), null, 2)}\n`;
      case 'hgrm': {
        const [one, ...others] = recording.histograms;
        if (one === undefined) throw new Error('nothing was recorded yet');
        if (others.length === 0) return hgrmOf(one);
        const count = recording.histograms.length;
        throw new Error(`a .hgrm holds one histogram, and these are ${count}: name one ID, or --out DIRECTORY/`);
      }
      case 'table': {
        const filled = recording.histograms.filter(({ histogram }) => histogram.totalCount > 0);
        const time = options.delta ? `${new Date(recording.endMs).toISOString()}\n` : '';
        return time + table(filled, options.columns) + (options.delta ? '\n' : '');
      }
    }
  });
}

/** Writes the head with the first recording. The times of all lines are relative to its start. */
function logRendering(): Rendering {
  let baseMs: number | null = null;
  return simple((recording) => {
    const first = baseMs === null;
    baseMs ??= recording.startMs;
    const units = new Set(recording.histograms.map(({ unit }) => unit));
    return (first ? logHead(baseMs, units) : '') + logLines(recording, baseMs);
  });
}
