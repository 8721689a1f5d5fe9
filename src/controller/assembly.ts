// Assembles the controller: its view of the cluster, the issuer, and the services that need both.
import type { Address } from '../config/model.js';
import type { DestinationLimits } from '../destination/server/server.js';
import type { IssuingMetrics } from '../identity/issuing/metrics.js';
import type { TokenReviewOptions } from '../identity/issuing/token-review.js';
import { accountName } from '../identity/names.js';
import type { CsiIssuer } from '../inject/csi.js';
import { installation, opaqueAnnotation } from '../inject/installation.js';
import { type ApiAccess, type PodFiles, podAccess } from '../kubernetes/access.js';
import type { Logger } from '../log/logger.js';
import { sluiceVersion } from '../log/process-state.js';
import type { PortSpan } from '../redirect/port-list.js';
import { ClusterFile } from './cluster-file.js';
import type { Component } from './component.js';
import { DestinationComponent, type DestinationComponentDeps } from './destination-component.js';
import { DestinationMetrics } from './destination-metrics.js';
import { FileIssuer, type FileIssuerFiles } from './file-issuer.js';
import { IdentityComponent } from './identity-component.js';
import { Injector } from './injector.js';
import { ISSUER_LIFETIMES } from './issuer-renewal.js';
import { IssuerSecret } from './issuer-secret.js';
import type { MeshIssuer } from './mesh-issuer.js';
import { MeshRules } from './mesh-rules.js';
import type { Objects } from './objects.js';
import { ownImage } from './own-image.js';
import { RulesMetrics } from './rules-metrics.js';
import { WatchedCluster } from './watched-cluster.js';

export interface ListenAddresses {
  readonly identity: Address;
  readonly destination: Address;
  readonly injector: Address;
}

export interface AssemblyOptions {
  readonly namespace: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  readonly listen: ListenAddresses;
  /** If neither an object nor its namespace says. */
  readonly opaquePorts: readonly PortSpan[];
  /** A file that describes the cluster, for experiments; or the location of the API server. */
  readonly cluster: { readonly file: string } | { readonly env: NodeJS.ProcessEnv; readonly files: PodFiles };
  /** `own`: created in a Secret if missing; `given`: somebody else provides the Secret. */
  readonly issuer: 'own' | 'given' | FileIssuerFiles;
  readonly tokens: { readonly file: string } | { readonly review: TokenReviewOptions };
  /** Name by which API servers outside the cluster call the webhook; null: there are none. */
  readonly injectorName: string | null;
  /** The destination service uses plain text. */
  readonly plain: boolean;
  /** Empty: the image of the controller's own pod. */
  readonly proxyImage: string;
  /** Issuer of proxies' certificates through cert-manager's csi-driver; null: the identity service issues them. */
  readonly csiIssuer: CsiIssuer | null;
  /** Our own pod; empty if we are not in one. */
  readonly pod: string;
  readonly lifetimeMs: number;
  readonly skewMs: number;
  readonly maxConcurrent: number;
  readonly maxRate: number;
  readonly limits: Partial<DestinationLimits>;
}

export interface AssemblyDeps {
  readonly metrics: IssuingMetrics;
  readonly logger: Logger;
}

const POLL_MS = 2000;
/** Accounts that proxies expect: ours, or Linkerd's by default. */
const MAKERS = ['sluice', 'linkerd'];

type Issuing = MeshIssuer & Component;

/** Components in stages: those of the second need those of the first. Throws on contradictory options. */
export function assemble(options: AssemblyOptions, deps: AssemblyDeps): readonly (readonly Component[])[] {
  const { cluster } = options;
  if ('file' in cluster) {
    const described = new ClusterFile(cluster.file, deps.logger);
    const issuer = issuerOf(options, deps, null);
    return [[described, issuer], services(options, deps, { lookup: described, rules: null, issuer })];
  }
  const followed = follow(options, podAccess(cluster.env, cluster.files), deps);
  const issuer = issuerOf(options, deps, followed.objects);
  const rules = rulesOf(options, deps, followed.objects);
  const served = services(options, deps, { lookup: followed.view, rules, issuer });
  if (!(issuer instanceof IssuerSecret)) return [[followed, issuer, rules], served];
  return [
    [followed, issuer, rules],
    [...served, new LazyInjector(options, deps, followed, issuer)],
  ];
}

