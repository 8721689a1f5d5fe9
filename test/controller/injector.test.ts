// The injector put together: objects of an API server in memory, calls over HTTPS.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:https';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Registry } from 'prom-client';
import { Injector } from '../../src/controller/injector.js';
import { ISSUER_LIFETIMES } from '../../src/controller/issuer-renewal.js';
import { IssuerSecret } from '../../src/controller/issuer-secret.js';
import { installation } from '../../src/inject/installation.js';
import { eventually } from '../support/sluice.js';
import { StoredObjects } from '../support/stored-objects.js';

const CONFIGURATION = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sluice-injector';
const DAY_MS = 86_400_000;
const log = (): void => undefined;
const logger = { info: log, warn: log, error: log };

let objects: StoredObjects;
let issuer: IssuerSecret;
let injector: Injector;
let registry: Registry;
let now: number;
/** What has been seen of namespaces. */
let namespaces: Record<string, Record<string, string>>;

async function begin(): Promise<void> {
  const lookAt = { namespace: 'sluice', own: true, lifetimes: ISSUER_LIFETIMES, pollMs: 20 };
  issuer = new IssuerSecret(lookAt, { objects, logger, now: () => now, loaded: log });
  await issuer.start();
  const { trustAnchors: _, ...written } = installation('1.2.3');
  const lasting = { lifetimeMs: DAY_MS, skewMs: 20_000, pollMs: 20 };
  const options = { listen: { host: '127.0.0.1', port: 0 }, installation: written, names: ['localhost'], ...lasting };
  const namespaceAnnotations = (name: string) => namespaces[name] ?? null;
  injector = new Injector(options, { objects, issuer, namespaceAnnotations, registry, logger, now: () => now });
  await injector.start();
}

interface Answered {
  readonly status: number;
  readonly body: string;
  readonly certificate: string;
}

function call(body: object, ca = issuer.anchors): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const agent = new Agent({ keepAlive: false, ca });
    const options = { method: 'POST', path: '/inject', port: injector.port, host: 'localhost', headers, agent };
    request(options, (response) => {
      const { fingerprint256 } = (response.socket as TLSSocket).getPeerCertificate();
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, certificate: fingerprint256 }));
    })
      .on('error', reject)
      .end(JSON.stringify(body));
  });
}

const OWNER = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'u1', controller: true };

interface Asked {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: object;
  readonly dryRun?: boolean;
  readonly namespace?: string;
}

function review({ annotations = {}, spec = {}, dryRun = false, namespace = 'shop' }: Asked = {}): object {
  const object = {
    metadata: { generateName: 'web-1-', annotations, ownerReferences: [OWNER] },
    spec: { containers: [{ name: 'app', image: 'app' }], ...spec },
  };
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '7',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      operation: 'CREATE',
      namespace,
      object,
      dryRun,
    },
  };
}

interface Reviewed {
  readonly patch?: string;
  readonly warnings?: readonly string[];
}

async function answered(asked: Asked): Promise<Reviewed> {
  const { status, body } = await call(review(asked));
  assert.equal(status, 200, body);
  return (JSON.parse(body) as { response: Reviewed }).response;
}

interface Written {
  readonly reason: string;
  readonly type: string;
  readonly message: string;
  readonly involvedObject: Readonly<Record<string, string>>;
}

const written = (): Written[] => objects.under('/api/v1/namespaces/shop/events/') as unknown as Written[];
const metric = async (name: string): Promise<number> => {
  const line = (await registry.metrics()).split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? Number.NaN : Number(line.split(' ').at(-1));
};
const caBundles = (): unknown[] =>
  (objects.peek(CONFIGURATION).webhooks as { clientConfig: { caBundle?: string } }[]).map(
    ({ clientConfig }) => clientConfig.caBundle,
  );
const wanted = (): string => Buffer.from(issuer.anchors).toString('base64');

beforeEach(() => {
  objects = new StoredObjects();
  registry = new Registry();
  now = Date.now();
  namespaces = { shop: { 'linkerd.io/inject': 'enabled' } };
  const service = { namespace: 'sluice', name: 'sluice-injector', path: '/inject' };
  objects.put(CONFIGURATION, { webhooks: [{ name: 'inject.sluice.io', clientConfig: { service } }] });
});
afterEach(async () => {
  await injector.close();
  await issuer.close();
});

