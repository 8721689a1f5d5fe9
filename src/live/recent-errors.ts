// The latest refusals and endpoint failures, for people who look only after the fact. Their number is bounded.
import { HEALTH_SIGNAL_TEXTS } from '../balance/health-signals.js';
import type { MainLimitCounts } from '../metrics/main-limits.js';
import type { HealthChange } from '../proxy/health-changes.js';
import { REFUSALS, type Refused } from '../proxy/refusals.js';
import type { LiveError } from './state.js';

/** Equal errors within this time share one entry with a count, ms. */
const SAME_MS = 10_000;

type Entry = { -readonly [Key in keyof LiveError]: LiveError[Key] };

export interface RecentErrorsDeps {
  /** Name of the service in a slot. */
  readonly service: (slot: number) => string | undefined;
  /** How many entries are kept. A reload may change this. */
  readonly most: () => number;
  /** Counts entries that made room for newer ones. */
  readonly counts: Pick<MainLimitCounts, 'live-errors'>;
  readonly now?: () => number;
}

export class RecentErrors {
  private readonly entries: Entry[] = [];

  constructor(private readonly deps: RecentErrorsDeps) {}

  /** A worker has refused these. */
  refused(refused: readonly Refused[]): void {
    for (const { reason, count, listener, client, identity, service, endpoint, rule } of refused)
      this.note({ reason: REFUSALS[reason], count, listener, client, identity, service, endpoint, rule });
  }

  /** A worker has taken endpoints out, or back in, which is not an error. */
  health(changes: readonly HealthChange[]): void {
    for (const { out, service, endpoint, signal } of changes) {
      const name = this.deps.service(service);
      if (!out || name === undefined) continue;
      const reason = `endpoint out: ${HEALTH_SIGNAL_TEXTS[signal]}`;
      this.note({ reason, count: 1, listener: '', client: '', identity: '', service: name, endpoint, rule: '' });
    }
  }

  private note(error: Omit<LiveError, 'at'>): void {
    const at = (this.deps.now ?? Date.now)();
    const { reason, listener, service, endpoint, rule, identity } = error;
    const same = this.entries.findIndex(
      (entry) =>
        at - entry.at < SAME_MS &&
        entry.reason === reason &&
        entry.listener === listener &&
        entry.service === service &&
        entry.endpoint === endpoint &&
        entry.rule === rule &&
        entry.identity === identity,
    );
    if (same >= 0) {
      const [entry] = this.entries.splice(same, 1);
      this.entries.push({ ...entry, at, count: entry.count + error.count, client: error.client });
      return;
    }
    this.entries.push({ ...error, at });
    while (this.entries.length > this.deps.most()) {
      this.entries.shift();
      this.deps.counts['live-errors']++;
    }
  }

  /** The newest first, for output. */
  all(): readonly LiveError[] {
    return this.entries.toReversed();
  }
}
