// Puts together a running proxy's state from two samples of its metrics.
import { atOnce, type Steps } from '../metrics/steps.js';
import { clientsOf, listenersOf, workersOf } from './listeners.js';
import { type MetricsSample, SampleDelta } from './metrics-sample.js';
import { type LiveError, type LiveState, STATE_VERSION } from './state.js';
import { successOf, trafficOf } from './traffic.js';

/** Facts that are not in the metrics. */
export interface LiveFacts {
  readonly version: string;
  readonly executor: string;
  readonly ready: () => { readonly ok: boolean; readonly reasons: readonly string[] };
  /** The name in the proxy's certificate; empty without one. */
  readonly identity?: () => string;
  readonly errors?: () => readonly LiveError[];
}

/** Maximum length of each list. */
export interface LiveLimits {
  readonly services: number;
  readonly endpoints: number;
  readonly clients: number;
}

export const LIVE_LIMITS: LiveLimits = { services: 100, endpoints: 300, clients: 100 };

interface Busy {
  readonly requests: number;
  readonly read: number;
  readonly written: number;
}

const sum = <Item>(items: readonly Item[], of: (item: Item) => number): number =>
  items.reduce((all, item) => all + of(item), 0);

/** The busiest items, in their original order. */
function busiest<Item extends Busy>(items: readonly Item[], most: number): readonly Item[] {
  if (items.length <= most) return items;
  const load = ({ requests, read, written }: Item): number => requests * 1000 + read + written;
  const chosen = new Set(items.toSorted((a, b) => load(b) - load(a)).slice(0, most));
  return items.filter((item) => chosen.has(item));
}

/** `before`: the sample at the start of the interval; null: it begins with the process. */
export function* assembling(
  before: MetricsSample | null,
  now: MetricsSample,
  limits: LiveLimits,
  facts: LiveFacts,
): Steps<LiveState> {
  const uptime = process.uptime();
  const seconds = Math.max(0.001, before === null ? uptime : (now.clock - before.clock) / 1000);
  const between = new SampleDelta(before, now, seconds);
  const { services, endpoints, latency, outcomes } = yield* trafficOf(between);
  const listeners = listenersOf(between);
  const clients = clientsOf(between);
  const ready = facts.ready();
  const shown = {
    services: busiest(services, limits.services),
    endpoints: busiest(endpoints, limits.endpoints),
    clients: busiest(clients, limits.clients),
  };
  return {
    stateVersion: STATE_VERSION,
    version: facts.version,
    executor: facts.executor,
    pid: process.pid,
    at: now.snapshot.atMs,
    started: Math.round(now.snapshot.atMs - uptime * 1000),
    seconds,
    ready: { ok: ready.ok, reasons: ready.reasons },
    identity: facts.identity?.() ?? '',
    total: {
      requests: sum(services, ({ requests }) => requests),
      success: successOf(outcomes),
      latency,
      read: sum(listeners, ({ read }) => read),
      written: sum(listeners, ({ written }) => written),
      connections: sum(listeners, ({ open }) => open),
      opened: sum(listeners, ({ opened }) => opened),
    },
    ...shown,
    listeners,
    workers: workersOf(between),
    errors: facts.errors?.() ?? [],
    omitted: {
      services: services.length - shown.services.length,
      endpoints: endpoints.length - shown.endpoints.length,
      clients: clients.length - shown.clients.length,
    },
  };
}

export const assemble = (...of: Parameters<typeof assembling>): LiveState => atOnce(assembling(...of));

/** Rounds rates and latencies to the digits that people read, which halves the JSON. */
export function shorten(_key: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isInteger(value)) return value;
  return Number(value.toPrecision(5));
}

/** Encodes the state as JSON. Requesters on other machines do not see the addresses of clients. */
export function* encoding(state: LiveState, trusted: boolean): Steps<string> {
  const told = trusted ? state : { ...state, errors: state.errors.map((error) => ({ ...error, client: '' })) };
  const fields: string[] = [];
  for (const [name, value] of Object.entries(told)) {
    if (!Array.isArray(value)) {
      fields.push(`"${name}":${JSON.stringify(value, shorten)}`);
      continue;
    }
    const items: string[] = [];
    for (const item of value) {
      items.push(JSON.stringify(item, shorten));
      yield;
    }
    fields.push(`"${name}":[${items.join(',')}]`);
  }
  return `{${fields.join(',')}}`;
}

export const encode = (state: LiveState, trusted: boolean): string => atOnce(encoding(state, trusted));
