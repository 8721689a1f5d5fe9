// The endpoints of each service: first those that are ready, then those that are out.
import { column } from '../http/columns.js';

/** Value of `place` for an endpoint that belongs to no service. It is 0, so that a column of 65,000 takes no memory before it is used. */
const NOBODY = 0;
const NO_MEMBERS = new Int32Array(0);
const NOT_THERE = 0x7fffffff;

export class Members {
  /** By service: its endpoints, [0..size); the ready ones are [0..ready). */
  readonly lists: Int32Array[];
  readonly size: Int32Array;
  readonly ready: Int32Array;
  /** By endpoint: the service that it belongs to, or last belonged to. */
  readonly owner: Int32Array;
  /** Its position among the members + 1, or NOBODY. */
  readonly #place: Int32Array;
  readonly #mark: Int32Array;
  #round = 0;

  constructor(maxServices: number, maxEndpoints: number) {
    this.lists = new Array<Int32Array>(maxServices).fill(NO_MEMBERS);
    this.size = column(Int32Array, maxServices);
    this.ready = column(Int32Array, maxServices);
    this.owner = column(Int32Array, maxEndpoints);
    this.#place = column(Int32Array, maxEndpoints);
    this.#mark = column(Int32Array, maxEndpoints);
  }

  has(endpoint: number): boolean {
    return this.#place[endpoint] !== NOBODY;
  }

  /** The endpoints of a service. A view, valid until they are replaced. */
  of(service: number): Int32Array {
    return this.lists[service].subarray(0, this.size[service]);
  }

  /** Replaces the endpoints of a service. Calls `join` for each new one, and then `isReady` for all. */
  replace(
    service: number,
    endpoints: Int32Array | readonly number[],
    join: (endpoint: number) => void,
    isReady: (endpoint: number) => boolean,
  ): void {
    const old = this.of(service);
    const round = ++this.#round;
    const members = new Int32Array(endpoints.length);
    let size = 0;
    for (const endpoint of endpoints) {
      const owner = this.owner[endpoint];
      if (owner !== service && this.has(endpoint)) {
        throw new RangeError(`endpoint slot ${endpoint} belongs to service slot ${owner}`);
      }
      if (this.#mark[endpoint] === round) continue;
      this.#mark[endpoint] = round;
      members[size++] = endpoint;
    }
    for (const endpoint of old) if (this.#mark[endpoint] !== round) this.#place[endpoint] = NOBODY;

    // The ready ones first, in the given order, then the others.
    const sorted = new Int32Array(size);
    let ready = 0;
    let last = size;
    for (let i = 0; i < size; i++) {
      const endpoint = members[i];
      if (!this.has(endpoint)) {
        this.owner[endpoint] = service;
        join(endpoint);
      }
      if (isReady(endpoint)) {
        sorted[ready++] = endpoint;
        this.#place[endpoint] = ready;
      } else {
        this.#place[endpoint] = last;
        sorted[--last] = endpoint;
      }
    }
    this.lists[service] = sorted;
    this.size[service] = size;
    this.ready[service] = ready;
  }

  /** Removes a ready endpoint from its service altogether. */
  remove(endpoint: number): void {
    const service = this.owner[endpoint];
    const last = this.size[service] - 1;
    this.eject(endpoint);
    this.#swap(service, this.#place[endpoint] - 1, last);
    this.size[service] = last;
    this.#place[endpoint] = NOBODY;
  }

  /** A ready endpoint is taken out. */
  eject(endpoint: number): void {
    const service = this.owner[endpoint];
    this.#swap(service, this.#place[endpoint] - 1, --this.ready[service]);
  }

  /** An endpoint that was out is ready again. */
  readmit(endpoint: number): void {
    const service = this.owner[endpoint];
    this.#swap(service, this.#place[endpoint] - 1, this.ready[service]++);
  }

  /** Position of `endpoint` among the ready ones of the service; past all of them if it is not ready. */
  readyPosition(service: number, endpoint: number): number {
    if (endpoint < 0 || this.owner[endpoint] !== service) return NOT_THERE;
    const place = this.#place[endpoint];
    return place !== NOBODY && place <= this.ready[service] ? place - 1 : NOT_THERE;
  }

  #swap(service: number, from: number, to: number): void {
    const members = this.lists[service];
    const moved = members[from];
    const other = members[to];
    members[to] = moved;
    members[from] = other;
    this.#place[moved] = to + 1;
    this.#place[other] = from + 1;
  }
}
