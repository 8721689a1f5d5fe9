// Checks what is installed: the controller, its issuer, and its webhook.
import { X509Certificate } from 'node:crypto';
import { checkIssuer, readAuthority, trustedAnchors } from '../../controller/issuer-material.js';
import type { StoredObject } from '../../controller/objects.js';
import { checkAnchors } from '../../identity/credentials.js';
import type { ApiClient } from '../../kubernetes/client.js';
import { type JsonObject, objectIn, objectsIn, textIn } from '../../kubernetes/json.js';
import { found, metadataOf, numberIn } from './reading.js';
import { checkError, checkWarning, type Report } from './report.js';

const INSTALL = 'kubectl apply -k k8s/ installs it; sluice check --pre says whether it can be';
const CONTROLLER_LOG = (namespace: string): string => `kubectl -n ${namespace} logs deployment/sluice-controller`;
const SERVICES = ['sluice-identity', 'sluice-destination', 'sluice-injector'];
const WEBHOOK = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sluice-injector';
/** With less than this share of its lifetime left, a certificate should already have been renewed. */
const LATE = 0.1;

const day = (time: Date): string => time.toISOString().slice(0, 10);

/** When the first of them expires. Throws if that is soon. */
function lasting(certificates: readonly X509Certificate[], what: string, nowMs: number, hint: string): string {
  const ends = [...certificates].sort((a, b) => Date.parse(a.validTo) - Date.parse(b.validTo));
  const [first] = ends;
  const begin = Date.parse(first.validFrom);
  const end = Date.parse(first.validTo);
  if (end <= nowMs) throw checkError(`${what} ended on ${day(new Date(end))}`, hint);
  if (end - nowMs < (end - begin) * LATE) throw checkWarning(`${what} ends on ${day(new Date(end))}`, hint);
  return `until ${day(new Date(end))}`;
}

function ready(controller: JsonObject, namespace: string): string {
  const spec = objectIn(controller, 'spec');
  const status = objectIn(controller, 'status');
  const wanted = typeof spec.replicas === 'number' ? spec.replicas : 1;
  const there = numberIn(status, 'readyReplicas');
  const hint = CONTROLLER_LOG(namespace);
  if (there === 0) throw checkError(`none of ${wanted} is`, `kubectl -n ${namespace} get pods; ${hint}`);
  if (numberIn(status, 'observedGeneration') < numberIn(metadataOf(controller), 'generation'))
    throw checkWarning('its last change has not been taken up yet', 'wait');
  if (there < wanted) throw checkWarning(`${there} of ${wanted} are`, `kubectl -n ${namespace} get pods; ${hint}`);
  return `${there} of ${wanted}`;
}

async function required(client: ApiClient, path: string, what: string, hint: string): Promise<JsonObject> {
  const object = await found(client, path);
  if (object === null) throw checkError(`there is no ${what}`, hint);
  return object;
}

/** False: there is nothing more to check. */
export async function checkController(report: Report, client: ApiClient, namespace: string): Promise<boolean> {
  report.section('sluice-existence');
  const there = await report.check(`namespace ${namespace} is there`, async () => {
    await required(client, `/api/v1/namespaces/${namespace}`, 'such namespace', INSTALL);
    return '';
  });
  if (!there) return false;
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/sluice-controller`;
  await report.check('the controller is ready', async () =>
    ready(await required(client, path, 'Deployment sluice-controller', INSTALL), namespace),
  );
  await report.check('its services are there', async () => {
    for (const name of SERVICES)
      await required(client, `/api/v1/namespaces/${namespace}/services/${name}`, `Service ${name}`, INSTALL);
    return SERVICES.join(', ');
  });
  return true;
}

const certificatesIn = (texts: readonly string[]): X509Certificate[] => texts.map((text) => new X509Certificate(text));

export async function checkIdentity(
  report: Report,
  client: ApiClient,
  namespace: string,
  nowMs: number,
): Promise<void> {
  report.section('sluice-identity');
  const made = `the controller makes it: ${CONTROLLER_LOG(namespace)}`;
  const bundlePath = `/api/v1/namespaces/${namespace}/configmaps/sluice-identity-trust-roots`;
  const bundle = async (): Promise<StoredObject> =>
    (await required(client, bundlePath, 'ConfigMap sluice-identity-trust-roots', made)) as StoredObject;
  await report.check('trust anchors are valid', async () =>
    lasting(
      certificatesIn(trustedAnchors(await bundle(), nowMs)),
      'one of them',
      nowMs,
      'let the next anchor be trusted before this one ends, and restart what has a proxy',
    ),
  );
  await report.check('the issuer is valid, and signed by a trust anchor', async () => {
    const secretPath = `/api/v1/namespaces/${namespace}/secrets/sluice-identity-issuer`;
    const secret = (await required(client, secretPath, 'Secret sluice-identity-issuer', made)) as StoredObject;
    const authority = await readAuthority(secret);
    checkIssuer(authority, secret, await bundle(), nowMs);
    return lasting(
      authority.chain.slice(0, 1),
      'it',
      nowMs,
      `whatever renews it is late: ${CONTROLLER_LOG(namespace)}`,
    );
  });
}

async function caBundle(client: ApiClient, namespace: string, nowMs: number): Promise<string> {
  const hint = `the controller writes it: ${CONTROLLER_LOG(namespace)}`;
  const configuration = await required(client, WEBHOOK, 'MutatingWebhookConfiguration sluice-injector', INSTALL);
  const [webhook] = objectsIn(configuration, 'webhooks');
  const text = webhook === undefined ? '' : textIn(objectIn(webhook, 'clientConfig'), 'caBundle');
  if (text === '') throw checkError('it is empty, so that API servers do not trust the webhook', hint);
  const file = 'caBundle of sluice-injector';
  const { anchors } = checkAnchors({ file, bytes: Buffer.from(text, 'base64') }, nowMs);
  const bundle = await found(client, `/api/v1/namespaces/${namespace}/configmaps/sluice-identity-trust-roots`);
  const trusted = bundle === null ? null : trustedAnchors(bundle as StoredObject, nowMs);
  const prints = new Set(certificatesIn(trusted ?? []).map(({ fingerprint256 }) => fingerprint256));
  if (trusted !== null && !certificatesIn(anchors).some(({ fingerprint256 }) => prints.has(fingerprint256)))
    throw checkError('none of its certificates is a trust anchor, by which the webhook has its certificate', hint);
  return lasting(certificatesIn(anchors), 'one of its certificates', nowMs, hint);
}

export async function checkWebhook(report: Report, client: ApiClient, namespace: string, nowMs: number): Promise<void> {
  report.section('sluice-webhook');
  await report.check("the injector's webhook is there", async () => {
    const configuration = await required(client, WEBHOOK, 'MutatingWebhookConfiguration sluice-injector', INSTALL);
    const [webhook] = objectsIn(configuration, 'webhooks');
    const policy = webhook === undefined ? '' : textIn(webhook, 'failurePolicy');
    return policy === '' ? '' : `failurePolicy ${policy}`;
  });
  await report.check('its caBundle is valid, and fits the trust anchors', () => caBundle(client, namespace, nowMs));
}
