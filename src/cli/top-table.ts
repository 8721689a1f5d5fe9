// The counts of `sluice top` by method and path. Their number is bounded, however many paths there are.

import { type Column, milliseconds, percent } from './tables.js';
import { succeeded } from './tap-line.js';
import type { TapRecord } from './tap-options.js';
import { escapeForTerminal } from './terminal-text.js';

/** Maximum number of rows. Requests for further paths are counted together. */
export const MAX_ROWS = 1000;
/** Characters of a path that are shown, unless the output is wide. */
const MAX_PATH_LENGTH = 60;
const MAX_KEY_LENGTH = 1024;

export interface TopRow {
  readonly method: string;
  /** The path without its query. */
  readonly path: string;
  readonly service: string;
  count: number;
  failed: number;
  bestMs: number;
  worstMs: number;
  lastMs: number;
}

export class TopTable {
  /** Requests seen. */
  count = 0;
  /** Of those, requests for paths beyond MAX_ROWS. */
  others = 0;
  readonly #rows = new Map<string, TopRow>();

  /** Counts a record, if it is a request. */
  note(record: TapRecord): void {
    if (record.message !== 'request') return;
    this.count++;
    const row = this.#row(record);
    if (row === null) {
      this.others++;
      return;
    }
    const ms = typeof record.responseMs === 'number' ? record.responseMs : Number(record.durationMs ?? 0);
    if (!succeeded(record)) row.failed++;
    row.bestMs = row.count === 0 ? ms : Math.min(row.bestMs, ms);
    row.worstMs = Math.max(row.worstMs, ms);
    row.lastMs = ms;
    row.count++;
  }

  /** Rows with the most requests first. */
  rows(most = Number.POSITIVE_INFINITY): readonly TopRow[] {
    const all = [...this.#rows.values()];
    return all.sort((a, b) => b.count - a.count || (a.path < b.path ? -1 : 1)).slice(0, most);
  }

  #row(record: TapRecord): TopRow | null {
    const method = String(record.method ?? '');
    const path = String(record.path ?? '')
      .replace(/\?.*$/s, '')
      .slice(0, MAX_KEY_LENGTH);
    const service = String(record.service ?? '');
    const key = JSON.stringify([method, path, service]);
    let row = this.#rows.get(key);
    if (row === undefined) {
      if (this.#rows.size >= MAX_ROWS) return null;
      row = { method, path, service, count: 0, failed: 0, bestMs: 0, worstMs: 0, lastMs: 0 };
      this.#rows.set(key, row);
    }
    return row;
  }
}

export const topColumns = (wide: boolean): readonly Column<TopRow>[] => [
  { head: 'PATH', left: true, cell: ({ path }) => escapeForTerminal(path, wide ? undefined : MAX_PATH_LENGTH) || '-' },
  { head: 'METHOD', left: true, cell: ({ method }) => escapeForTerminal(method, 16) },
  { head: 'SERVICE', left: true, cell: ({ service }) => escapeForTerminal(service, 40) || '-' },
  { head: 'COUNT', cell: ({ count }) => String(count) },
  { head: 'BEST', cell: ({ bestMs }) => milliseconds(bestMs) },
  { head: 'WORST', cell: ({ worstMs }) => milliseconds(worstMs) },
  { head: 'LAST', cell: ({ lastMs }) => milliseconds(lastMs) },
  { head: 'SUCCESS', cell: ({ count, failed }) => percent((count - failed) / count) },
];
