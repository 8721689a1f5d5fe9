// Endpoints that this worker's breaker has taken out or brought back since the last report to the main thread, which logs them.

export interface HealthChange {
  readonly service: number;
  /** Address and port as text. */
  readonly endpoint: string;
  readonly out: boolean;
  /** It did not recover; it is no longer an endpoint of the service. */
  readonly removed: boolean;
  /** For `out`: consecutive failures, and the SIGN of the last one. */
  readonly failures: number;
  readonly sign: number;
}

interface Pending {
  service: number;
  address: string;
  /** If it went out first: the failures that caused it. */
  failures: number;
  sign: number;
  out: boolean;
  removed: boolean;
}

export class HealthNews {
  /** Changes by endpoint. An endpoint that flaps between two reports is reported once. */
  private readonly pending = new Map<number, Pending>();
  /** Endpoints that the main thread knows to be out. */
  private readonly told = new Set<number>();

  out(endpoint: number, service: number, address: string, failures: number, sign: number): void {
    const before = this.pending.get(endpoint);
    if (before === undefined || before.removed)
      this.pending.set(endpoint, { service, address, failures, sign, out: true, removed: false });
    else before.out = true;
  }

  /** `removed`: it was out, and is no longer an endpoint of the service. */
  back(endpoint: number, service: number, address: string, removed: boolean): void {
    const before = this.pending.get(endpoint);
    if (before === undefined)
      this.pending.set(endpoint, { service, address, failures: 0, sign: 0, out: false, removed });
    else {
      before.out = false;
      before.removed = removed;
    }
  }

  /** Changes since the last call, in order. */
  take(): HealthChange[] {
    const changes: HealthChange[] = [];
    for (const [slot, { service, address: endpoint, failures, sign, out, removed }] of this.pending) {
      const known = this.told.has(slot);
      if (!known && failures > 0) changes.push({ service, endpoint, out: true, removed: false, failures, sign });
      if (!out && (known || failures > 0))
        changes.push({ service, endpoint, out: false, removed, failures: 0, sign: 0 });
      if (out) this.told.add(slot);
      else this.told.delete(slot);
    }
    this.pending.clear();
    return changes;
  }
}
