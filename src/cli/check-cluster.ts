import { type ClusterCheckOptions, checkCluster } from '../check/cluster/check.js';
import { sluiceVersion } from '../log/process-state.js';
import { EXIT_FAILURE, print } from './usage.js';

/** `sluice check` without a file. */
export async function runClusterCheck(
  options: Omit<ClusterCheckOptions, 'version' | 'env' | 'now'>,
  json: boolean,
): Promise<number> {
  const report = await checkCluster({ ...options, version: sluiceVersion(), env: process.env, now: Date.now });
  print(json ? JSON.stringify(report, null, 2) : String(report));
  return report.success ? 0 : EXIT_FAILURE;
}
