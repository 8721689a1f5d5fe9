// The destination service as a part of the controller.
import type { Address } from '../config/model.js';
import type { DestinationLookup } from '../destination/lookup.js';
import type { Rules } from '../destination/server/rules.js';
import { DESTINATION_LIMITS, type DestinationLimits, DestinationServer } from '../destination/server/server.js';
import type { CertificateSpan, ServingCertificate } from '../identity/issuing/own-certificate.js';
import type { MutualTls } from '../listening/http2-listener.js';
import type { Logger } from '../log/logger.js';
import type { DestinationMetrics } from './destination-metrics.js';
import { KeptCertificate, type MeshIssuer } from './mesh-issuer.js';
import type { Part } from './part.js';

export interface DestinationPartOptions extends CertificateSpan {
  readonly listen: Address;
  /** Names in its certificate; null: plain text, for experiments. */
  readonly names: readonly string[] | null;
  readonly clusterDomain: string;
  readonly limits: Partial<DestinationLimits>;
}

export interface DestinationPartDeps {
  readonly lookup: DestinationLookup;
  /** The mesh's authorization rules; null: none are served. */
  readonly rules: Rules | null;
  readonly issuer: MeshIssuer;
  readonly metrics: DestinationMetrics;
  readonly logger: Pick<Logger, 'info' | 'error'>;
}

export class DestinationPart implements Part {
  readonly name = 'destination';
  readonly problem = null;
  readonly #certificate: KeptCertificate | null;
  #server: DestinationServer | null = null;

  constructor(
    private readonly options: DestinationPartOptions,
    private readonly deps: DestinationPartDeps,
  ) {
    const { names } = options;
    this.#certificate =
      names === null
        ? null
        : new KeptCertificate('the destination service', names, { ...deps, now: Date.now }, options);
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** The issuer must exist. */
  async start(): Promise<void> {
    const { clusterDomain, limits } = this.options;
    const { lookup, rules, metrics, logger } = this.deps;
    let server: DestinationServer | null = null;
    const mutual = (serving: ServingCertificate): MutualTls => ({ ...serving, ca: this.deps.issuer.anchors });
    const first = await this.#certificate?.begin((serving) => server?.use(mutual(serving)));
    const tls = first === undefined ? null : mutual(first);
    const all = { ...DESTINATION_LIMITS, ...limits };
    server = new DestinationServer(lookup, { tls, clusterDomain, rules, limits: all }, metrics);
    await server.listen(this.options.listen);
    this.#server = server;
    metrics.watch(server);
    logger.info('destination service started', { port: server.port, tls: this.options.names ?? 'off' });
  }

  async close(): Promise<boolean> {
    this.#certificate?.end();
    return (await this.#server?.close()) ?? true;
  }

  unready(): string | null {
    return this.#server === null ? 'the destination service has not started yet' : null;
  }
}
