// Checks the API server: whether it answers, its version, and its clock.
import type { ApiClient } from '../../kubernetes/client.js';
import { objectIn, textIn } from '../../kubernetes/json.js';
import { metadataOf } from './reading.js';
import { checkError, checkWarning, type Report } from './report.js';

/** The first version with EndpointSlices v1. */
const OLDEST = 21;
/** The first version with native sidecars enabled by default. */
const NATIVE_SIDECARS = 29;
/** The server's times are whole seconds, and an answer takes time. */
const CLOCK_MS = 5000;

async function version(client: ApiClient): Promise<string> {
  const answer = await client.get('/version');
  const text = textIn(answer, 'gitVersion');
  const minor = Number.parseInt(textIn(answer, 'minor'), 10);
  if (textIn(answer, 'major') !== '1' || !(minor >= OLDEST))
    throw checkError(`it is ${text || 'unknown'}, and 1.${OLDEST} is the oldest that will do`, 'upgrade the cluster');
  if (minor < NATIVE_SIDECARS) {
    const hint =
      'annotate namespaces or pods with config.linkerd.io/proxy-enable-native-sidecar: "false", or upgrade the cluster';
    throw checkWarning(
      `it is ${text}, which may have no native sidecars: they are there from 1.${NATIVE_SIDECARS} on`,
      hint,
    );
  }
  return text;
}

/** With different clocks, tokens and certificates are refused. */
async function clock(client: ApiClient, now: () => number): Promise<string> {
  const before = now();
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const answer = await client.create('/apis/authentication.k8s.io/v1/selfsubjectreviews', review);
  const after = now();
  const server = Date.parse(textIn(metadataOf(answer), 'creationTimestamp'));
  if (Number.isNaN(server)) throw checkWarning('the API server does not tell the time', '');
  const skew = server < before - CLOCK_MS ? before - server : Math.max(0, server - after);
  const seconds = Math.round(skew / 1000);
  if (skew > CLOCK_MS)
    throw checkWarning(
      `they differ by ${seconds} s`,
      'set the clocks by NTP: tokens and certificates count as ended, or not yet begun, where they differ by much',
    );
  return textIn(objectIn(objectIn(answer, 'status'), 'userInfo'), 'username');
}

/** False: no answer, so nothing more can be checked. */
export async function checkServer(report: Report, client: ApiClient, now: () => number): Promise<boolean> {
  report.section('kubernetes-api');
  const answers = await report.check('the API server answers', async () => {
    const hint = 'is this the right kubeconfig and context, and does kubectl get namespaces work?';
    await client.get('/version').catch((error: unknown) => {
      throw checkError(error instanceof Error ? error.message : String(error), hint);
    });
    return client.protocol ?? '';
  });
  if (!answers) return false;
  await report.check('it knows who is asking, and its clock agrees with this one', () => clock(client, now));
  report.section('kubernetes-version');
  await report.check('the version is new enough', () => version(client));
  return true;
}
