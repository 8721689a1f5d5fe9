// Resolves a configured endpoint to addresses. DNS first, because it provides a TTL; then the system's own lookup, which knows /etc/hosts
// and the search list of /etc/resolv.conf.
import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Address, EndpointSource } from '../config/model.js';

/** Refresh interval without a TTL (SRV, /etc/hosts), before the service's bounds apply, ms. */
export const DEFAULT_TTL_MS = 5000;

export interface Resolution {
  /** Sorted, without duplicates, not empty. */
  readonly addresses: readonly Address[];
  /** The lowest TTL of the records involved, ms; null if unknown. */
  readonly ttlMs: number | null;
  /** Families for which the query failed (a server failure, not an absent record): their addresses are unknown. */
  readonly unknownFamilies: readonly (4 | 6)[];
}

/** A DNS query. */
export type DnsName = Extract<EndpointSource, { kind: 'dns' | 'srv' }>;

/** Needed by the DNS source; throws an Error whose message says why a name has no addresses. */
export interface EndpointResolver {
  resolve(source: DnsName): Promise<Resolution>;
}

/** The parts of node:dns's Resolver in use. */
export type DnsClient = Pick<Resolver, 'resolve4' | 'resolve6' | 'resolveSrv'>;
export type SystemLookup = (name: string) => Promise<readonly string[]>;

interface HostResolution {
  readonly hosts: readonly string[];
  readonly ttlMs: number | null;
  readonly unknownFamilies: readonly (4 | 6)[];
}

/** DNS answers that mean there is no such record. */
const ABSENT = new Set(['ENODATA', 'ENOTFOUND']);

export class DnsEndpointResolver implements EndpointResolver {
  readonly #makeClient: () => DnsClient;
  readonly #lookup: SystemLookup;

  /**
   * Creates a client for each name: Node aborts pending queries (EDESTRUCTION) when it restarts one, as it does after a failed query. A new
   * client also notices a changed /etc/resolv.conf.
   */
  constructor(
    makeClient: () => DnsClient = () => new Resolver({ timeout: 2000, tries: 2 }),
    systemLookup: SystemLookup = lookupAll,
  ) {
    this.#makeClient = makeClient;
    this.#lookup = systemLookup;
  }

  async resolve(source: DnsName): Promise<Resolution> {
    if (source.kind === 'srv') return this.#service(source.name);
    const { hosts, ttlMs, unknownFamilies } = await this.#host(source.name);
    return { addresses: unique(hosts.map((host) => ({ host, port: source.port }))), ttlMs, unknownFamilies };
  }

  // RFC 2782: the targets with the lowest priority value; the others are a fallback. Weights are not used: the balancer measures.
  async #service(name: string): Promise<Resolution> {
    const records = await this.#makeClient().resolveSrv(name);
    const offered = records.filter((record) => record.name !== '' && record.name !== '.');
    if (offered.length === 0) throw new Error(`the SRV record says that ${name} is not offered here`);
    const priority = Math.min(...offered.map((record) => record.priority));
    const group = offered.filter((record) => record.priority === priority);
    const targets = await Promise.allSettled(group.map((record) => this.#host(record.name)));

    const addresses: Address[] = [];
    const ttls: number[] = [];
    const unknownFamilies = new Set<4 | 6>();
    targets.forEach((target, i) => {
      if (target.status === 'rejected') {
        if (!isAbsent(target.reason)) unknownFamilies.add(4).add(6);
        return;
      }
      for (const host of target.value.hosts) addresses.push({ host, port: group[i].port });
      if (target.value.ttlMs !== null) ttls.push(target.value.ttlMs);
      for (const family of target.value.unknownFamilies) unknownFamilies.add(family);
    });
    if (addresses.length === 0) {
      const names = group.map((record) => record.name).join(', ');
      throw new Error(`none of the targets has an address: ${names}`);
    }
    return {
      addresses: unique(addresses),
      // Node 20 and 22 do not report the TTL of the SRV record itself.
      ttlMs: Math.min(DEFAULT_TTL_MS, ...ttls),
      unknownFamilies: [...unknownFamilies],
    };
  }

  async #host(name: string): Promise<HostResolution> {
    const host = name.endsWith('.') ? name.slice(0, -1) : name;
    if (isIP(host) !== 0) return { hosts: [host], ttlMs: null, unknownFamilies: [] };
    // RFC 6761 section 6.3: names under localhost must not be queried in DNS.
    if (isLocalhost(host)) return { hosts: oneLoopback(await this.#lookup(host)), ttlMs: null, unknownFamilies: [] };

    const client = this.#makeClient();
    const [v4, v6] = await Promise.allSettled([
      client.resolve4(host, { ttl: true }),
      client.resolve6(host, { ttl: true }),
    ]);
    const records = [...(v4.status === 'fulfilled' ? v4.value : []), ...(v6.status === 'fulfilled' ? v6.value : [])];
    if (records.length === 0) return this.#fromSystem(host, v4.status === 'rejected' ? v4.reason : null);
    const unknownFamilies: (4 | 6)[] = [];
    if (v4.status === 'rejected' && !isAbsent(v4.reason)) unknownFamilies.push(4);
    if (v6.status === 'rejected' && !isAbsent(v6.reason)) unknownFamilies.push(6);
    return {
      hosts: records.map((record) => record.address),
      ttlMs: Math.min(...records.map((record) => record.ttl)) * 1000,
      unknownFamilies,
    };
  }

  async #fromSystem(host: string, dnsError: unknown): Promise<HostResolution> {
    try {
      return { hosts: oneLoopback(await this.#lookup(host)), ttlMs: null, unknownFamilies: [] };
    } catch (error) {
      // A server failure is more informative than the error of the lookup that followed.
      throw dnsError === null || isAbsent(dnsError) ? error : dnsError;
    }
  }
}

/** Sorted by host, then port, without duplicates. */
export function unique(addresses: readonly Address[]): Address[] {
  const byText = new Map(addresses.map((address) => [`${address.host} ${address.port}`, address]));
  return [...byText.values()].sort((a, b) => compareText(a.host, b.host) || a.port - b.port);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const isLocalhost = (host: string): boolean => /(^|\.)localhost$/i.test(host);

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ABSENT.has(String(error.code));

/** /etc/hosts gives one machine two loopback addresses; an application bound to one of them is one endpoint, not two. */
function oneLoopback(hosts: readonly string[]): readonly string[] {
  return hosts.some((host) => host.startsWith('127.')) ? hosts.filter((host) => host !== '::1') : hosts;
}

/** Each occupies one of the four threads that Node also uses for files and compression, possibly for long. */
const LOOKUPS_AT_ONCE = 2;
let lookups = 0;
const waiting: (() => void)[] = [];

async function lookupAll(name: string): Promise<readonly string[]> {
  // Whoever finishes passes the place on.
  if (lookups >= LOOKUPS_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else lookups++;
  try {
    const found = await lookup(name, { all: true, verbatim: true });
    return found.map((entry) => entry.address);
  } finally {
    const next = waiting.shift();
    if (next === undefined) lookups--;
    else next();
  }
}
