// The seam of discovery: a source is watched, and reports the endpoints it knows: at once or later, then at each change.
import type { EndpointSource } from '../config/model.js';
import type { Endpoint } from './endpoint.js';

export interface WatchSpec<S extends EndpointSource = EndpointSource> {
  /** The service that asks, for logs. */
  readonly service: string;
  readonly source: S;
  /** Bounds of the interval in which a source that must ask does so, ms. */
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  /** What another watch of the same source has reported last: better than nothing while this one finds out. */
  readonly known: readonly Endpoint[] | null;
}

export type EndpointUpdate =
  /** All endpoints there are now. */
  | { readonly kind: 'endpoints'; readonly endpoints: readonly Endpoint[] }
  /** Nothing is known, and why. A source that has reported endpoints goes on with these instead, and logs what is wrong. */
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

/** A source for each kind that the configuration has. */
export type Sources = { readonly [K in EndpointSource['kind']]: Source<Extract<EndpointSource, { kind: K }>> };

export interface DiscoveryLogger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Timers as the tests replace them. */
export interface Timers {
  set(callback: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

/** Node's timers; they don't keep the process alive. */
export const nodeTimers: Timers = {
  set: (callback, delayMs) => setTimeout(callback, delayMs).unref(),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
