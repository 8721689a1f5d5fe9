// Log lines of refusals: one each, up to a limit per second; then one with the number of the rest.
import type { LogFields, Logger } from '../../log/logger.js';
import type { RefusalReason } from './refusal.js';

/** Per reason and second. */
const MAX_LINES = 20;
const SECOND_MS = 1000;

interface Window {
  endsMs: number;
  lines: number;
  left: number;
}

export class RefusalLines {
  readonly #windows = new Map<RefusalReason, Window>();

  constructor(
    private readonly logger: Pick<Logger, 'warn'>,
    private readonly now: () => number,
    private readonly later: (run: () => void, ms: number) => unknown = (run, ms) => setTimeout(run, ms).unref(),
  ) {}

  add(reason: RefusalReason, fields: LogFields): void {
    const now = this.now();
    let window = this.#windows.get(reason);
    if (window === undefined || now >= window.endsMs) {
      this.#told(reason);
      window = { endsMs: now + SECOND_MS, lines: 0, left: 0 };
      this.#windows.set(reason, window);
    }
    if (window.lines < MAX_LINES) {
      window.lines++;
      this.logger.warn('certificate refused', fields);
      return;
    }
    if (window.left++ === 0) this.later(() => this.#told(reason), SECOND_MS);
  }

  /** Logs the number of those without a line. */
  #told(reason: RefusalReason): void {
    const window = this.#windows.get(reason);
    if (window === undefined || window.left === 0) return;
    this.logger.warn('certificates refused without a line each', { reason, count: window.left });
    window.left = 0;
  }
}
