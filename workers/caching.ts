// As data-path.ts, for a worker that writes down in the end what V8 has made of the data path; see src/code/make-caches.ts.
import { runCached } from '../src/code/cached-script.js';
import { keepCode } from '../src/code/compiler.js';
import { SERVING_FILE } from '../src/code/serving-file.js';
import { native } from '../src/io/native.js';
import type { WorkerTask } from '../src/proxy/snapshot.js';

keepCode();
const script = runCached<typeof import('./serving.js')>(SERVING_FILE, native());

export async function serve(task: WorkerTask): Promise<void> {
  await script.exports.serve(task);
  script.save();
}
