// Cleans up after a start, or a reload with thousands of services. V8 takes up to half a minute to notice that a quiet thread's heap is
// mostly empty. Until then the process is larger than necessary, and when V8 collects, the thread stops.
import { Session } from 'node:inspector';
import type { Native } from './native.js';

/** Number of services and endpoints from which a reload is worth the pause: 0.2 s with 50,000 endpoints. */
const LARGE_RELOAD = 4096;

/** Whether these services, given by the endpoints of each, are worth it. */
export function isLarge(endpointsOfServices: readonly (readonly unknown[])[]): boolean {
  return endpointsOfServices.reduce((count, endpoints) => count + 1 + endpoints.length, 0) >= LARGE_RELOAD;
}

/** Collects this thread's garbage and returns its pages. Never while it carries traffic, because the thread stops. */
export async function returnMemory(native: Pick<Native, 'trimHeap'>): Promise<void> {
  const session = new Session();
  session.connect();
  await new Promise<void>((resolve) => session.post('HeapProfiler.collectGarbage', () => resolve()));
  session.disconnect();
  native.trimHeap();
}
