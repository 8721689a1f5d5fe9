// Which endpoints the breaker of this worker has taken out and brought back since the main thread was last told, for its log.

export interface HealthChange {
  readonly service: number;
  /** As text, with its port. */
  readonly endpoint: string;
  readonly out: boolean;
  /** It is not back, but no endpoint of the service any more. */
  readonly removed: boolean;
  /** Of `out`: how many failures in a row, and the SIGN of the last. */
  readonly failures: number;
  readonly sign: number;
}

interface Pending {
  service: number;
  address: string;
  /** It went out first: with this. */
  failures: number;
  sign: number;
  out: boolean;
  removed: boolean;
}

export class HealthNews {
  /** What has changed, by endpoint. An endpoint that goes out and comes back many times between two looks is told of once. */
  private readonly pending = new Map<number, Pending>();
  /** Endpoints that the main thread knows to be out. */
  private readonly told = new Set<number>();

  out(endpoint: number, service: number, address: string, failures: number, sign: number): void {
    const before = this.pending.get(endpoint);
    if (before === undefined || before.removed)
      this.pending.set(endpoint, { service, address, failures, sign, out: true, removed: false });
    else before.out = true;
  }

  /** `removed`: it was out, and is no endpoint of the service any more. */
  back(endpoint: number, service: number, address: string, removed: boolean): void {
    const before = this.pending.get(endpoint);
    if (before === undefined)
      this.pending.set(endpoint, { service, address, failures: 0, sign: 0, out: false, removed });
    else {
      before.out = false;
      before.removed = removed;
    }
  }

  /** What has changed since the last call, in order. */
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