function follow(options: AssemblyOptions, access: ApiAccess, { metrics, logger }: AssemblyDeps): WatchedCluster {
  const { namespace, trustDomain, clusterDomain } = options;
  const mesh = { namespace, trustDomain, clusterDomain, opaque: options.opaquePorts };
  return new WatchedCluster({ access, mesh }, { registry: metrics.registry, logger });
}

function issuerOf(options: AssemblyOptions, { metrics, logger }: AssemblyDeps, objects: Objects | null): Issuing {
  const { issuer, namespace } = options;
  const common = { logger, now: Date.now, loaded: (result: 'ok' | 'refused') => metrics.loaded(result) };
  if (typeof issuer === 'object') return new FileIssuer(issuer, common);
  if (objects === null) throw new Error('an issuer in a Secret needs Kubernetes; name files');
  const given = { namespace, own: issuer === 'own', lifetimes: ISSUER_LIFETIMES, pollMs: POLL_MS };
  return new IssuerSecret(given, { ...common, objects });
}

function rulesOf({ namespace }: AssemblyOptions, { metrics, logger }: AssemblyDeps, objects: Objects): MeshRules {
  const counts = new RulesMetrics(metrics.registry);
  return new MeshRules({
    objects,
    logger,
    namespace,
    pollMs: POLL_MS,
    looked: (ok, wrong) => counts.looked(ok, wrong),
  });
}

function services(
  options: AssemblyOptions,
  { metrics, logger }: AssemblyDeps,
  { lookup, rules, issuer }: Pick<DestinationComponentDeps, 'lookup' | 'rules' | 'issuer'>,
): readonly Component[] {
  const { namespace, trustDomain, clusterDomain, listen, plain, limits } = options;
  const names = (service: string): string[] =>
    MAKERS.map((maker) => accountName({ account: `${maker}-${service}`, namespace, mesh: namespace, trustDomain }));
  const { tokens, lifetimeMs, skewMs, maxConcurrent, maxRate } = options;
  const span = { lifetimeMs, skewMs };
  const identity = { ...span, tokens, maxConcurrent, maxRate, trustDomain, mesh: namespace };
  return [
    new IdentityComponent(
      { ...identity, listen: listen.identity, names: names('identity'), limits: {} },
      { issuer, metrics, logger },
    ),
    new DestinationComponent(
      { ...span, listen: listen.destination, names: plain ? null : names('destination'), clusterDomain, limits },
      { lookup, rules, issuer, metrics: new DestinationMetrics(metrics.registry), logger },
    ),
  ];
}

/** The injector, started once the image for proxies is known. */
class LazyInjector implements Component {
  readonly name = 'injector';
  #injector: Injector | null = null;

  constructor(
    private readonly options: AssemblyOptions,
    private readonly deps: AssemblyDeps,
    private readonly cluster: WatchedCluster,
    private readonly issuer: IssuerSecret,
  ) {}

  async start(): Promise<void> {
    const { namespace, pod, proxyImage, trustDomain, clusterDomain, listen, injectorName } = this.options;
    const { lifetimeMs, skewMs } = this.options;
    const names = injectorName === null ? [] : [injectorName];
    const image = proxyImage === '' ? await ownImage(this.cluster.objects, namespace, pod) : { image: proxyImage };
    const annotations = opaqueAnnotation(this.options.opaquePorts);
    const { csiIssuer } = this.options;
    const changes = { ...image, csiIssuer, namespace, trustDomain, clusterDomain, annotations };
    const given = { listen: listen.injector, names, lifetimeMs, skewMs, pollMs: POLL_MS };
    const { metrics, logger } = this.deps;
    this.#injector = new Injector(
      { ...given, installation: installation(sluiceVersion(), changes) },
      {
        objects: this.cluster.objects,
        issuer: this.issuer,
        namespaceAnnotations: (name) => this.cluster.view.namespaces.byKey.get(name)?.annotations ?? null,
        registry: metrics.registry,
        logger,
        now: Date.now,
      },
    );
    await this.#injector.start();
  }

  async close(): Promise<boolean> {
    return (await this.#injector?.close()) ?? true;
  }

  unready(): string | null {
    return this.#injector === null ? 'the injector has not started yet' : this.#injector.unready();
  }

  get problem(): string | null {
    return this.#injector?.problem ?? null;
  }
}
