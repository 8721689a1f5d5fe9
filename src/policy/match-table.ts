// Finds the service for an original destination, by the services' `match`.
import { plainAddressBits } from '../config/addresses.js';
import { matchKey } from '../config/match.js';
import type { MatchRange, ServiceConfig } from '../config/model.js';

export interface Match {
  readonly service: ServiceConfig;
  readonly range: MatchRange;
}

/** Ranges don't overlap (the configuration was checked), so the last one that begins at or before an address decides. */
export class MatchTable {
  readonly #matches: readonly Match[];

  constructor(services: readonly ServiceConfig[]) {
    const matches = services.flatMap((service) => service.match.map((range) => ({ service, range })));
    this.#matches = matches.sort((a, b) => (a.range.first < b.range.first ? -1 : 1));
  }

  /** O(log n). `host` is numeric, without brackets; null if no range contains it. */
  lookup(host: string, port: number): Match | null {
    const bits = plainAddressBits(host);
    if (bits === null) return null;
    const key = matchKey(bits, port);
    let low = 0;
    let high = this.#matches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#matches[middle].range.first <= key) low = middle + 1;
      else high = middle;
    }
    const found = low === 0 ? undefined : this.#matches[low - 1];
    return found !== undefined && key <= found.range.last ? found : null;
  }
}
