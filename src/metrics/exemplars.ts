// Exemplars: requests with a trace that represent others, the newest for each bucket of a service's latency. Fed from spans; bounded by the
// buckets and the services with series.
import { LATENCY_BOUNDS_S } from './bounds.js';

export interface Exemplar {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Latency as in the service's histogram, µs. */
  readonly valueUs: number;
  /** Since 1970, ms. */
  readonly atMs: number;
}

export class Exemplars {
  /** By service; one entry per bucket, +Inf included. */
  readonly #kept = new Map<string, (Exemplar | undefined)[]>();
  readonly #most: number;

  constructor(mostServices: number) {
    this.#most = mostServices;
  }

  note(service: string, exemplar: Exemplar): void {
    let kept = this.#kept.get(service);
    if (kept === undefined) {
      // The service recorded first makes room.
      const [oldest] = this.#kept.keys();
      if (this.#kept.size >= this.#most && oldest !== undefined) this.#kept.delete(oldest);
      kept = [];
      this.#kept.set(service, kept);
    }
    kept[bucketOf(exemplar.valueUs / 1e6)] = exemplar;
  }

  /** For a service, by bucket; the bucket +Inf has the key `Infinity`. */
  of(service: string): ReadonlyMap<number, Exemplar> {
    const found = new Map<number, Exemplar>();
    this.#kept.get(service)?.forEach((exemplar, bucket) => {
      if (exemplar !== undefined) found.set(LATENCY_BOUNDS_S[bucket] ?? Number.POSITIVE_INFINITY, exemplar);
    });
    return found;
  }
}

function bucketOf(seconds: number): number {
  const bucket = LATENCY_BOUNDS_S.findIndex((bound) => seconds <= bound);
  return bucket < 0 ? LATENCY_BOUNDS_S.length : bucket;
}
