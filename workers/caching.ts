// As data-path.ts, for a worker that writes down in the end what V8 has made of the data path; see src/code/make-caches.ts.
import { runWithCache } from '../src/code/cached-script.js';
import { collectOnlyWhenFull, configureCompiler } from '../src/code/compiler.js';
import { SERVING_BUNDLE } from '../src/code/serving-bundle.js';
import { native } from '../src/io/native.js';
import type { WorkerTask } from '../src/proxy/snapshot.js';

configureCompiler();
const script = runWithCache<typeof import('./serving.js')>(SERVING_BUNDLE, native());

export async function serve(task: WorkerTask): Promise<void> {
  await script.exports.serve(task);
  // The cache is for a worker that starts.
  collectOnlyWhenFull(false);
  script.save();
}
