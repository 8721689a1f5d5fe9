// What each right of the controller is for, as something that works with it and does not without.
import { BUNDLE_KEY, OWNED } from '../../src/controller/issuer-material.js';
import { makeIssuer } from '../../src/controller/issuer-renewal.js';
import type { Kubernetes } from '../support/kubernetes.js';
import type { LimitedController } from '../support/limited-controller.js';

const DAY_MS = 86_400_000;
const SECRET = 'sluice-identity-issuer';
const BUNDLE = 'sluice-identity-trust-roots';

type Works = (controller: LimitedController) => Promise<boolean>;

const listed =
  (kind: string): Works =>
  async (controller) =>
    (await controller.metric('sluice_cluster_lists_total', { kind })) > 0 && controller.well('cluster');
const watched =
  (kind: string): Works =>
  async (controller) =>
    (await controller.metric('sluice_cluster_watches_total', { kind })) > 0 && controller.well('cluster');
const hasIssuer: Works = async (controller) =>
  (await controller.metric('sluice_identity_issuer_loads_total', { result: 'ok' })) > 0 && controller.well('issuer');
const keepsBundle: Works = async (controller) =>
  (await controller.metric('sluice_injector_ca_bundle_total', { result: 'patched' })) > 0 &&
  controller.well('injector');

async function tells(controller: LimitedController): Promise<boolean> {
  const written = (): Promise<number> => controller.metric('sluice_injector_events_total', { result: 'written' });
  const failed = (): Promise<number> => controller.metric('sluice_injector_events_total', { result: 'failed' });
  const [before, lost] = [await written(), await failed()];
  if (!(await controller.reviews(controller.namespace))) return false;
  for (;;) {
    if ((await written()) > before) return true;
    if ((await failed()) > lost) return false;
  }
}

/** By `rightText`. */
export const WORKS: Readonly<Record<string, Works>> = {
  'list namespaces': listed('namespaces'),
  'watch namespaces': watched('namespaces'),
  'list services': listed('services'),
  'watch services': watched('services'),
  'list pods': listed('pods'),
  'watch pods': watched('pods'),
  'list endpointslices': listed('slices'),
  'watch endpointslices': watched('slices'),
  // The API server would have to be quicker than the watch.
  'get namespaces': (controller) => controller.reviews('never-seen'),
  'create tokenreviews': (controller) => controller.certifies(),
  'create events': tells,
  'get mutatingwebhookconfigurations/sluice-injector': keepsBundle,
  'patch mutatingwebhookconfigurations/sluice-injector': keepsBundle,
  'create secrets': async (controller) => (await controller.data('secrets', SECRET)) !== null,
  'create configmaps': async (controller) => (await controller.data('configmaps', BUNDLE)) !== null,
  'get secrets/sluice-identity-issuer': hasIssuer,
  'get configmaps/sluice-identity-trust-roots': hasIssuer,
  // The next root is made, and trusted.
  'update secrets/sluice-identity-issuer': async (controller) =>
    (await controller.data('secrets', SECRET))?.['next-ca.crt'] !== undefined && controller.well('issuer'),
  'update configmaps/sluice-identity-trust-roots': async (controller) => {
    const root = (await controller.data('secrets', SECRET))?.['ca.crt'] ?? '';
    const trusted = (await controller.data('configmaps', BUNDLE))?.[BUNDLE_KEY] ?? '';
    return trusted.includes(Buffer.from(root, 'base64').toString().trim().split('\n').slice(1, -1).join('\n'));
  },
  'get configmaps/sluice-authorization': async (controller) =>
    (await controller.metric('sluice_controller_rules_reads_total', { result: 'ok' })) > 0 && controller.well('rules'),
  'get pods': async (controller) => controller.injects,
};

/** Those whose refusal nobody hears of but by a metric: what they are for goes on. */
export const QUIET: readonly string[] = ['create events'];

/** Those who begin with nothing: what is made only then. Others find an issuer whose next root is due, and a bundle that lacks its root. */
export const AT_FIRST: readonly string[] = ['create secrets', 'create configmaps'];

/** Puts an issuer of before there, with a bundle that does not know it. */
export async function leaveIssuer(kubernetes: Kubernetes, namespace: string): Promise<void> {
  const begunMs = Date.now() - 60 * DAY_MS;
  const lifetimes = { rootMs: 100 * DAY_MS, issuerMs: 90 * DAY_MS };
  const [data, other] = [await makeIssuer(lifetimes, begunMs), await makeIssuer(lifetimes, begunMs)];
  const metadata = (name: string): object => ({ name, namespace, labels: OWNED });
  const path = `/api/v1/namespaces/${namespace}`;
  const secret = { metadata: metadata(SECRET), type: 'kubernetes.io/tls', data };
  await kubernetes.done('POST', `${path}/secrets`, secret);
  const anchors = Buffer.from(other['ca.crt'], 'base64').toString();
  await kubernetes.done('POST', `${path}/configmaps`, { metadata: metadata(BUNDLE), data: { [BUNDLE_KEY]: anchors } });
}
