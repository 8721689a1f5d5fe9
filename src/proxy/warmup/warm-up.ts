// Before a worker serves: its data path has been run, so that the first requests find compiled code, and what is left of the start has been
// collected, so that V8 has no cause to stop for it later. What fails here costs the first seconds their speed, and nothing else.
import { setTimeout as sleep } from 'node:timers/promises';
import { returnMemory } from '../../io/heap.js';
import type { Native } from '../../io/native.js';
import { W } from '../../metrics/layout.js';
import type { WorkerTask } from '../snapshot.js';
import { rehearse } from './rehearsal.js';

/** Requests of which each passes four listeners: after so many V8 has compiled what there is. Mostly the CPU time is over before. */
const REQUESTS = 2500;
/** At most so much CPU time for each worker, and so much time where there is little CPU to be had, ms. */
const CPU_MS = 850;
const WALL_MS = 4000;
/** The process is looked at so often, ms; compilers are still at work where it has used so much of that time, ms; that long at most, ms. */
const LOOK_MS = 10;
const BUSY_MS = 4;
const SETTLE_MS = 400;
/**
 * One collection does not find all that a rehearsal leaves: what it finds to be dead is closed by tasks of later turns of the loop, and only
 * then is a port gone with all that it refers to, which is 10 MiB. With one and 50 ms after it they were gone in half of the starts, with these
 * in all of them.
 */
const COLLECTIONS = 3;
const CLOSING_MS = 20;

/** Compilers have done what is waiting for them: they would take the core from the first requests, and hold the rehearsal's memory. */
async function compiled(): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  let busy = true;
  while (busy && performance.now() < until) {
    const before = process.cpuUsage();
    await sleep(LOOK_MS);
    const { user, system } = process.cpuUsage(before);
    busy = user + system > BUSY_MS * 1000;
  }
}

/** `rehearsed` is called before anything is collected. Returns why it did not come to its end, where that is so. */
export async function warmUp(
  task: WorkerTask,
  native: Native,
  rehearsed: () => void = () => undefined,
): Promise<string | undefined> {
  const { warmup } = task;
  if (warmup === null) return undefined;
  const values = new Float64Array(task.memory.values);
  const began = performance.now();
  let problem: string | undefined;
  try {
    const bounds = { cpuMs: CPU_MS * task.workers, wallMs: WALL_MS, requests: REQUESTS };
    const { requests, pieces } = await rehearse(task, native, warmup, bounds);
    values[W.WARMUP_REQUESTS] = requests;
    if (requests === 0 || pieces === 0) problem = 'nothing was answered';
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  rehearsed();
  await compiled();
  for (let i = 0; i < COLLECTIONS; i++) {
    await returnMemory(native);
    await sleep(CLOSING_MS);
  }
  values[W.WARMUP_US] = (performance.now() - began) * 1000;
  return problem;
}
