// Requests with a trace that stand for others: the newest of each bucket of a service's latency. Fed by whoever makes spans; bounded by the
// buckets and by the services that have series.
import { LATENCY_BOUNDS_S } from './bounds.js';

export interface Exemplar {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Latency as the service's histogram has it, µs. */
  readonly valueUs: number;
  /** Since 1970, ms. */
  readonly atMs: number;
}

export class Exemplars {
  /** By service; a place for each bucket, that of +Inf included. */
  readonly #kept = new Map<string, (Exemplar | undefined)[]>();
  readonly #most: number;

  constructor(mostServices: number) {
    this.#most = mostServices;
  }

  note(service: string, exemplar: Exemplar): void {
    let kept = this.#kept.get(service);
    if (kept === undefined) {
      // The service that was noted first makes room.
      const [oldest] = this.#kept.keys();
      if (this.#kept.size >= this.#most && oldest !== undefined) this.#kept.delete(oldest);
      kept = [];
      this.#kept.set(service, kept);
    }
    kept[bucketOf(exemplar.valueUs / 1e6)] = exemplar;
  }

  /** Of a service, by bucket; those of the bucket +Inf at `Infinity`. */
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
