// Assigns services and endpoints their slots in the workers' tables, and their metric series. Slots are many and cheap, series few: once
// these are used up, newcomers count in the overflow series for as long as they stay.
import type { Address } from '../config/model.js';
import { type Endpoint, NO_PROXY } from '../discovery/endpoint.js';
import { addressText } from '../discovery/text.js';
import type { MetricsReader } from '../metrics/reader.js';
import { SlotTable } from '../metrics/slots.js';
import { MAX_ENDPOINTS, MAX_SERVICES } from '../proxy/capacity.js';
import type { EndpointSnapshot } from '../proxy/snapshot.js';

/** How long a dropped entry keeps its slot, ms: it may come back, as DNS names do. */
const RETAIN_MS = 60_000;

/** A slot, and the series that belongs to it while it is held: what is in flight must not end in another series. */
export interface Place {
  readonly slot: number;
  readonly series: number;
}

export interface DestinationsOptions {
  /** Whether no worker has anything open on this endpoint slot. */
  isIdle(endpoint: number): boolean;
  /** Clock, ms. */
  readonly now?: () => number;
}

export class Destinations {
  readonly #reader: MetricsReader;
  readonly #isIdle: (endpoint: number) => boolean;
  readonly #services: SlotTable;
  readonly #endpoints: SlotTable;
  readonly #serviceSeries = new Int32Array(MAX_SERVICES);
  readonly #endpointSeries = new Int32Array(MAX_ENDPOINTS);
  /** Service slot of each occupied endpoint slot. */
  readonly #serviceOf = new Int32Array(MAX_ENDPOINTS);
  /** Number of endpoint slots of each occupied service slot. */
  readonly #endpointCount = new Int32Array(MAX_SERVICES);

  constructor(reader: MetricsReader, { isIdle, now = () => performance.now() }: DestinationsOptions) {
    this.#reader = reader;
    this.#isIdle = isIdle;
    this.#endpoints = new SlotTable(MAX_ENDPOINTS, {
      now,
      retainMs: RETAIN_MS,
      isQuiet: isIdle,
      clear: (slot) => {
        this.#endpointCount[this.#serviceOf[slot]]--;
      },
    });
    this.#services = new SlotTable(MAX_SERVICES, {
      now,
      retainMs: RETAIN_MS,
      reuseMs: RETAIN_MS,
      isQuiet: (slot) => this.#isUnused(slot),
    });
  }

  /** Frees entries that are no longer used. */
  sweep(): void {
    this.#endpoints.sweep();
    this.#services.sweep();
  }

  /** Assigns a service its slot, or keeps the one it has. Throws if there is none left. */
  addService(name: string): Place {
    const held = this.service(name);
    if (held !== undefined) return held;
    const kept = this.#services.find(name);
    const unused = kept === 0 || this.#isUnused(kept);
    const slot = this.#services.acquire(name);
    if (slot === 0) {
      this.#services.release(name);
      throw new Error(
        `there is no room for service ${name}: there are ${MAX_SERVICES - 1} already, including those removed within the last ` +
          `${RETAIN_MS / 1000} s; try again later, or restart`,
      );
    }
    const series = seriesFor(this.#reader.services, name, unused);
    this.#reader.setService(series, { name });
    this.#serviceSeries[slot] = series;
    return { slot, series };
  }

  /** The place of a service; undefined if it was not added, or was dropped. */
  service(name: string): Place | undefined {
    return held(this.#services, this.#serviceSeries, name);
  }

  /** Slot of a service that is known to have one. */
  slotOf(name: string): number {
    const place = this.service(name);
    if (place === undefined) throw new Error(`service ${name} has no slot`);
    return place.slot;
  }

  /** Drops a service. The workers must already know that it has no endpoints. */
  dropService(name: string): void {
    this.#services.release(name);
    this.#reader.services.release(name);
  }

  /** Assigns an endpoint of a service its slot, or keeps the one it has; undefined if there is none left. */
  addEndpoint(
    service: string,
    { host, port }: Address,
    { identity = '', proxy = NO_PROXY, weight = 1 }: Partial<Pick<Endpoint, 'identity' | 'proxy' | 'weight'>> = {},
  ): EndpointSnapshot | undefined {
    const address = addressText({ host, port });
    const key = endpointKey(service, address);
    const known = held(this.#endpoints, this.#endpointSeries, key);
    if (known !== undefined) return { ...known, host, port, identity, proxy, weight };
    const kept = this.#endpoints.find(key);
    const unused = kept === 0 || this.#isIdle(kept);
    const slot = this.#endpoints.acquire(key);
    if (slot === 0) {
      this.#endpoints.release(key);
      return undefined;
    }
    if (kept === 0) this.#join(slot, this.#services.find(service));
    const series = seriesFor(this.#reader.endpoints, key, unused);
    this.#reader.setEndpoint(series, { service, address });
    this.#endpointSeries[slot] = series;
    return { slot, series, host, port, identity, proxy, weight };
  }

  /** Drops an endpoint. The workers must already know. */
  dropEndpoint(service: string, address: Address): void {
    const key = endpointKey(service, addressText(address));
    this.#endpoints.release(key);
    this.#reader.endpoints.release(key);
  }

  #join(endpoint: number, service: number): void {
    this.#serviceOf[endpoint] = service;
    this.#endpointCount[service]++;
  }

  /** A request in flight refers to its service by slot: it is on one of its endpoints, and counted in its series. */
  #isUnused(service: number): boolean {
    const series = this.#serviceSeries[service];
    return this.#endpointCount[service] === 0 && (series === 0 || this.#reader.isServiceQuiet(series));
  }
}

/** Joined rather than concatenated: V8 would keep the parts of each of 50,000 keys as well. */
const endpointKey = (service: string, address: string): string => [service, address].join('|');

function held(table: SlotTable, series: Int32Array, key: string): Place | undefined {
  const slot = table.find(key);
  return slot === 0 || table.isReleased(slot) ? undefined : { slot, series: series[slot] };
}

/** The series for a key; if something is still open on its slot, the series that this counts in. */
function seriesFor(table: SlotTable, key: string, unused: boolean): number {
  return unused || table.find(key) !== 0 ? table.acquire(key) : table.decline(key);
}
