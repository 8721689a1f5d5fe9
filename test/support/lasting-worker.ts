// As workers/data-path.ts, but its thread never ends: when everything is closed it waits for a reader of the FIFO that LASTING_WORKERS_WAIT
// names, in a system call that nothing interrupts. V8's threads can hold up the end of a thread in the same way.
import { openSync } from 'node:fs';
import type { WorkerTask } from '../../src/proxy/snapshot.js';
import { serve as serveBriefly } from '../../workers/serving.js';

export async function serve(task: WorkerTask): Promise<void> {
  await serveBriefly(task);
  setImmediate(() => openSync(process.env.LASTING_WORKERS_WAIT ?? '', 'w'));
}
