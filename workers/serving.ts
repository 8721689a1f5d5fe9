// The task that Piscina runs once per worker thread: the data path, until it is drained.
import { separateColumns } from '../src/http/columns.js';
import { native } from '../src/io/native.js';
import type { WorkerTask } from '../src/proxy/snapshot.js';
import { warmUp } from '../src/proxy/warmup/warm-up.js';
import { Worker } from '../src/proxy/worker.js';

export async function serve(task: WorkerTask): Promise<void> {
  const door = native();
  try {
    let made: Worker | undefined;
    const make = (): Worker => {
      separateColumns();
      made = new Worker(task, door);
      return made;
    };
    // Within the rehearsal. V8 forgets the shapes of objects of which there are none left, and all code that was compiled for them, which is
    // what a rehearsal would leave; and a worker made before has older shapes.
    const problem = await warmUp(task, door, make, () => made?.rehearsed());
    const worker = made ?? make();
    if (problem !== undefined) {
      const message = 'the warm-up failed: the first requests will be slower';
      task.port.postMessage({ kind: 'log', level: 'warn', message, fields: { problem } });
    }
    await worker.run();
  } finally {
    // The thread may be given another task.
    door.stopRun();
    door.destroy();
  }
}
