// `sluice top`: a live table of a running proxy's requests by method and path.
import { parseDuration, ValueError } from '../config/values.js';
import { table, terminalWidth } from './tables.js';
import { follow, TAP_HELP, TAP_OPTIONS, type TapRecord, tapCall } from './tap-options.js';
import { TopTable, topColumns } from './top-table.js';
import { untilInterrupted } from './until-interrupted.js';
import { type Arguments, type Command, parseArguments, print, UsageError } from './usage.js';

const OUTPUTS = ['text', 'wide', 'json'];
/** Interval between tables, ms: on a terminal, where the table is redrawn, and elsewhere. */
const REDRAW_MS = 1000;
const REPRINT_MS = 10_000;
/** Terminal sequences: cursor home, clear below, clear to the end of the line, clear all. */
const HOME = '\u001b[H';
const CLEAR_BELOW = '\u001b[J';
const CLEAR_LINE_END = '\u001b[K';
const CLEAR = '\u001b[2J';
/** Number of lines around the table. */
const SURROUNDING_LINES = 3;

interface TopOptions {
  readonly output: string;
  /** 0: until interrupted. */
  readonly forMs: number;
}

export const topCommand: Command = {
  help: `Usage: sluice top [OPTIONS]

Shows a table of a running proxy's requests by method and path: how many, the best, worst and last time until the
response began, and the share that succeeded. It updates until Ctrl-C. If the output is not a terminal, it prints a
table every ten seconds and at the end. Queries are left out of paths. If there are more than --max-rps requests a
second, the table shows a sample of them.

Options:
${TAP_HELP}
      --for TIME           stop after this time, such as 10s
  -o, --output FORMAT      text, wide (paths in full) or json (at the end)
  -h, --help               this text

Examples:
  sluice top
  sluice top --service web --path /api --max-rps 1000
  sluice top --for 10s -o json | jq '.rows[0]'

Exit codes: 0 ended, 1 no such proxy or refused, 2 wrong usage.`,
  async run(args) {
    const known = { ...TAP_OPTIONS, output: { type: 'string', short: 'o' }, for: { type: 'string' } } as const;
    const { values } = parseArguments(args, known, 0);
    const options = topOptions(values);
    const call = tapCall(values);
    const top = new TopTable();
    const view = new View(top, options);
    try {
      await untilInterrupted((signal) => {
        view.start();
        return follow(call, signal, (record) => {
          top.note(record);
          view.note(record);
        });
      }, options.forMs);
    } catch (error) {
      // The proxy is gone: what was counted so far is still shown.
      view.stop();
      if (top.count > 0) view.last();
      throw error;
    }
    view.stop();
    view.last();
    return 0;
  },
};

function topOptions(values: Arguments['values']): TopOptions {
  const output = String(values.output ?? 'text');
  if (!OUTPUTS.includes(output))
    throw new UsageError(`--output: "${output}" is unknown; expected one of ${OUTPUTS.join(', ')}`);
  if (typeof values.for !== 'string') return { output, forMs: 0 };
  try {
    return { output, forMs: parseDuration(values.for, { in: 'ms', step: 1, min: '1ms', max: '24h' }) };
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--for: ${error.message}`);
    throw error;
  }
}

class View {
  private leftOut = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly terminal: boolean;

  constructor(
    private readonly top: TopTable,
    private readonly options: TopOptions,
  ) {
    this.terminal = process.stdout.isTTY === true && process.env.TERM !== 'dumb';
  }

  start(): void {
    if (this.options.output === 'json') return;
    if (this.terminal) process.stdout.write(CLEAR);
    this.timer = setInterval(() => this.draw(), this.terminal ? REDRAW_MS : REPRINT_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  note({ message, leftOut, dropped }: TapRecord): void {
    if (message === 'tap') this.leftOut = Number(leftOut ?? 0) + Number(dropped ?? 0);
  }

  last(): void {
    const { top, leftOut, options } = this;
    if (options.output === 'json')
      print(JSON.stringify({ count: top.count, leftOut, others: top.others, rows: top.rows() }, null, 2));
    else this.draw();
  }

  private draw(): void {
    const { top, leftOut, terminal, options } = this;
    const { stdout, env } = process;
    const wide = options.output === 'wide';
    const width = terminalWidth(stdout, env);
    const height = terminal ? Math.max(1, (stdout.rows ?? 24) - SURROUNDING_LINES) : Number.POSITIVE_INFINITY;
    const lines = table(topColumns(wide), top.rows(height), { width, wide, none: 'no requests yet' });
    const said = `${top.count} requests`;
    const left = leftOut > 0 ? `, ${leftOut} more left out (--max-rps)` : '';
    const others = top.others > 0 ? `, ${top.others} of them for other paths` : '';
    const text = [`${said}${others}${left}`, '', ...lines.slice(0, height)];
    if (terminal) stdout.write(`${HOME}${text.map((line) => `${line}${CLEAR_LINE_END}\n`).join('')}${CLEAR_BELOW}`);
    else print(`${text.join('\n')}\n`);
  }
}
