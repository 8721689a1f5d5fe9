// Progress output: a line that is overwritten on a terminal, a line for each step elsewhere.

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const REFRESH_MS = 500;
const NARROW = 20;
const MINUTE_S = 60;
const WIDE = 80;

/** `4:07`, or with hours if necessary. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / MINUTE_S);
  if (minutes < MINUTE_S) return `${minutes}:${two(whole % MINUTE_S)}`;
  return `${Math.floor(minutes / MINUTE_S)}:${two(minutes % MINUTE_S)}:${two(whole % MINUTE_S)}`;
}

/** Estimated remaining time, s, from the time so far; null: unknown. */
export function remaining(elapsed: number, done: number, left: number): number | null {
  return done <= 0 ? null : (elapsed / done) * left;
}

/** Fits into `columns`, with the remaining time at the end, which people look for. */
export function liveText(what: string, left: number | null, columns: number): string {
  const end = left === null ? '' : `  ${clock(left)} left`;
  const room = Math.max(NARROW, columns - 1) - end.length;
  return `${what.length > room ? `${what.slice(0, Math.max(0, room - 1))}…` : what}${end}`;
}

export class Progress {
  readonly #output: Output;
  readonly #now: () => number;
  readonly #began: number;
  #what = '';
  /** Completed seconds of the planned work. */
  #done = 0;
  #left = 0;
  #timer: NodeJS.Timeout | null = null;

  /** `now`: ms of a monotonic clock. */
  constructor(output: Output, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
    this.#began = now();
    if (output.isTTY === true) this.#timer = setInterval(() => this.#show(), REFRESH_MS).unref();
  }

  /** Adds planned work. */
  plan(seconds: number): void {
    this.#left = Math.max(0, seconds);
  }

  at(what: string): void {
    this.#what = what;
    this.#show();
  }

  /** `seconds` of the planned work are done. */
  done(seconds: number): void {
    this.#done += seconds;
    this.#left = Math.max(0, this.#left - seconds);
  }

  /** Prints a line that stays on the screen. */
  say(text: string): void {
    this.#clear();
    this.#output.write(`${text}\n`);
    this.#show();
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#clear();
  }

  #show(): void {
    if (this.#output.isTTY !== true || this.#timer === null || this.#what === '') return;
    const left = remaining((this.#now() - this.#began) / 1000, this.#done, this.#left);
    this.#output.write(`\r\x1b[2K${liveText(this.#what, left, this.#output.columns ?? WIDE)}`);
  }

  #clear(): void {
    if (this.#output.isTTY === true) this.#output.write('\r\x1b[2K');
  }
}
