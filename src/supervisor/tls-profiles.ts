// TLS profiles for workers, from the configuration, its files, and this proxy's own identity. An unchanged profile keeps its slot and
// generation; one whose files change gets a new generation, for new connections.
import type { Config, ListenerConfig, ServiceConfig } from '../config/model.js';
import type { ListenerTlsConfig, ServiceTlsConfig } from '../config/tls-model.js';
import type { CheckedAnchors, CheckedCertificate } from '../identity/credentials.js';
import type { IdentityMaterial } from '../identity/material.js';
import { CredentialProblem } from '../identity/problem.js';
import type { WatchedCredential } from '../identity/watched-credential.js';
import type { UsedCertificate } from '../metrics/certificate-counts.js';
import { decide } from '../policy/policy.js';
import { ALPN_NAMES } from '../tls/alpn.js';
import type { TlsCertificate, TlsProfile } from '../tls/profile.js';
import { Certificates, type CertificatesDeps } from './certificates.js';

type Anchors = WatchedCredential<CheckedAnchors>;
type Certificate = WatchedCredential<CheckedCertificate>;

interface ListenerUse {
  readonly name: string;
  readonly tls: ListenerTlsConfig;
  readonly alpn: readonly string[];
  readonly certificates: readonly Certificate[];
  readonly clientAuthority: Anchors | null;
}

interface ServiceUse {
  readonly name: string;
  readonly tls: ServiceTlsConfig;
  readonly alpn: readonly string[];
  readonly certificate: Certificate | null;
  readonly ca: Anchors;
}

/** A configuration's TLS, read and checked, but not in use yet. */
export interface PreparedTls {
  readonly listeners: ReadonlyMap<string, ListenerUse>;
  readonly services: ReadonlyMap<string, ServiceUse>;
}

type Content = Omit<TlsProfile, 'slot' | 'generation'>;

const { HTTP1, HTTP2, TRANSPORT } = ALPN_NAMES;
/** For the mesh: besides the opaque transport, each connection chooses what it offers. */
const MESH_ALPN: readonly string[] = [TRANSPORT, HTTP2, HTTP1];

const MESH_CLIENT = 'mesh client';
const MESH_SERVER = 'mesh server';

export class TlsProfiles {
  readonly #deps: CertificatesDeps;
  readonly #certificates: Certificates;
  #used: PreparedTls = { listeners: new Map(), services: new Map() };
  #identity: IdentityMaterial | null = null;
  /** By content: listeners and services with equal settings share a profile. */
  #profiles = new Map<string, { readonly profile: TlsProfile; readonly text: string }>();
  #generation = 0;
  #committing = false;

  /** `deps.changed` is called when workers must be told. */
  constructor(deps: CertificatesDeps) {
    this.#deps = deps;
    this.#certificates = new Certificates({ ...deps, changed: () => this.#changed() });
  }