describe('a pod', () => {
  it('gets a proxy with the anchors of the mesh; that is an event and a metric', async () => {
    await begin();
    const { patch = '' } = await answered({});
    assert.ok(Buffer.from(patch, 'base64').toString().includes(JSON.stringify(issuer.anchors)));
    await eventually(() => written().length === 1, 'an event');
    const [{ reason, type, involvedObject }] = written();
    assert.deepEqual([type, reason], ['Normal', 'SluiceInjected']);
    const { controller: _, ...owner } = OWNER;
    assert.deepEqual(involvedObject, { ...owner, namespace: 'shop' });
    assert.equal(await metric('sluice_injector_reviews_total{kind="Pod",result="injected",reason=""}'), 1);
    assert.equal(await metric('sluice_injector_review_seconds_count'), 1);
  });

  it('is told of what was left out of its annotations, once', async () => {
    await begin();
    const asked = { annotations: { 'config.linkerd.io/opaque-ports': '3306,4O06' } };
    for (let times = 0; times < 3; times++) {
      const { warnings = [], patch } = await answered(asked);
      assert.equal(warnings.length, 1);
      assert.ok(patch !== undefined);
    }
    await eventually(() => written().length === 2, 'events');
    const [ignored] = written().filter(({ type }) => type === 'Warning');
    assert.equal(ignored.reason, 'SluiceAnnotationIgnored');
    assert.match(ignored.message, /^config\.linkerd\.io\/opaque-ports of the pod: "4O06"/);
    assert.equal(await metric('sluice_injector_problems_total{severity="warning"}'), 3);
    assert.equal(await metric('sluice_injector_events_total{result="repeated"}'), 4);
    // Kubernetes forgets events after a while; until then another one of the same name is not taken.
    now += 601_000;
    await answered(asked);
    await eventually(async () => (await metric('sluice_injector_events_total{result="repeated"}')) === 6, 'not again');
    objects.removeUnder('/api/v1/namespaces/shop/events/');
    now += 601_000;
    await answered(asked);
    await eventually(() => written().length === 2, 'events again');
  });

  it('that can have none is told why, unless nobody wants one', async () => {
    await begin();
    const { patch } = await answered({ spec: { hostNetwork: true } });
    assert.equal(patch, undefined);
    await eventually(() => written().length === 1, 'an event');
    assert.equal(written()[0].reason, 'SluiceNotInjected');
    assert.match(written()[0].message, /hostNetwork/);
    await answered({ annotations: { 'linkerd.io/inject': 'disabled' } });
    assert.equal(await metric('sluice_injector_reviews_total{kind="Pod",result="skipped",reason="disabled"}'), 1);
    assert.equal(written().length, 1);
  });

  it('that is not to be stored leaves no event', async () => {
    await begin();
    assert.ok((await answered({ dryRun: true })).patch !== undefined);
    await answered({});
    await eventually(() => written().length === 1, 'the event of the other one');
    assert.equal(await metric('sluice_injector_events_total{result="repeated"}'), 0);
  });

  it('in a namespace that nobody has seen yet goes by what the API server says of that', async () => {
    await begin();
    objects.put('/api/v1/namespaces/new', { metadata: { annotations: { 'linkerd.io/inject': 'enabled' } } });
    assert.ok((await answered({ namespace: 'new' })).patch !== undefined);
    assert.equal((await answered({ namespace: 'unknown' })).patch, undefined);
    objects.failure = new Error('connect ECONNREFUSED');
    const { status } = await call(review({ namespace: 'new' }));
    assert.equal(status, 500, "what to do without us is the configuration's business");
    assert.ok((await answered({})).patch !== undefined, 'others are injected');
  });

  it('is a review of v1, or nothing', async () => {
    await begin();
    for (const [body, message] of [
      [{ ...review(), apiVersion: 'admission.k8s.io/v1beta1' }, /this port takes admission\.k8s\.io\/v1 /],
      [{}, /this port takes an AdmissionReview/],
      // It would be a part of what we ask an API server, with our rights.
      [review({ namespace: 'shop/secrets/issuer?x=' }), /^request\.namespace is not the name of a namespace/],
      [review({ namespace: '..' }), /^request\.namespace is not the name/],
    ] as const) {
      const answer = await call(body);
      assert.equal(answer.status, 400);
      assert.match(answer.body, message);
    }
    assert.equal(await metric('sluice_injector_refused_total{reason="review"}'), 4);
    assert.deepEqual(written(), []);
  });

  it('is injected though events cannot be written', async () => {
    await begin();
    objects.failure = new Error('403');
    assert.ok((await answered({})).patch !== undefined);
    await eventually(async () => (await metric('sluice_injector_events_total{result="failed"}')) === 1, 'a failure');
    objects.failure = null;
    await answered({});
    await eventually(() => written().length === 1, 'the event after all');
  });
});

