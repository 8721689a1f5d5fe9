// Endpoints that this worker's breaker has taken out or brought back since the last report to the main thread, which logs them.

export interface HealthChange {
  readonly service: number;
  /** Address and port as text. */
  readonly endpoint: string;
  readonly out: boolean;
  /** It did not recover; it is no longer an endpoint of the service. */
  readonly removed: boolean;
  /** For `out`: consecutive failures, and the HEALTH_SIGNAL of the last one. */
  readonly failures: number;
  readonly signal: number;
}

interface Pending {
  service: number;
  address: string;
  /** If it went out first: the failures that caused it. */
  failures: number;
  signal: number;
  out: boolean;
  removed: boolean;
}

export class HealthChanges {
  /** Changes by endpoint. An endpoint that flaps between two reports is reported once. */
  private readonly pending = new Map<number, Pending>();
  /** Endpoints that the main thread knows to be out. */
  private readonly reported = new Set<number>();

  ejected(endpoint: number, service: number, address: string, failures: number, signal: number): void {
    const before = this.pending.get(endpoint);
    if (before === undefined || before.removed)
      this.pending.set(endpoint, { service, address, failures, signal, out: true, removed: false });
    else before.out = true;
  }

  /** `removed`: it was out, and is no longer an endpoint of the service. */
  readmitted(endpoint: number, service: number, address: string, removed: boolean): void {
    const before = this.pending.get(endpoint);
    if (before === undefined)
      this.pending.set(endpoint, { service, address, failures: 0, signal: 0, out: false, removed });
    else {
      before.out = false;
      before.removed = removed;
    }
  }

  /** Changes since the last call, in order. */
  take(): HealthChange[] {
    const changes: HealthChange[] = [];
    for (const [slot, { service, address: endpoint, failures, signal, out, removed }] of this.pending) {
      const known = this.reported.has(slot);
      if (!known && failures > 0) changes.push({ service, endpoint, out: true, removed: false, failures, signal });
      if (!out && (known || failures > 0))
        changes.push({ service, endpoint, out: false, removed, failures: 0, signal: 0 });
      if (out) this.reported.add(slot);
      else this.reported.delete(slot);
    }
    this.pending.clear();
    return changes;
  }
}
