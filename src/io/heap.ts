// What a start or a reload with thousands of services leaves behind. V8 takes up to half a minute to notice that a quiet thread's
// heap is mostly empty; until then the process looks twice as large as it is.
import { Session } from 'node:inspector';

/** Services and endpoints from which on it is worth the pause: 0.2 s with 50,000 endpoints. */
const MANY = 4096;

/** Whether so many services, given by the endpoints of each, are worth it. */
export function isLarge(endpointsOfServices: readonly (readonly unknown[])[]): boolean {
  return endpointsOfServices.reduce((count, endpoints) => count + 1 + endpoints.length, 0) >= MANY;
}

/** Collects this thread's garbage and gives its pages back. Never while it carries traffic: the thread stands still. */
export async function returnMemory(): Promise<void> {
  const session = new Session();
  session.connect();
  await new Promise<void>((resolve) => session.post('HeapProfiler.collectGarbage', () => resolve()));
  session.disconnect();
}
