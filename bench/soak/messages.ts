// What the soak says to its parts, the processes that are its endpoints and its clients, and what they say to it.

import type { Listener } from './listeners.js';
import type { Asked, CleanCount, Stage } from './stage.js';

/** Clients: all actors of a troupe that are named. */
export interface ClientsRole {
  readonly kind: 'clients';
  readonly actors: readonly string[];
  readonly ports: Stage['ports'];
  readonly seed: number;
}

/** Endpoints of services. */
export interface EndpointsRole {
  readonly kind: 'endpoints';
  readonly services: readonly { readonly service: Listener; readonly ports: readonly number[] }[];
  /** Which temper the first endpoint of a service has that comes in several. */
  readonly temper: number;
  readonly seed: number;
}

export type Role = ClientsRole | EndpointsRole;

/** The first order; the second one is 'stop'. */
export interface Begin {
  readonly begin: Role;
}
export type Order = Begin | 'stop';

export interface Complaint {
  readonly actor: string;
  readonly text: string;
  /** Bytes were wrong, or a part was passed on as all: never to be excused. */
  readonly wrong: boolean;
  /** ms since the epoch. */
  readonly at: number;
}

export interface Tally {
  /** Acts that came to their end. */
  done: number;
  /** Under way. */
  under: number;
}

/** All so far, said again and again. */
export interface Progress {
  readonly tallies: Readonly<Record<string, Tally>>;
  readonly clean: CleanCount;
  readonly asked: Asked;
}

export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'complaint'; readonly complaint: Complaint }
  | { readonly kind: 'progress'; readonly progress: Progress }
  /** The last progress has been said. */
  | { readonly kind: 'ended' };
