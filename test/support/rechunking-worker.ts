// As workers/data-path.ts, with a transport under every connection.
import { native } from '../../src/io/native.js';
import type { WorkerTask } from '../../src/proxy/snapshot.js';
import { Worker } from '../../src/proxy/worker.js';
import { RechunkingTransport } from './rechunking-transport.js';

export async function serve(task: WorkerTask): Promise<void> {
  const door = native();
  try {
    await new Worker(task, door, (channel, slab, n) => new RechunkingTransport(channel, slab, n)).run();
  } finally {
    door.stopRun();
    door.destroy();
  }
}
