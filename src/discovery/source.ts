// The interface of discovery sources: a source is watched, and reports its endpoints, at once or later, and then at each change.
import type { EndpointSource } from '../config/model.js';
import type { Endpoint } from './endpoint.js';

export interface WatchSpec<S extends EndpointSource = EndpointSource> {
  /** The requesting service, for logs. */
  readonly service: string;
  readonly source: S;
  /** Bounds of the refresh interval, ms. */
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  /** The last report of another watch of the same source: better than nothing until this one has its own. */
  readonly known: readonly Endpoint[] | null;
}

export type EndpointUpdate =
  /** All current endpoints. */
  | { readonly kind: 'endpoints'; readonly endpoints: readonly Endpoint[] }
  /** Nothing is known, and why. A source that has reported endpoints keeps them instead, and logs the problem. */
  | { readonly kind: 'failed'; readonly reason: string };

export type Report = (update: EndpointUpdate) => void;

export interface Watch {
  /** No report comes after this. */
  stop(): void;
}

export interface Source<S extends EndpointSource = EndpointSource> {
  /** `report` may be called before this returns. */
  watch(spec: WatchSpec<S>, report: Report): Watch;
}

/** A source for each kind in the configuration. */
export type Sources = { readonly [K in EndpointSource['kind']]: Source<Extract<EndpointSource, { kind: K }>> };

export interface DiscoveryLogger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Timers, replaceable in tests. */
export interface Timers {
  set(callback: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

/** Node's timers; they don't keep the process alive. */
export const nodeTimers: Timers = {
  set: (callback, delayMs) => setTimeout(callback, delayMs).unref(),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
