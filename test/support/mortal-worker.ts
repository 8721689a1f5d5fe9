// As workers/data-path.ts, but dies at its start where the file exists that MORTAL_WORKERS_DIE names.
import { existsSync } from 'node:fs';
import type { WorkerTask } from '../../src/proxy/snapshot.js';
import { serve as serveUnharmed } from '../../workers/serving.js';

export async function serve(task: WorkerTask): Promise<void> {
  if (existsSync(process.env.MORTAL_WORKERS_DIE ?? '')) throw new Error('made to die');
  await serveUnharmed(task);
}
