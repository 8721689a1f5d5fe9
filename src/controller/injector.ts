// The injector as a component of the controller: the webhook with a certificate from the mesh's issuer, the caBundle for API servers, and events
// for problems of pods.
import type { Registry } from 'prom-client';
import type { Address } from '../config/model.js';
import { type Outcome, review } from '../inject/admission.js';
import type { Installation } from '../inject/installation.js';
import { problemText } from '../inject/problem.js';
import { isNamespaceName } from '../kubernetes/names.js';
import type { Logger } from '../log/logger.js';
import { CaBundle } from './ca-bundle.js';
import type { Component } from './component.js';
import { type EventObject, Events } from './events.js';
import { InjectorMetrics } from './injector-metrics.js';
import { type MeshIssuer, RenewingCertificate } from './mesh-issuer.js';
import type { Objects } from './objects.js';
import { ReviewProblem, WEBHOOK_LIMITS, Webhook, type WebhookLimits } from './webhook.js';

export interface InjectorOptions {
  readonly listen: Address;
  /** The installation for injected proxies; the anchors are the issuer's. */
  readonly installation: Omit<Installation, 'trustAnchors'>;
  /** Names in addition to the Service's, by which API servers outside the cluster call. */
  readonly names: readonly string[];
  /** Of the certificate. */
  readonly lifetimeMs: number;
  readonly skewMs: number;
  /** Interval for checking the webhook's configuration. */
  readonly pollMs: number;
  readonly limits?: WebhookLimits;
}

export interface InjectorDeps {
  readonly objects: Objects;
  readonly issuer: MeshIssuer;
  /** Last known annotations of a namespace; null: not seen yet. */
  readonly namespaceAnnotations: (namespace: string) => Readonly<Record<string, string>> | null;
  readonly registry: Registry;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly now: () => number;
}

/** Reasons that are intended. */
const WANTED: ReadonlySet<Outcome['reason']> = new Set([
  'disabled',
  'not-asked',
  'injected',
  'not-reviewed',
  'unchanged',
  'mirror',
]);

export class Injector implements Component {
  readonly name = 'injector';
  readonly #certificate: RenewingCertificate;
  readonly #metrics: InjectorMetrics;
  readonly #events: Events;
  readonly #bundle: CaBundle;
  #webhook: Webhook | null = null;

  constructor(
    private readonly options: InjectorOptions,
    private readonly deps: InjectorDeps,
  ) {
    const { issuer, objects, registry, logger, now } = deps;
    const { namespace, clusterDomain } = options.installation;
    const service = `sluice-injector.${namespace}.svc`;
    const names = [service, `${service}.${clusterDomain}`, ...options.names];
    this.#certificate = new RenewingCertificate('the webhook', names, { issuer, logger, now }, options);
    this.#metrics = new InjectorMetrics(registry);
    this.#events = new Events('sluice-injector', { objects, now, done: (result) => this.#metrics.event(result) });
    this.#bundle = new CaBundle({
      objects,
      logger,
      anchors: () => issuer.anchors,
      done: (result) => this.#metrics.bundle(result),
    });
  }

  get port(): number {
    return this.#webhook?.port ?? 0;
  }

  /** The issuer must exist. */
  async start(): Promise<void> {
    const { logger } = this.deps;
    const deps = {
      review: (asked: unknown) => this.#review(asked),
      refused: (reason: Parameters<InjectorMetrics['refused']>[0]) => this.#metrics.refused(reason),
      failed: (error: unknown) => logger.error('a review failed', { error }),
    };
    let webhook: Webhook | null = null;
    // First trusted, then used.
    const trusted = (): Promise<void> => this.#bundle.look();
    const first = await this.#certificate.begin((serving) => webhook?.use(serving), trusted);
    const made = new Webhook(first, deps, this.options.limits ?? WEBHOOK_LIMITS);
    webhook = made;
    await made.listen(this.options.listen);
    this.#webhook = made;
    this.#metrics.watch(() => made.connections);
    // The caBundle is written once somebody is there to be called.
    this.#bundle.start(this.options.pollMs);
    logger.info('injector started', { port: made.port });
  }

  close(): Promise<boolean> {
    this.#certificate.end();
    this.#bundle.stop();
    return this.#webhook?.close() ?? Promise.resolve(true);
  }

  unready(): string | null {
    if (this.#webhook === null) return 'the injector has not started yet';
    return this.#bundle.settled ? null : (this.#bundle.problem ?? "the webhook's caBundle has not been looked at yet");
  }

  get problem(): string | null {
    return this.#bundle.problem;
  }

  async #review(asked: unknown): Promise<object> {
    const began = performance.now();
    const namespace = namespaceOf(asked);
    const annotations = namespace === '' ? {} : await this.#annotations(namespace);
    const mesh = { ...this.options.installation, trustAnchors: this.deps.issuer.anchors };
    const { answer, outcome } = review(asked, { mesh, namespaceAnnotations: () => annotations });
    if (outcome === null) throw new ReviewProblem(String(answer.message));
    this.#metrics.reviewed(outcome, performance.now() - began);
    if (!outcome.dryRun) this.#tell(outcome);
    return answer;
  }

  /** A namespace too new to have been seen is requested. */
  async #annotations(namespace: string): Promise<Readonly<Record<string, string>>> {
    const seen = this.deps.namespaceAnnotations(namespace);
    if (seen !== null) return seen;
    const found = await this.deps.objects.get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`);
    return found?.metadata.annotations ?? {};
  }

  #tell(outcome: Outcome): void {
    const object = objectOf(outcome);
    if (object === null) return;
    for (const problem of outcome.problems) {
      if (problem.severity !== 'warning') continue;
      const message = problemText(problem);
      this.#events.tell({ object, type: 'Warning', reason: 'SluiceAnnotationIgnored', message });
    }
    if (outcome.kind !== 'Pod') return;
    if (outcome.result === 'injected')
      this.#events.tell({ object, type: 'Normal', reason: 'SluiceInjected', message: 'its pods get a proxy' });
    else if (!WANTED.has(outcome.reason))
      this.#events.tell({ object, type: 'Warning', reason: 'SluiceNotInjected', message: outcome.message });
  }
}

/** The namespace of a reviewed object; empty if not given. Throws a ReviewProblem if invalid. */
function namespaceOf(asked: unknown): string {
  const { request } = (asked ?? {}) as { request?: { namespace?: unknown } | null };
  const namespace = request?.namespace;
  if (namespace === undefined || namespace === null || namespace === '') return '';
  // Anybody who reaches the port can ask, and we pass the name on to API servers.
  if (typeof namespace === 'string' && isNamespaceName(namespace)) return namespace;
  throw new ReviewProblem('request.namespace is not the name of a namespace');
}

function objectOf({ kind, namespace, name, owner }: Outcome): EventObject | null {
  if (owner !== null) return { ...owner, namespace };
  if (name === '' || kind === 'other') return null;
  return { apiVersion: 'v1', kind, namespace, name, uid: '' };
}
