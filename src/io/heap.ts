// What a start leaves behind, or a reload with thousands of services. V8 takes up to half a minute to notice that a quiet thread's
// heap is mostly empty; until then the process is larger than it has to be, and when V8 comes for it the thread stands still.
import { Session } from 'node:inspector';
import type { Native } from './native.js';

/** Services and endpoints from which on a reload is worth the pause: 0.2 s with 50,000 endpoints. */
const MANY = 4096;

/** Whether so many services, given by the endpoints of each, are worth it. */
export function isLarge(endpointsOfServices: readonly (readonly unknown[])[]): boolean {
  return endpointsOfServices.reduce((count, endpoints) => count + 1 + endpoints.length, 0) >= MANY;
}

/** Collects this thread's garbage and gives its pages back. Never while it carries traffic: the thread stands still. */
export async function returnMemory(native: Pick<Native, 'trimHeap'>): Promise<void> {
  const session = new Session();
  session.connect();
  await new Promise<void>((resolve) => session.post('HeapProfiler.collectGarbage', () => resolve()));
  session.disconnect();
  native.trimHeap();
}
