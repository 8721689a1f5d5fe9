// What happens before a worker serves. Its data path is run, so that the first requests find compiled code, and the garbage of startup is
// collected, so that V8 need not stop for it later. A failure here only makes the first seconds slower.
import { setTimeout as sleep } from 'node:timers/promises';
import { returnMemory } from '../../io/heap.js';
import type { Native } from '../../io/native.js';
import { W } from '../../metrics/layout.js';
import { LOAD_BOARD, type WorkerTask } from '../snapshot.js';
import { rehearse } from './rehearsal.js';

/** Number of requests, each through four listeners, after which V8 has compiled everything. Usually the CPU time runs out first. */
const REQUESTS = 2500;
/** Limits on CPU time per worker, and on elapsed time if little CPU is available, ms. */
const CPU_MS = 850;
const WALL_MS = 4000;
/** How often to check the process, ms; the CPU time per check that shows compilers at work, ms; the longest wait for them, ms. */
const POLL_MS = 10;
const BUSY_MS = 4;
const SETTLE_MS = 400;
/**
 * One collection does not free everything a rehearsal leaves: what it finds dead is closed by tasks of later loop turns, and only then is a
 * port freed with everything it refers to, 10 MiB. With one collection and a wait of 50 ms these were freed in half of the starts, with
 * this number in all of them.
 */
const COLLECTIONS = 3;
const CLOSING_MS = 20;

/** Waits until the compilers are done: they would take the core from the first requests, and hold the rehearsal's memory. */
async function compiled(): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  let busy = true;
  while (busy && performance.now() < until) {
    const before = process.cpuUsage();
    await sleep(POLL_MS);
    const { user, system } = process.cpuUsage(before);
    busy = user + system > BUSY_MS * 1000;
  }
}

/** Calls `shaped` once the objects of a worker have got their shapes, and `rehearsed` before anything is collected. Returns the reason if the rehearsal did not complete. */
export async function warmUp(
  task: WorkerTask,
  native: Native,
  shaped: () => void = () => undefined,
  rehearsed: () => void = () => undefined,
): Promise<string | undefined> {
  const { warmup } = task;
  if (warmup === null) return undefined;
  const values = new Float64Array(task.memory.values);
  const board = new Int32Array(task.loadBoard);
  const hurried = (): boolean => Atomics.load(board, LOAD_BOARD.HURRY) === 1;
  const began = performance.now();
  let problem: string | undefined;
  try {
    const bounds = { cpuMs: CPU_MS * task.workers, wallMs: WALL_MS, requests: REQUESTS, hurried };
    const { requests, pieces } = await rehearse(task, native, warmup, bounds, shaped);
    values[W.WARMUP_REQUESTS] = requests;
    if ((requests === 0 || pieces === 0) && !hurried()) problem = 'nothing was answered';
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  rehearsed();
  if (hurried()) return undefined;
  await compiled();
  for (let i = 0; i < COLLECTIONS; i++) {
    await returnMemory(native);
    await sleep(CLOSING_MS);
  }
  values[W.WARMUP_US] = (performance.now() - began) * 1000;
  return problem;
}
