// The output of `make run`: the suggestions once, then the table. On a terminal the table is redrawn every second. Elsewhere it is
// printed every five seconds.
import type { GoldenTotals } from '../metrics/golden.js';
import { goldenMetrics } from '../metrics/golden.js';
import { goldenTable } from './table.js';
import { readTotals } from './watch.js';

const TERMINAL_MS = 1000;
const PLAIN_MS = 5000;
const KEPT_NOTES = 3;
const DEFAULT_COLUMNS = 120;

export class Screen {
  readonly #tty = process.stdout.isTTY === true;
  readonly #notes: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Number of lines on the terminal that the next page overwrites. */
  #drawn = 0;
  #previous: { readonly totals: GoldenTotals; readonly atMs: number } | undefined;

  /** `admin` is the URL of the admin port, `introduction` the text above the table. */
  constructor(
    private readonly admin: string,
    private readonly introduction: string,
  ) {}

  /** Takes a line of the proxy's log. Warnings stay below the table. If nothing is redrawn, all lines go to stderr. */
  note(line: string): void {
    if (!this.#tty) process.stderr.write(`${line}\n`);
    else if (/"level":"(warn|error)"/.test(line)) this.#notes.splice(0, this.#notes.length - KEPT_NOTES + 1, line);
  }

  start(): void {
    process.stdout.write(`${this.introduction}\n`);
    // The first table always comes after a second.
    const turn = async (nextMs: number): Promise<void> => {
      await this.#draw();
      if (!this.#stopped) this.#timer = setTimeout(turn, nextMs, this.#tty ? TERMINAL_MS : PLAIN_MS);
    };
    void turn(TERMINAL_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #draw(): Promise<void> {
    let totals: GoldenTotals;
    try {
      totals = await readTotals(this.admin);
    } catch {
      // The proxy is busy or stopping; its end is noticed elsewhere.
      return;
    }
    const atMs = performance.now();
    const previous = this.#previous;
    this.#previous = { totals, atMs };
    if (previous === undefined || this.#stopped) return;
    const lines = goldenTable(goldenMetrics(previous.totals, totals, (atMs - previous.atMs) / 1000));
    process.stdout.write(this.#tty ? this.#page(lines) : `${lines.join('\n')}\n\n`);
  }

  /** Overwrites the previous lines. Each line is cut to the terminal's width, because wrapped lines can't be counted. */
  #page(table: readonly string[]): string {
    const columns = process.stdout.columns ?? DEFAULT_COLUMNS;
    const rows = process.stdout.rows ?? Number.POSITIVE_INFINITY;
    const lines = [...table, '', ...this.#notes].slice(0, rows - 1);
    const up = this.#drawn === 0 ? '' : `\x1b[${this.#drawn}A`;
    this.#drawn = lines.length;
    return `\r${up}${lines.map((line) => `${line.slice(0, columns)}\x1b[K\n`).join('')}\x1b[J`;
  }
}
