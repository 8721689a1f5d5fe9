// As workers/data-path.ts, with TLS under every connection, and plain peers.
import { native } from '../../src/io/native.js';
import type { WorkerTask } from '../../src/proxy/snapshot.js';
import { Worker } from '../../src/proxy/worker.js';
import { Pki } from './pki.js';
import { TestTls } from './tls-transport.js';

export async function serve(task: WorkerTask): Promise<void> {
  const door = native();
  const pki = await Pki.make();
  const { chain, key } = await pki.leaf({ dns: ['endpoint.test'] });
  const papers = { chain, key, anchor: pki.anchor };
  try {
    await new Worker(task, door, (channel, slab, n) => new TestTls(channel, slab, n, door, papers)).run();
  } finally {
    door.stopRun();
    door.destroy();
  }
}
