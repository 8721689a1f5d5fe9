// An identity as tests watch it: its log, its metrics and its readiness, under a clock that they turn.
import type { IdentityConfig, IdentitySourceConfig } from '../../src/config/identity-model.js';
import { type IdentityCounts, noCounts } from '../../src/identity/counts.js';
import { Identity } from '../../src/identity/identity.js';
import type { IdentityMaterial } from '../../src/identity/material.js';
import { FakeClock } from '../support/fake-clock.js';
import { Waiting } from '../support/waiting.js';

export interface Logged {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class Watched {
  readonly clock = new FakeClock();
  readonly counts: IdentityCounts = noCounts();
  readonly log: Logged[] = [];
  /** What users of the identity were told. */
  readonly changes: (IdentityMaterial | null)[] = [];
  readonly identity: Identity;
  /** What randomness gives. */
  random = 0.5;
  private readonly waiting = new Waiting();

  constructor(pollMs = 5000) {
    const log =
      (level: Logged['level']) =>
      (message: string, fields: Record<string, unknown> = {}) => {
        this.log.push({ level, message, fields });
        this.waiting.wake();
      };
    this.identity = new Identity({
      logger: { info: log('info'), warn: log('warn'), error: log('error') },
      counts: this.counts,
      pollMs: () => pollMs,
      changed: (material) => {
        this.changes.push(material);
        this.waiting.wake();
      },
      clock: this.clock,
      random: () => this.random,
    });
  }

  configure(source: IdentitySourceConfig, more: Partial<IdentityConfig> = {}): void {
    this.identity.configure({
      name: null,
      serverName: null,
      trustDomain: null,
      timeoutMs: 10_000,
      minBackoffMs: 500,
      maxBackoffMs: 30_000,
      ...more,
      source,
    });
  }

  /** Resolves when `condition` holds. Nothing here keeps the process alive but this. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const alive = setInterval(() => this.waiting.wake(), 20);
    try {
      await this.waiting.until(condition, () => `${what}; the log has ${JSON.stringify(this.log)}`);
    } finally {
      clearInterval(alive);
    }
  }

  changed(times: number): Promise<void> {
    return this.until(() => this.changes.length >= times, `change ${times}`);
  }

  failed(times: number): Promise<void> {
    const failures = (): number => Object.values(this.counts.failures).reduce((a, b) => a + b, 0);
    return this.until(() => failures() >= times, `failure ${times}`);
  }

  /** What the last line with a problem says. */
  get problem(): string {
    return String(this.log.findLast(({ fields }) => fields.problem !== undefined)?.fields.problem ?? '');
  }
}
