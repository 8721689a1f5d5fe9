// Requests with a trace that stand for others: the newest in each bucket of a service's latencies, by route class and outcome. Spans feed it.
// Its size is bounded: by the buckets, the classes and outcomes, and the services that have series.
import { LATENCY_BOUNDS_S } from './bounds.js';
import { RESPONSE_CELLS } from './response-cells.js';

export interface Exemplar {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Latency as in the service's histogram, µs. */
  readonly valueUs: number;
  /** Since 1970, ms. */
  readonly atMs: number;
}

/** By bucket, that of +Inf included. */
type Buckets = (Exemplar | undefined)[];

export class Exemplars {
  /** By service; by cell. */
  readonly #kept = new Map<string, (Buckets | undefined)[]>();
  readonly #most: number;

  constructor(mostServices: number) {
    this.#most = mostServices;
  }

  /** `cell`: as in response-cells.ts. */
  note(service: string, cell: number, exemplar: Exemplar): void {
    if (cell < 0 || cell >= RESPONSE_CELLS) return;
    let cells = this.#kept.get(service);
    if (cells === undefined) {
      // The service that was noted first makes room.
      const [oldest] = this.#kept.keys();
      if (this.#kept.size >= this.#most && oldest !== undefined) this.#kept.delete(oldest);
      cells = [];
      this.#kept.set(service, cells);
    }
    cells[cell] ??= [];
    cells[cell][bucketOf(exemplar.valueUs / 1e6)] = exemplar;
  }

  /** Of a service, the newest of all its cells, or of one cell; by bucket, those of the bucket +Inf at `Infinity`. */
  of(service: string, cell?: number): ReadonlyMap<number, Exemplar> {
    const found = new Map<number, Exemplar>();
    this.#kept.get(service)?.forEach((buckets, own) => {
      if (cell !== undefined && cell !== own) return;
      buckets?.forEach((exemplar, bucket) => {
        const bound = LATENCY_BOUNDS_S[bucket] ?? Number.POSITIVE_INFINITY;
        if (exemplar !== undefined && exemplar.atMs >= (found.get(bound)?.atMs ?? 0)) found.set(bound, exemplar);
      });
    });
    return found;
  }
}

function bucketOf(seconds: number): number {
  const bucket = LATENCY_BOUNDS_S.findIndex((bound) => seconds <= bound);
  return bucket < 0 ? LATENCY_BOUNDS_S.length : bucket;
}