  /** Reads what a configuration names. Throws, naming every file that can't be used and never could; nothing has changed then. */
  prepare(config: Config): PreparedTls {
    const problems: Error[] = [];
    const attempt = <T>(who: string, use: () => T): T | null => {
      try {
        return use();
      } catch (error) {
        if (!(error instanceof CredentialProblem)) throw error;
        problems.push(new Error(`${who}: ${error.message}`));
        return null;
      }
    };
    const listeners = new Map<string, ListenerUse>();
    const services = new Map<string, ServiceUse>();
    for (const listener of config.listeners) {
      const { name, tls } = listener;
      if (tls === null) continue;
      const who = `listener ${name}`;
      const certificates = tls.certificates.map((files) =>
        attempt(who, () => this.#certificates.certificate(files, 'server')),
      );
      const { clientAuthority: file } = tls;
      const clientAuthority = file === null ? null : attempt(who, () => this.#certificates.anchors(file));
      const alpn = tls.alpn ?? listenerAlpn(config, listener);
      listeners.set(name, {
        name,
        tls,
        alpn,
        certificates: certificates.filter((one) => one !== null),
        clientAuthority,
      });
    }
    for (const service of config.services) {
      const { name, tls } = service;
      if (tls === null) continue;
      const who = `service ${name}`;
      const { certificate: files } = tls;
      const certificate = files === null ? null : attempt(who, () => this.#certificates.certificate(files, 'client'));
      const ca = attempt(who, () => this.#certificates.anchors(tls.ca));
      if (ca !== null) services.set(name, { name, tls, alpn: tls.alpn ?? serviceAlpn(service), certificate, ca });
    }
    if (problems.length === 0) return { listeners, services };
    this.#keep(this.#used);
    throw new AggregateError(problems, problems.map(({ message }) => message).join('; '));
  }

  /** Applies what `prepare` has made. Files that were watched before are checked. */
  commit(prepared: PreparedTls): void {
    this.#used = prepared;
    this.#keep(prepared);
    // The caller of `commit` tells the workers, together with everything else that is new.
    this.#committing = true;
    this.#certificates.poll();
    this.#committing = false;
    this.#compile();
  }

  /** Discards what `prepare` has made. */
  discard(): void {
    this.#keep(this.#used);
  }

  /** This proxy's identity; null: none (any more). */
  setIdentity(identity: IdentityMaterial | null): void {
    this.#identity = identity;
    this.#changed();
  }

  get profiles(): readonly TlsProfile[] {
    return [...this.#profiles.values()].map(({ profile }) => profile);
  }

  /** Slots of profiles; 0 for plain text. */
  listener(name: string): number {
    const use = this.#used.listeners.get(name);
    return use === undefined ? 0 : this.#slot(listenerKey(use));
  }

  service(name: string): number {
    const use = this.#used.services.get(name);
    return use === undefined ? 0 : this.#slot(serviceKey(use));
  }

  get meshClient(): number {
    return this.#slot(MESH_CLIENT);
  }

  get meshServer(): number {
    return this.#slot(MESH_SERVER);
  }

  /** Listeners whose certificates have all expired, so that nobody can connect. */
  unready(): string[] {
    return [...this.#used.listeners.values()]
      .filter(({ certificates }) => certificates.every(({ expired }) => expired))
      .map(({ name, certificates }) => {
        const [{ value, paths, problem }] = certificates;
        const next = problem === '' ? '' : `; ${problem}`;
        return `listener ${name} has no valid certificate: ${paths[0]} expired on ${isoDate(value.notAfterMs)}${next}`;
      });
  }

  /** Unusable files whose previous content stays in use. */
  notes(): string[] {
    return [...new Set(credentialsOf(this.#used))]
      .filter(({ problem }) => problem !== '')
      .map(({ problem, value }) => `${problem}; the previous one stays in use until ${isoDate(value.notAfterMs)}`);
  }

  close(): void {
    this.#certificates.close();
  }

  #slot(key: string): number {
    return this.#profiles.get(key)?.profile.slot ?? 0;
  }

  #keep(prepared: PreparedTls): void {
    const used = [...credentialsOf(prepared)];
    if (prepared !== this.#used) used.push(...credentialsOf(this.#used));
    this.#certificates.keep(new Set(used));
  }

  #changed(): void {
    if (this.#committing) return;
    this.#compile();
    this.#deps.changed();
  }

  #compile(): void {
    const contents = new Map<string, Content>();
    for (const use of this.#used.listeners.values()) contents.set(listenerKey(use), listenerProfile(use));
    for (const use of this.#used.services.values()) contents.set(serviceKey(use), serviceProfile(use));
    if (this.#identity !== null) {
      contents.set(MESH_CLIENT, meshProfile(this.#identity, 'client'));
      contents.set(MESH_SERVER, meshProfile(this.#identity, 'server'));
    }
    const before = this.#profiles;
    // A slot that becomes free is not reused at once: a dial with another profile must be recognisable by its slot.
    const taken = new Set([...before.values()].map(({ profile }) => profile.slot));
    let free = 1;
    const after: typeof before = new Map();
    for (const [key, content] of contents) {
      const text = JSON.stringify(content);
      const old = before.get(key);
      while (old === undefined && taken.has(free)) free++;
      const slot = old?.profile.slot ?? free++;
      const same = old !== undefined && old.text === text;
      after.set(key, same ? old : { profile: { slot, generation: ++this.#generation, ...content }, text });
    }
    this.#profiles = after;
    this.#deps.counts.used = usedCertificates(this.#used);
  }
}

function* credentialsOf({ listeners, services }: PreparedTls): Iterable<Certificate | Anchors> {
  for (const { certificates, clientAuthority } of listeners.values()) {
    yield* certificates;
    if (clientAuthority !== null) yield clientAuthority;
  }
  for (const { certificate, ca } of services.values()) {
    if (certificate !== null) yield certificate;
    yield ca;
  }
}

function usedCertificates({ listeners, services }: PreparedTls): UsedCertificate[] {
  const used: UsedCertificate[] = [];
  for (const { name, certificates, clientAuthority } of listeners.values()) {
    const add = (certificate: string, { value }: Certificate | Anchors): number =>
      used.push({ use: 'listener', name, certificate, notAfterMs: value.notAfterMs });
    for (const [index, certificate] of certificates.entries()) add(String(index), certificate);
    if (clientAuthority !== null) add('client-authority', clientAuthority);
  }
  for (const { name, tls, certificate, ca } of services.values()) {
    const add = (what: string, { value }: Certificate | Anchors): number =>
      used.push({ use: 'service', name, certificate: what, notAfterMs: value.notAfterMs });
    if (certificate !== null) add('certificate', certificate);
    if (tls.ca !== null) add('ca', ca);
  }
  return used;
}

const isoDate = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

const listenerKey = ({ tls, alpn }: ListenerUse): string => `server ${JSON.stringify([tls, alpn])}`;
const serviceKey = ({ tls, alpn }: ServiceUse): string => `client ${JSON.stringify([tls, alpn])}`;

const material = ({ value: { chain, key } }: Certificate, names: readonly string[]): TlsCertificate => ({
  chain,
  key,
  names,
});

function listenerProfile({ tls, alpn, certificates, clientAuthority }: ListenerUse): Content {
  return {
    role: 'server',
    certificates: certificates.map((one, index) => material(one, tls.certificates[index].names ?? one.value.names.dns)),
    anchors: clientAuthority?.value.anchors ?? [],
    clientCertificate: tls.clientCertificate,
    minVersion: tls.minVersion,
    alpn,
    tickets: tls.tickets,
    serverName: null,
    wholeNames: false,
  };
}

function serviceProfile({ tls, alpn, certificate, ca }: ServiceUse): Content {
  return {
    role: 'client',
    certificates: certificate === null ? [] : [material(certificate, [])],
    anchors: ca.value.anchors,
    clientCertificate: 'none',
    minVersion: tls.minVersion,
    alpn,
    tickets: false,
    serverName: tls.serverName,
    wholeNames: false,
  };
}

function meshProfile({ chain, key, anchors, serverNames }: IdentityMaterial, role: 'server' | 'client'): Content {
  return {
    role,
    certificates: [{ chain, key, names: role === 'server' ? serverNames : [] }],
    anchors,
    clientCertificate: role === 'server' ? 'optional' : 'none',
    minVersion: '1.3',
    alpn: MESH_ALPN,
    tickets: false,
    serverName: null,
    wholeNames: true,
  };
}

/** What a listener can serve: no version of HTTP that it would refuse, and none at all if it relays bytes unread. */
function listenerAlpn(config: Config, listener: ListenerConfig): readonly string[] {
  const { protocol } = decide(config, listener);
  if (protocol === 'opaque') return [];
  const { http1, http2 } = listener.services;
  // With original destinations, it is unknown what is served there; other versions are translated.
  const all = listener.originalDestination;
  return [
    ...((all || http2 !== null) && protocol !== 'http1' ? [HTTP2] : []),
    ...((all || http1 !== null) && protocol !== 'http2' ? [HTTP1] : []),
  ];
}

function serviceAlpn({ protocol }: ServiceConfig): readonly string[] {
  switch (protocol) {
    case 'auto':
      return [HTTP2, HTTP1];
    case 'http1':
      return [HTTP1];
    case 'http2':
      return [HTTP2];
    case 'opaque':
      return [];
  }
}