describe("the webhook's caBundle", () => {
  it('is written, and again whenever somebody overwrites it', async () => {
    await begin();
    await eventually(() => injector.unready() === null, 'ready');
    assert.deepEqual(caBundles(), [wanted()]);
    objects.change(CONFIGURATION, (before) => ({
      ...before,
      webhooks: [
        { name: 'inject.sluice.io', clientConfig: { caBundle: '' } },
        { name: 'other', clientConfig: {} },
      ],
    }));
    await eventually(() => caBundles().every((bundle) => bundle === wanted()), 'written again');
    assert.equal(await metric('sluice_injector_ca_bundle_total{result="patched"}'), 2);
  });

  it('keeps the controller from being ready while it is not known to be right', async () => {
    await begin();
    await eventually(() => injector.unready() === null, 'ready');
    await injector.close();
    const failing = Object.assign(objects, { failure: new Error('PATCH: status 403') });
    const { trustAnchors: _, ...mesh } = installation('1.2.3');
    const lasting = { lifetimeMs: DAY_MS, skewMs: 20_000, pollMs: 20 };
    injector = new Injector(
      { listen: { host: '127.0.0.1', port: 0 }, installation: mesh, names: [], ...lasting },
      { objects: failing, issuer, namespaceAnnotations: () => null, registry: new Registry(), logger, now: () => now },
    );
    assert.match(injector.unready() ?? '', /has not started yet/);
    await injector.start();
    await eventually(() => /status 403/.test(injector.unready() ?? ''), 'why it is not ready');
    objects.failure = null;
    await eventually(() => injector.unready() === null, 'ready');
    objects.failure = new Error('unreachable');
    await eventually(() => injector.problem !== null, 'a problem');
    assert.equal(injector.unready(), null, 'what was right is right until somebody overwrites it');
  });

  it('is nowhere where nobody wants pods to be injected', async () => {
    objects.remove(CONFIGURATION);
    await begin();
    await eventually(() => injector.unready() === null, 'ready');
    assert.match(injector.problem ?? '', /MutatingWebhookConfiguration sluice-injector does not exist/);
    objects.put(CONFIGURATION, { webhooks: [{ name: 'inject.sluice.io', clientConfig: {} }] });
    await eventually(() => injector.problem === null, 'no problem any more');
    assert.deepEqual(caBundles(), [wanted()]);
  });
});

describe("the webhook's certificate", () => {
  it('is replaced when it is due', async () => {
    // The other side of the connection has a clock of its own.
    now -= 14 * 3_600_000;
    await begin();
    const { certificate } = await call(review());
    now += 13 * 3_600_000;
    await eventually(async () => (await call(review())).certificate !== certificate, 'another certificate');
  });

  it('is of the issuer that there is, which API servers trust before', async () => {
    await begin();
    await eventually(() => injector.unready() === null, 'ready');
    const [first, { certificate }] = [issuer.anchors, await call(review())];
    const secret = '/api/v1/namespaces/sluice/secrets/sluice-identity-issuer';
    objects.remove(secret);
    await eventually(() => issuer.anchors !== first, 'another issuer');
    await eventually(async () => (await call(review())).certificate !== certificate, 'another certificate');
    assert.deepEqual(caBundles(), [wanted()]);
    await assert.rejects(call(review(), first), /certificate/);
  });
});
