// Chooses the endpoints of a Service for a client, like kube-proxy.
import type { SliceEndpoint } from './slice.js';

export interface Candidate {
  readonly said: SliceEndpoint;
  readonly port: number;
}

export interface Location {
  /** Empty if unknown. */
  readonly zone: string;
  /** Endpoints must be on this node; null: anywhere. */
  readonly node: string | null;
}

/** Ready endpoints; if none is ready, those that are terminating but still serve. */
export function selected<T extends Candidate>(candidates: readonly T[], { zone, node }: Location): readonly T[] {
  const near = node === null ? candidates : candidates.filter(({ said }) => said.node === node);
  const ready = near.filter(({ said }) => said.ready);
  if (ready.length === 0) return near.filter(({ said }) => said.terminating);
  return zone === '' ? ready : hinted(ready, zone);
}

/** Hints count if every endpoint has one, and there is one for the client's zone. */
function hinted<T extends Candidate>(ready: readonly T[], zone: string): readonly T[] {
  if (!ready.every(({ said }) => said.hints !== null && said.hints.length > 0)) return ready;
  const own = ready.filter(({ said }) => said.hints?.includes(zone));
  return own.length === 0 ? ready : own;
}
