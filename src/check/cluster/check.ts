// `sluice check` and `sluice check --pre`: a cluster after and before the installation.
import { ApiClient } from '../../kubernetes/client.js';
import { type AccessOptions, findAccess } from './access.js';
import { checkDataPlane } from './data-plane.js';
import { checkController, checkIdentity, checkWebhook } from './installed.js';
import { checkBefore } from './pre.js';
import { checkError, Report } from './report.js';
import { checkServer } from './server.js';

export interface ClusterCheckOptions extends AccessOptions {
  /** Before anything is installed. */
  readonly pre: boolean;
  /** Of the controller. */
  readonly namespace: string;
  /** Of this Sluice. */
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  readonly now: () => number;
}

/** Timeout of a call, ms: somebody is waiting. */
const CALL_MS = 10_000;

async function look(report: Report, client: ApiClient, options: ClusterCheckOptions): Promise<void> {
  const { pre, namespace, version, now } = options;
  if (!(await checkServer(report, client, now))) return;
  if (pre) return checkBefore(report, client, namespace);
  if (!(await checkController(report, client, namespace))) return;
  await checkIdentity(report, client, namespace, now());
  await checkWebhook(report, client, namespace, now());
  await checkDataPlane(report, client, version);
}

export async function checkCluster(options: ClusterCheckOptions): Promise<Report> {
  const report = new Report();
  report.section('kubernetes-config');
  let client: ApiClient | null = null;
  await report.check('an API server is named', () => {
    try {
      const access = findAccess(options, options.env);
      client = new ApiClient(access, { callMs: CALL_MS });
      return access.server.href;
    } catch (error) {
      const hint =
        'name a kubeconfig with --kubeconfig FILE or KUBECONFIG; sluice check -c FILE checks a configuration';
      throw checkError(error instanceof Error ? error.message : String(error), hint);
    }
  });
  const asked = client as ApiClient | null;
  if (asked === null) return report;
  try {
    await look(report, asked, options);
  } finally {
    asked.close();
  }
  return report;
}
