// Logs refusals: at most one line per second and reason, with the number that it stands for.

import { CLIENT_REASONS } from '../http/response-reasons.js';
import type { LogFields, Logger } from '../log/logger.js';
import { REFUSALS, type Refused, tlsRefusal } from '../proxy/refusals.js';
import { TLS_FAILURES } from '../tls/failures.js';

/** Minimum interval between two lines for the same reason, ms. */
const MIN_INTERVAL_MS = 1000;
/** Clients' errors are worth a line, but not an alert; nor are refusals during a drain, which is intended. */
const AUDIT = 'audit';
const INFO_REASONS: ReadonlySet<string> = new Set<string>([
  ...CLIENT_REASONS,
  'draining',
  ...TLS_FAILURES.map(tlsRefusal),
]);

interface Line {
  /** Until then no more lines for this reason, ms. */
  quietUntil: number;
  /** Refusals since the last line. */
  waiting: Refused | null;
  count: number;
}

export class RefusalLog {
  private readonly lines = new Map<number, Line>();
  private timer: unknown = null;

  constructor(
    private readonly logger: Pick<Logger, 'info' | 'warn'>,
    private readonly now: () => number = () => performance.now(),
    private readonly later: (run: () => void, ms: number) => unknown = (run, ms) => setTimeout(run, ms).unref(),
  ) {}

  /** A worker has refused these. */
  add(refused: readonly Refused[]): void {
    for (const entry of refused) {
      const line = this.lines.get(entry.reason) ?? { quietUntil: 0, waiting: null, count: 0 };
      this.lines.set(entry.reason, line);
      line.waiting ??= entry;
      line.count += entry.count;
    }
    this.write();
  }

  private write(): void {
    const now = this.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [reason, line] of this.lines) {
      const { waiting } = line;
      if (waiting === null) continue;
      if (now < line.quietUntil) {
        next = Math.min(next, line.quietUntil);
        continue;
      }
      this.put(REFUSALS[reason], waiting, line.count);
      line.quietUntil = now + MIN_INTERVAL_MS;
      line.waiting = null;
      line.count = 0;
    }
    if (next === Number.POSITIVE_INFINITY || this.timer !== null) return;
    this.timer = this.later(() => {
      this.timer = null;
      this.write();
    }, next - now);
  }

  private put(reason: string, refused: Refused, count: number): void {
    const { listener, client, service, endpoint, rule, identity } = refused;
    const fields: LogFields = Object.fromEntries(
      Object.entries({ reason, count, listener, client, identity, service, endpoint, rule }).filter(
        ([, value]) => value !== '',
      ),
    );
    if (reason === AUDIT) this.logger.info('audited', fields);
    else if (INFO_REASONS.has(reason)) this.logger.info('refused', fields);
    else this.logger.warn('refused', fields);
  }
}
