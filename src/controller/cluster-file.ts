// A cluster described in a file, for running the controller without Kubernetes: lists of endpoints named after Services' ports.
import { readFileSync } from 'node:fs';
import { addressBits, formatBits } from '../config/addresses.js';
import type { Address, ServiceProtocol } from '../config/model.js';
import { ConfigError } from '../config/problem.js';
import type { DestinationLookup, EndpointsUpdate, ProfileUpdate, Requester } from '../destination/lookup.js';
import type { Endpoint } from '../discovery/endpoint.js';
import { parseEndpointFile } from '../discovery/endpoint-file.js';
import { fileSignature } from '../discovery/read-file.js';
import type { Watch } from '../discovery/source.js';
import { addressText } from '../discovery/text.js';
import type { Logger } from '../log/logger.js';
import type { Component } from './component.js';

interface Described {
  readonly services: ReadonlyMap<string, readonly Endpoint[]>;
  readonly profiles: ReadonlyMap<string, ProfileUpdate>;
}

const POLL_MS = 200;
const PROTOCOLS: readonly ServiceProtocol[] = ['http1', 'http2', 'opaque'];

/** Throws a ConfigError. A name is `web.shop.svc.cluster.local:80`, followed by the Service's addresses and optionally its protocol. */
export function parseClusterFile(file: string, text: string): Described {
  const fail = (path: string, message: string): never => {
    throw new ConfigError([{ file, line: 0, column: 0, path, message }]);
  };
  const services = new Map<string, readonly Endpoint[]>();
  const profiles = new Map<string, ProfileUpdate>();
  for (const [name, endpoints] of parseEndpointFile(file, text).byName) {
    const [authority, ...rest] = name.split(/\s+/);
    const port = /^[a-z0-9.-]+\.svc\.[a-z0-9.-]+:(\d{1,5})$/.exec(authority)?.[1];
    if (port === undefined) return fail(name, 'does not begin with NAME.NAMESPACE.svc.DOMAIN:PORT');
    services.set(authority, endpoints);
    const protocol = PROTOCOLS.find((known) => rest.includes(known)) ?? 'auto';
    const profile = { authority, opaque: protocol === 'opaque', protocol, endpoint: null } as const;
    for (const host of rest) {
      const bits = addressBits(host);
      if (bits !== null)
        profiles.set(addressText({ host: formatBits(bits), port: Number(port) }), { kind: 'profile', profile });
      else if (!PROTOCOLS.some((known) => known === host)) fail(name, `${host} is neither an address nor a protocol`);
    }
    for (const endpoint of endpoints) {
      const key = addressText(endpoint.address);
      const own = { authority: '', opaque: protocol === 'opaque', protocol, endpoint } as const;
      if (!profiles.has(key)) profiles.set(key, { kind: 'profile', profile: own });
    }
  }
  return { services, profiles };
}

export class ClusterFile implements DestinationLookup, Component {
  readonly name = 'cluster';
  problem: string | null = null;
  #described: Described | null = null;
  #signature = '';
  #timer: NodeJS.Timeout | null = null;
  readonly #looks = new Set<() => void>();

  constructor(
    private readonly path: string,
    private readonly logger: Pick<Logger, 'info' | 'error'>,
  ) {}

  /** Rejects if the file is unusable; later errors leave the previous state in use. */
  async start(): Promise<void> {
    this.#signature = fileSignature(this.path);
    this.#described = parseClusterFile(this.path, readFileSync(this.path, 'utf8'));
    this.#tell();
    this.#timer = setInterval(() => this.#look(), POLL_MS);
  }

  async close(): Promise<boolean> {
    if (this.#timer !== null) clearInterval(this.#timer);
    return true;
  }

  unready(): string | null {
    return this.#described === null ? 'the cluster has not been read yet' : null;
  }

  watchProfile({ host, port }: Address, _asker: Requester, report: (update: ProfileUpdate) => void): Watch {
    const key = addressText({ host, port });
    return this.#watch(({ profiles }) => report(profiles.get(key) ?? { kind: 'unknown' }));
  }

  watchEndpoints(authority: string, _asker: Requester, report: (update: EndpointsUpdate) => void): Watch {
    return this.#watch(({ services }) => {
      const endpoints = services.get(authority);
      report(endpoints === undefined ? { kind: 'unknown' } : { kind: 'endpoints', endpoints });
    });
  }

  #watch(tell: (described: Described) => void): Watch {
    const look = (): void => {
      if (this.#described !== null) tell(this.#described);
    };
    this.#looks.add(look);
    look();
    return { stop: () => this.#looks.delete(look) };
  }

  #look(): void {
    const signature = fileSignature(this.path);
    if (signature === this.#signature) return;
    this.#signature = signature;
    try {
      this.#described = parseClusterFile(this.path, readFileSync(this.path, 'utf8'));
      this.problem = null;
      this.logger.info('cluster read again', { file: this.path });
      this.#tell();
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
      this.logger.error('cluster refused; the previous one stays in use', { problem: this.problem });
    }
  }

  #tell(): void {
    for (const look of [...this.#looks]) if (this.#looks.has(look)) look();
  }
}
