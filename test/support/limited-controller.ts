// A controller that may do less than its manifests allow: in the test's own process, in a namespace of its own, by the token of an account
// of its own, at a real API server. What it is for is tried part by part.
import { EventEmitter } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { controllerOptions } from '../../src/cli/controller.js';
import { assemble } from '../../src/controller/assembly.js';
import { runController } from '../../src/controller/run.js';
import { IssuingMetrics } from '../../src/identity/issuing/metrics.js';
import { accountName } from '../../src/identity/names.js';
import { createLogger } from '../../src/log/logger.js';
import { Certifying } from './identity-service.js';
import type { Kubernetes } from './kubernetes.js';
import { signingRequest } from './pki.js';
import { type Right, rulesOf } from './role-rights.js';
import { eventually, sumOf } from './sluice.js';

export const ACCOUNT = 'sluice-controller';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const POD = 'controller-0';
const WAIT_MS = 120_000;

interface Line {
  readonly message: string;
  readonly port?: number;
  readonly adminPort?: number;
}

export class LimitedController {
  /** What it says, as it is written. */
  readonly lines: string[] = [];
  /** Why it has ended by itself. */
  failure = '';
  readonly #signals = new EventEmitter();
  #running: Promise<unknown> = Promise.resolve();
  #times = 0;

  constructor(
    private readonly kubernetes: Kubernetes,
    readonly namespace: string,
  ) {}

  get user(): string {
    return `system:serviceaccount:${this.namespace}:${ACCOUNT}`;
  }

  /** The namespace with its account, its pod, and these rights. */
  async prepare(rights: readonly Right[]): Promise<void> {
    const { kubernetes, namespace } = this;
    // Its pod is made without anybody being asked.
    const labels = { 'config.linkerd.io/admission-webhooks': 'disabled' };
    await kubernetes.done('POST', '/api/v1/namespaces', { metadata: { name: namespace, labels } });
    await kubernetes.account(namespace, ACCOUNT);
    const containers = [{ name: 'controller', image: 'sluice:test' }];
    const spec = { serviceAccountName: ACCOUNT, containers };
    await kubernetes.done('POST', `/api/v1/namespaces/${namespace}/pods`, { metadata: { name: POD }, spec });
    for (const role of ['ClusterRole', 'Role'] as const) {
      const subjects = [{ kind: 'ServiceAccount', name: ACCOUNT, namespace }];
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: role, name: namespace };
      const metadata = { name: namespace };
      await kubernetes.done('POST', this.#roles(role), { metadata, rules: this.#rules(rights, role) });
      await kubernetes.done('POST', this.#roles(role, 'bindings'), { metadata, roleRef, subjects });
    }
    await this.#allowed(rights);
  }

  #roles(role: Right['role'], what: 's' | 'bindings' = 's'): string {
    return role === 'Role'
      ? `${RBAC}/namespaces/${this.namespace}/role${what}`
      : `${RBAC}/cluster${role.slice(7).toLowerCase()}${what}`;
  }

