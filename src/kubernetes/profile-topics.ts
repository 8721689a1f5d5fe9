// Profiles of watched addresses.
import { isIP } from 'node:net';
import type { ProfileUpdate } from '../destination/lookup.js';
import { sameEndpoints } from '../discovery/endpoint.js';
import type { Watch } from '../discovery/source.js';
import { type Authority, authorityText, readAuthority } from './authority.js';
import type { EndpointDescriber, Mesh } from './endpoint-describer.js';
import { MultiMap } from './multi-map.js';
import { keyOf } from './names.js';
import type { Pod } from './pod.js';
import type { Service } from './service.js';
import type { Pods, Services } from './stores.js';

interface Topic {
  readonly host: string;
  readonly port: number;
  /** The Service its host names; null: it is an address, or names nothing. */
  readonly named: Authority | null;
  readonly watchers: Set<(update: ProfileUpdate) => void>;
  last: ProfileUpdate | null;
}

const UNKNOWN: ProfileUpdate = { kind: 'unknown' };

function same(a: ProfileUpdate | null, b: ProfileUpdate): boolean {
  if (a === null || a.kind === 'unknown' || b.kind === 'unknown') return a?.kind === b.kind;
  const { authority, opaque, protocol, endpoint } = a.profile;
  if (authority !== b.profile.authority || opaque !== b.profile.opaque || protocol !== b.profile.protocol) return false;
  const other = b.profile.endpoint;
  return endpoint === null || other === null ? endpoint === other : sameEndpoints([endpoint], [other]);
}

export class ProfileTopics {
  /** By address, then by port. */
  readonly #topics = new Map<string, Map<number, Topic>>();
  /** Those whose host is a Service's name. */
  readonly #byService = new MultiMap<string, Topic>();
  readonly #dirty = new Set<Topic>();
  size = 0;
  watchers = 0;

  constructor(
    private readonly mesh: Mesh,
    private readonly copies: { readonly services: Services; readonly pods: Pods },
    private readonly describing: EndpointDescriber,
  ) {}

  watch(host: string, port: number, report: (update: ProfileUpdate) => void, synced: boolean): Watch {
    const topic = this.#topicOf(host, port);
    const watcher = (update: ProfileUpdate): void => report(update);
    topic.watchers.add(watcher);
    this.watchers++;
    if (synced) {
      // A current change is reported to all watchers.
      topic.last ??= this.#now(topic);
      report(topic.last);
    }
    return {
      stop: () => {
        if (!topic.watchers.delete(watcher)) return;
        this.watchers--;
        if (topic.watchers.size === 0) this.#drop(topic);
      },
    };
  }

  touch(ip: string): void {
    for (const topic of this.#topics.get(ip)?.values() ?? []) this.#dirty.add(topic);
  }

  /** It may have been requested by name. */
  touchService(key: string): void {
    for (const topic of this.#byService.of(key)) this.#dirty.add(topic);
  }

  touchAll(): void {
    for (const ports of this.#topics.values()) for (const topic of ports.values()) this.#dirty.add(topic);
  }

  /** Reports changes to watchers. */
  flush(): void {
    if (this.#dirty.size === 0) return;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const topic of dirty) {
      const update = this.#now(topic);
      if (same(topic.last, update)) continue;
      topic.last = update;
      for (const watcher of [...topic.watchers]) if (topic.watchers.has(watcher)) watcher(update);
    }
  }

  #topicOf(host: string, port: number): Topic {
    let ports = this.#topics.get(host);
    if (ports === undefined) {
      ports = new Map();
      this.#topics.set(host, ports);
    }
    let topic = ports.get(port);
    if (topic === undefined) {
      const named = isIP(host) === 0 ? readAuthority(`${host}:${port}`, this.mesh.clusterDomain) : null;
      topic = { host, port, named, watchers: new Set(), last: null };
      ports.set(port, topic);
      if (named !== null) this.#byService.add(keyOf(named.namespace, named.name), topic);
      this.size++;
    }
    return topic;
  }

  #drop(topic: Topic): void {
    const ports = this.#topics.get(topic.host);
    if (ports?.get(topic.port) !== topic) return;
    const { named } = topic;
    if (named !== null) this.#byService.delete(keyOf(named.namespace, named.name), topic);
    ports.delete(topic.port);
    this.size--;
    this.#dirty.delete(topic);
    if (ports.size === 0) this.#topics.delete(topic.host);
  }

  #now({ host, port, named }: Topic): ProfileUpdate {
    const { services, pods } = this.copies;
    if (named !== null) return this.#ofName(named, `${host}:${port}`);
    const owners = [...services.byIp.of(host)];
    if (owners.length > 0) return this.#ofService(owners, port);
    const pod = pods.at(host);
    if (pod !== null) return this.#ofPod(pod, host, port);
    const owner = pods.onHost(host, port);
    return owner === null ? UNKNOWN : this.#onHost(owner, host, port);
  }

  /** A request by name gets the name back, with what is known of the Service; nothing if there is none. */
  #ofName({ namespace, name, port: number }: Authority, authority: string): ProfileUpdate {
    const service = this.copies.services.byKey.get(keyOf(namespace, name));
    const port = service?.ports.find((each) => each.port === number);
    const protocol = service === undefined || port === undefined ? 'auto' : this.describing.protocolOf(service, port);
    return { kind: 'profile', profile: { authority, opaque: protocol === 'opaque', protocol, endpoint: null } };
  }

  /** If several briefly have the same address, the latest. */
  #ofService(owners: readonly Service[], number: number): ProfileUpdate {
    for (const service of owners.toReversed()) {
      const port = service.ports.find((each) => each.port === number);
      if (port === undefined) continue;
      const { namespace, name } = service;
      const protocol = this.describing.protocolOf(service, port);
      const authority = authorityText(namespace, name, number, this.mesh.clusterDomain);
      return { kind: 'profile', profile: { authority, opaque: protocol === 'opaque', protocol, endpoint: null } };
    }
    return UNKNOWN;
  }

  #ofPod(pod: Pod, host: string, port: number): ProfileUpdate {
    const endpoint = this.describing.endpointOf(pod, host, port);
    const { protocol } = endpoint;
    return { kind: 'profile', profile: { authority: '', opaque: protocol === 'opaque', protocol, endpoint } };
  }

  /** A node's port leads into the pod; a pod in the node's network is already there. */
  #onHost(pod: Pod, host: string, hostPort: number): ProfileUpdate {
    if (pod.hostNetwork) return this.#ofPod(pod, host, hostPort);
    const port = pod.ports.find((each) => each.hostPort === hostPort)?.port;
    const own = pod.ips.find((ip) => ip.includes(':') === host.includes(':'));
    return port === undefined || own === undefined ? UNKNOWN : this.#ofPod(pod, own, port);
  }
}
