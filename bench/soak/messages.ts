// Messages between the soak and its child processes, which are its endpoints and its clients.

import type { Listener } from './listeners.js';
import type { ByteCount, ClientContext, RequestCount } from './workload.js';

/** Clients: the named workloads. */
export interface ClientsRole {
  readonly kind: 'clients';
  readonly workloads: readonly string[];
  readonly ports: ClientContext['ports'];
  readonly seed: number;
}

/** Endpoints of services. */
export interface EndpointsRole {
  readonly kind: 'endpoints';
  readonly services: readonly { readonly service: Listener; readonly ports: readonly number[] }[];
  /** Index in FAULTS of the service's first endpoint. */
  readonly firstFault: number;
  readonly seed: number;
}

export type Role = ClientsRole | EndpointsRole;

/** The first order; the second is 'stop'. */
export interface Begin {
  readonly begin: Role;
}
export type Order = Begin | 'stop';

export interface Failure {
  readonly workload: string;
  readonly text: string;
  /** Bytes were wrong, or an incomplete answer was passed off as complete: never excused. */
  readonly corrupt: boolean;
  /** ms since the epoch. */
  readonly at: number;
}

export interface Tally {
  /** Completed runs. */
  done: number;
  /** Runs in progress. */
  active: number;
}

/** Totals so far, sent at intervals. */
export interface Progress {
  readonly tallies: Readonly<Record<string, Tally>>;
  readonly clean: ByteCount;
  readonly requestCount: RequestCount;
}

export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failure'; readonly failure: Failure }
  | { readonly kind: 'progress'; readonly progress: Progress }
  /** The last progress has been sent. */
  | { readonly kind: 'ended' };
