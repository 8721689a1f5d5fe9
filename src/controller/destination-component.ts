// The destination service as a component of the controller.
import type { Address } from '../config/model.js';
import type { DestinationLookup } from '../destination/lookup.js';
import type { Rules } from '../destination/server/rules.js';
import { DESTINATION_LIMITS, type DestinationLimits, DestinationServer } from '../destination/server/server.js';
import type { CertificateSpan, ServingCertificate } from '../identity/issuing/own-certificate.js';
import type { MutualTls } from '../listening/http2-listener.js';
import type { Logger } from '../log/logger.js';
import type { Component } from './component.js';
import type { DestinationMetrics } from './destination-metrics.js';
import { type MeshIssuer, RenewingCertificate } from './mesh-issuer.js';

export interface DestinationComponentOptions extends CertificateSpan {
  readonly listen: Address;
  /** Names in its certificate; null: plain text, for experiments. */
  readonly names: readonly string[] | null;
  readonly clusterDomain: string;
  readonly limits: Partial<DestinationLimits>;
}

export interface DestinationComponentDeps {
  readonly lookup: DestinationLookup;
  /** The mesh's authorization rules; null: none are served. */
  readonly rules: Rules | null;
  readonly issuer: MeshIssuer;
  readonly metrics: DestinationMetrics;
  readonly logger: Pick<Logger, 'info' | 'error'>;
}

export class DestinationComponent implements Component {
  readonly name = 'destination';
  readonly problem = null;
  readonly #certificate: RenewingCertificate | null;
  #server: DestinationServer | null = null;

  constructor(
    private readonly options: DestinationComponentOptions,
    private readonly deps: DestinationComponentDeps,
  ) {
    const { names } = options;
    this.#certificate =
      names === null
        ? null
        : new RenewingCertificate('the destination service', names, { ...deps, now: Date.now }, options);
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
