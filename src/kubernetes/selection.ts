// Which endpoints of a Service serve an asker, as kube-proxy chooses them.
import type { SliceEndpoint } from './slice.js';

export interface Candidate {
  readonly said: SliceEndpoint;
  readonly port: number;
}

export interface Place {
  /** Empty where it is not known. */
  readonly zone: string;
  /** Endpoints must be on this node; null: they may be anywhere. */
  readonly node: string | null;
}

/** Those that are ready; those that are about to end and still serve, where none is ready. */
export function selected<T extends Candidate>(candidates: readonly T[], { zone, node }: Place): readonly T[] {
  const near = node === null ? candidates : candidates.filter(({ said }) => said.node === node);
  const ready = near.filter(({ said }) => said.ready);
  if (ready.length === 0) return near.filter(({ said }) => said.leaving);
  return zone === '' ? ready : hinted(ready, zone);
}

/** Hints count where every endpoint has one, and there is one for the asker's zone. */
function hinted<T extends Candidate>(ready: readonly T[], zone: string): readonly T[] {
  if (!ready.every(({ said }) => said.hints !== null && said.hints.length > 0)) return ready;
  const own = ready.filter(({ said }) => said.hints?.includes(zone));
  return own.length === 0 ? ready : own;
}
