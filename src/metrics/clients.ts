// The main thread's view of workers' client counts by identity (client-series.ts): summed by listener and identity.
import type { ClientSeriesName } from './client-series.js';
import { CLIENT_GAUGES } from './client-series.js';
import type { WorkerView } from './group.js';
import type { LabelValues } from './label-values.js';
import { C, clientBase } from './layout.js';

export interface ClientInfo {
  readonly slot: number;
  /** Name of the listener. */
  readonly name: string;
  readonly direction: 'inbound' | 'outbound';
  /** Place in LISTENER_TLS. */
  readonly seen: number;
  /** '' without a certificate. */
  readonly identity: string;
}

export interface ClientTotals {
  readonly info: ClientInfo;
  /** Fields as in C. */
  readonly values: Float64Array;
}

interface Entry {
  readonly info: ClientInfo;
  /** Counters of workers that ended. */
  readonly retired: Float64Array;
  /** First values, by worker. */
  readonly blocks: Map<WorkerView, number[]>;
}

export class ClientGroup {
  readonly #entries = new Map<string, Entry>();

  constructor(private readonly identities: LabelValues) {}

  /** A worker uses a new block for clients of `listener`. */
  name(
    view: WorkerView,
    { series, listener, seen, identity }: ClientSeriesName,
    { name, direction }: { readonly name: string; readonly direction: 'inbound' | 'outbound' },
  ): void {
    const shown = identity === '' ? '' : this.identities.of(identity);
    const key = [name, listener, seen, shown].join('\n');
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const info = { slot: listener, name, direction, seen, identity: shown };
      entry = { info, retired: new Float64Array(C.SIZE), blocks: new Map() };
      this.#entries.set(key, entry);
    }
    const blocks = entry.blocks.get(view) ?? [];
    blocks.push(clientBase(series));
    entry.blocks.set(view, blocks);
  }

  /** Keeps the counts of a worker that ends. */
  retire(view: WorkerView): void {
    for (const { blocks, retired } of this.#entries.values()) {
      add(view, blocks.get(view), retired);
      blocks.delete(view);
      for (const field of CLIENT_GAUGES) retired[field] = 0;
    }
  }

  /** Counts for current listeners: `nameOf` gives the listener in a slot. */
  totals(nameOf: (slot: number) => string | undefined): ClientTotals[] {
    const totals: ClientTotals[] = [];
    for (const { info, retired, blocks } of this.#entries.values()) {
      if (nameOf(info.slot) !== info.name) continue;
      const values = retired.slice();
      for (const [view, bases] of blocks) add(view, bases, values);
      totals.push({ info, values });
    }
    return totals;
  }
}

function add({ values }: WorkerView, bases: readonly number[] | undefined, sums: Float64Array): void {
  for (const base of bases ?? []) for (let field = 0; field < C.SIZE; field++) sums[field] += values[base + field];
}