  #rules(rights: readonly Right[], of: Right['role']): object[] {
    return rulesOf(rights.filter(({ role }) => role === of));
  }

  /** From now on it may do this. */
  async allow(rights: readonly Right[]): Promise<void> {
    for (const role of ['ClusterRole', 'Role'] as const)
      await this.kubernetes.done('PATCH', `${this.#roles(role)}/${this.namespace}`, {
        rules: this.#rules(rights, role),
      });
  }

  /** The API server takes a moment to know of roles. */
  async #allowed(rights: readonly Right[]): Promise<void> {
    const { kubernetes, namespace, user } = this;
    for (const { role, verb, apiGroup: group, resource, name } of rights) {
      const attributes = { verb, group, resource, name, namespace: role === 'Role' ? namespace : '' };
      const spec = { user, resourceAttributes: attributes };
      await eventually(async () => {
        const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
        return ((await kubernetes.done('POST', path, { spec })).status as { allowed: boolean }).allowed;
      }, `${user} may ${verb} ${resource}`);
    }
  }

  async start(): Promise<void> {
    const { kubernetes, namespace, lines } = this;
    const token = join(kubernetes.directory, `${namespace}-token`);
    writeFileSync(token, await kubernetes.token(namespace, ACCOUNT, kubernetes.audience));
    const local = '127.0.0.1:0';
    const listen = { 'identity-listen': local, 'destination-listen': local, 'injector-listen': local };
    const api = { 'api-token': token, 'api-ca': kubernetes.authority, 'injector-name': 'localhost' };
    const options = controllerOptions(
      { ...listen, ...api },
      {
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: String(kubernetes.port),
        SLUICE_POD_NAMESPACE: namespace,
        SLUICE_POD_NAME: POD,
      },
    );
    const logger = createLogger({ write: (line) => lines.push(line) });
    const metrics = new IssuingMetrics({ version: 'test' });
    const stages = assemble(options, { metrics, logger });
    const given = { admin: { host: '127.0.0.1', port: 0 }, stages, registry: metrics.registry };
    this.#running = runController(given, logger, this.#signals as unknown as NodeJS.Process).catch((error: Error) => {
      this.failure = error.message;
    });
  }

  async stop(): Promise<void> {
    this.#signals.emit('SIGTERM');
    await this.#running;
  }

  /** What it has said of this, in its log, on its page or as its last words. */
  async saysOf(text: string): Promise<boolean> {
    const page = await this.page('/ready').catch(() => '');
    return [...this.lines, page, this.failure].some((said) => said.replaceAll(/[\\"]/g, '').includes(text));
  }

  #port(message: string, key: 'port' | 'adminPort' = 'port'): number {
    const lines = this.lines.map((line) => JSON.parse(line) as Line);
    return lines.find((line) => line.message === message)?.[key] ?? 0;
  }

  async page(path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#port('controller started', 'adminPort')}${path}`)).text();
  }

  /** Whether this part of it says that nothing is wrong. */
  async well(part: string): Promise<boolean> {
    return !(await this.page('/ready')).split('\n').some((line) => line.includes(`${part}: `));
  }

  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return sumOf(await this.page('/metrics'), name, labels);
  }

  get injects(): boolean {
    return this.#port('injector started') !== 0;
  }

  /** The data of one of its objects, as the administrator reads it; null where it is not there. */
  async data(kind: 'secrets' | 'configmaps', name: string): Promise<Readonly<Record<string, string>> | null> {
    const { status, body } = await this.kubernetes.ask('GET', `/api/v1/namespaces/${this.namespace}/${kind}/${name}`);
    return status === 200 ? (body.data as Record<string, string>) : null;
  }

  /** Whether it answers a review of a pod in this namespace, as API servers ask for them. */
  async reviews(namespace: string): Promise<boolean> {
    const metadata = { name: `trial-${this.#times++}`, annotations: { 'linkerd.io/inject': 'enabled' } };
    const token = { name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' };
    const object = { metadata, spec: { containers: [{ name: 'app', image: 'app', volumeMounts: [token] }] } };
    const kind = { group: '', version: 'v1', kind: 'Pod' };
    const asked = { uid: '1', kind, operation: 'CREATE', namespace, object };
    const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: asked };
    const ca = (await this.data('configmaps', 'sluice-identity-trust-roots'))?.['ca-bundle.crt'];
    const port = this.#port('injector started');
    return new Promise((resolve) => {
      const headers = { 'content-type': 'application/json' };
      const agent = new Agent({ ca, keepAlive: false });
      request({ host: 'localhost', port, path: '/inject', method: 'POST', headers, agent }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode === 200));
      })
        .on('error', () => resolve(false))
        .end(JSON.stringify(review));
    });
  }

  /** Whether it certifies an account whose token Kubernetes has given out. */
  async certifies(): Promise<boolean> {
    const { kubernetes, namespace } = this;
    const anchors = (await this.data('configmaps', 'sluice-identity-trust-roots'))?.['ca-bundle.crt'] ?? '';
    const of = { namespace, mesh: namespace, trustDomain: 'cluster.local' };
    const name = accountName({ account: 'sluice-identity', ...of });
    const identity = accountName({ account: ACCOUNT, ...of });
    const calls = new Certifying(this.#port('identity service started'), { anchors, name });
    try {
      const token = await kubernetes.token(namespace, ACCOUNT, 'identity.l5d.io');
      const { leaf } = await calls.certify({ identity, token, request: (await signingRequest([identity])).der });
      return leaf.length > 0;
    } catch {
      return false;
    } finally {
      calls.close();
    }
  }

  /** Waits until it says this of itself. */
  until(condition: () => Promise<boolean>, what: string): Promise<void> {
    const asked = async (): Promise<boolean> => condition().catch(() => false);
    return eventually(asked, `${this.namespace}: ${what}`, WAIT_MS).catch(async (error: Error) => {
      const page = await this.page('/ready').catch(() => 'no page');
      throw new Error(`${error.message}\n${page}\n${this.failure}\n${this.lines.slice(-30).join('')}`);
    });
  }
}
