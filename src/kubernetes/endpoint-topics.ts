// Endpoints of watched ports of Services. Clients in the same place share one list.
import type { Family } from '../config/addresses.js';
import type { EndpointsUpdate, Requester } from '../destination/lookup.js';
import { type Endpoint, sameEndpoints } from '../discovery/endpoint.js';
import type { Watch } from '../discovery/source.js';
import { type Authority, readAuthority } from './authority.js';
import type { EndpointDescriber, Mesh } from './endpoint-describer.js';
import { MultiMap } from './multi-map.js';
import { keyOf } from './names.js';
import { type Candidate, selected } from './selection.js';
import type { Service, ServicePort } from './service.js';
import type { Pods, Services, Slices } from './stores.js';

interface Watcher {
  readonly topic: Topic;
  readonly requester: Requester;
  readonly report: (update: EndpointsUpdate) => void;
  last: EndpointsUpdate | null;
}

interface Topic {
  readonly key: string;
  /** Key of the Service. */
  readonly service: string;
  readonly authority: Authority;
  readonly watchers: Set<Watcher>;
  /** The last known content; undefined: not computed yet. */
  found: Found | undefined;
  /** By place: the endpoints that serve it. */
  places: Map<string, EndpointsUpdate>;
  /** Endpoints by address, so that unchanged ones stay identical. */
  endpoints: Map<string, Endpoint>;
  /** Keys of the endpoints' pods. */
  pods: Set<string>;
}

interface Made extends Candidate {
  readonly endpoint: Endpoint;
}

/** Current content; null: no such port. */
type Found = { readonly service: Service; readonly families: ReadonlyMap<Family, readonly Made[]> } | null;

const UNKNOWN: EndpointsUpdate = { kind: 'unknown' };
const NOTHING: Watch = { stop: () => undefined };
const NONE: readonly Made[] = [];

function same(a: EndpointsUpdate | undefined, b: EndpointsUpdate): boolean {
  if (a === undefined || a.kind === 'unknown' || b.kind === 'unknown') return a?.kind === b.kind;
  return sameEndpoints(a.endpoints, b.endpoints);
}

export class EndpointTopics {
  readonly #topics = new Map<string, Topic>();
  readonly #byService = new MultiMap<string, Topic>();
  readonly #byNamespace = new MultiMap<string, Topic>();
  readonly #byPod = new MultiMap<string, Topic>();
  readonly #byNode = new MultiMap<string, Watcher>();
  readonly #dirty = new Set<Topic>();
  watchers = 0;

  constructor(
    private readonly mesh: Mesh,
    private readonly copies: { readonly services: Services; readonly slices: Slices; readonly pods: Pods },
    private readonly describing: EndpointDescriber,
  ) {}

  get size(): number {
    return this.#topics.size;
  }

  watch(text: string, requester: Requester, report: (update: EndpointsUpdate) => void, synced: boolean): Watch {
    const authority = readAuthority(text, this.mesh.clusterDomain);
    if (authority === null) {
      report(UNKNOWN);
      return NOTHING;
    }
    const topic = this.#topicOf(authority);
    const watcher: Watcher = { topic, requester, report, last: null };
    topic.watchers.add(watcher);
    this.#byNode.add(requester.node, watcher);
    this.watchers++;
    if (synced) this.#refresh(topic, watcher);
    return {
      stop: () => {
        if (!topic.watchers.delete(watcher)) return;
        this.#byNode.delete(requester.node, watcher);
        this.watchers--;
        if (topic.watchers.size === 0) this.#drop(topic);
      },
    };
  }

  touch(service: string): void {
    for (const topic of this.#byService.of(service)) this.#dirty.add(topic);
  }

  touchPod(key: string): void {
    for (const topic of this.#byPod.of(key)) this.#dirty.add(topic);
  }

  touchNamespace(name: string): void {
    for (const topic of this.#byNamespace.of(name)) this.#dirty.add(topic);
  }

  /** The node is in another zone: clients there may get other endpoints. */
  touchNode(node: string): void {
    for (const { topic } of this.#byNode.of(node)) this.#dirty.add(topic);
  }

  touchAll(): void {
    for (const topic of this.#topics.values()) this.#dirty.add(topic);
  }

  /** Reports changes to watchers. */
  flush(): void {
    if (this.#dirty.size === 0) return;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const topic of dirty) if (topic.watchers.size > 0) this.#refresh(topic, null);
  }

  #topicOf(authority: Authority): Topic {
    const { namespace, name, port, hostname } = authority;
    const key = `${hostname}.${name}.${namespace}:${port}`;
    const known = this.#topics.get(key);
    if (known !== undefined) return known;
    const topic: Topic = {
      key,
      service: keyOf(namespace, name),
      authority,
      watchers: new Set(),
      found: undefined,
      places: new Map(),
      endpoints: new Map(),
      pods: new Set(),
    };
    this.#topics.set(key, topic);
    this.#byService.add(topic.service, topic);
    this.#byNamespace.add(namespace, topic);
    return topic;
  }

  #drop(topic: Topic): void {
    if (this.#topics.get(topic.key) !== topic) return;
    this.#topics.delete(topic.key);
    this.#byService.delete(topic.service, topic);
    this.#byNamespace.delete(topic.authority.namespace, topic);
    for (const pod of topic.pods) this.#byPod.delete(pod, topic);
    this.#dirty.delete(topic);
  }

  /** Reports to everybody, or only to a new watcher: then nothing has changed for the others, unless the topic waits for its turn. */
  #refresh(topic: Topic, only: Watcher | null): void {
    const again = only === null || this.#dirty.has(topic) || topic.found === undefined;
    const found = again ? this.#find(topic) : (topic.found ?? null);
    topic.found = found;
    const before = topic.places;
    const places = only === null ? new Map<string, EndpointsUpdate>() : new Map(before);
    topic.places = places;
    for (const watcher of only === null ? [...topic.watchers] : [only]) {
      if (!topic.watchers.has(watcher)) continue;
      const place = this.#placeOf(found, watcher.requester);
      let update = places.get(place);
      if (update === undefined || (only !== null && again)) {
        const now = this.#choose(found, watcher.requester);
        const last = before.get(place);
        update = last !== undefined && same(last, now) ? last : now;
        places.set(place, update);
      }
      const { last } = watcher;
      watcher.last = update;
      // Another place may have the same list.
      if (last === null || (last !== update && !same(last, update))) watcher.report(update);
    }
  }

  #wanted(service: Service, requester: Requester, families: ReadonlyMap<Family, readonly Made[]>): Family {
    const wanted = requester.family ?? (service.family === 0 ? 4 : service.family);
    const other = wanted === 4 ? 6 : 4;
    return !families.has(wanted) && families.has(other) ? other : wanted;
  }

  /** Requesters in the same place get the same. */
  #placeOf(found: Found, requester: Requester): string {
    if (found === null) return '';
    const { service, families } = found;
    const family = this.#wanted(service, requester, families);
    return `${family} ${service.local ? requester.node : ''} ${this.copies.slices.zoneOf(requester.node)}`;
  }

  #choose(found: Found, requester: Requester): EndpointsUpdate {
    if (found === null) return UNKNOWN;
    const { service, families } = found;
    const made = families.get(this.#wanted(service, requester, families)) ?? NONE;
    const zone = this.copies.slices.zoneOf(requester.node);
    const chosen = selected(made, { zone, node: service.local ? requester.node : null });
    return { kind: 'endpoints', endpoints: chosen.map(({ endpoint }) => endpoint) };
  }

  #find(topic: Topic): Found {
    const service = this.copies.services.byKey.get(topic.service);
    const port = service?.ports.find((each) => each.port === topic.authority.port);
    const pods = new Set<string>();
    const endpoints = new Map<string, Endpoint>();
    const found =
      service === undefined || port === undefined || service.external
        ? null
        : { service, families: this.#families(topic, service, port, pods, endpoints) };
    for (const pod of topic.pods) if (!pods.has(pod)) this.#byPod.delete(pod, topic);
    for (const pod of pods) if (!topic.pods.has(pod)) this.#byPod.add(pod, topic);
    topic.pods = pods;
    topic.endpoints = endpoints;
    return found;
  }

  /** Endpoints of all slices, by family; those whose pod is gone, or has another address now, are left out. */
  #families(
    topic: Topic,
    service: Service,
    port: ServicePort,
    pods: Set<string>,
    endpoints: Map<string, Endpoint>,
  ): ReadonlyMap<Family, readonly Made[]> {
    const families = new Map<Family, Made[]>();
    const { hostname } = topic.authority;
    for (const slice of this.#slicesOf(service)) {
      const number = slice.ports.find(({ name }) => name === port.name)?.port;
      if (number === undefined) continue;
      const made = families.get(slice.family) ?? [];
      families.set(slice.family, made);
      for (const said of slice.endpoints) {
        if (hostname !== '' && said.hostname !== hostname) continue;
        if (said.pod !== '') pods.add(said.pod);
        const key = `${said.address} ${number}`;
        // While the controller moves endpoints between slices, they may be in two of them: ready in one is ready.
        const twin = endpoints.has(key) ? made.findIndex((each) => each.endpoint === endpoints.get(key)) : -1;
        if (twin >= 0 && (made[twin].said.ready || !said.ready)) continue;
        const now = this.#endpointOf(service, said, number, port.appProtocol);
        if (now === null) continue;
        const last = topic.endpoints.get(key);
        const endpoint = last !== undefined && sameEndpoints([last], [now]) ? last : now;
        endpoints.set(key, endpoint);
        if (twin >= 0) made[twin] = { said, port: number, endpoint };
        else made.push({ said, port: number, endpoint });
      }
    }
    return families;
  }

  /** In an order independent of the order of events. */
  #slicesOf({ key }: Service) {
    return [...this.copies.slices.byService.of(key)].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #endpointOf(service: Service, said: Candidate['said'], port: number, appProtocol: string): Endpoint | null {
    const { address, zone, pod: key } = said;
    if (key === '') return this.describing.elsewhere(address, port, service.namespace, appProtocol, zone);
    const pod = this.copies.pods.byKey.get(key);
    if (pod === undefined || pod.ended || !pod.ips.includes(address)) return null;
    return this.describing.endpointOf(pod, address, port, appProtocol, zone);
  }
}
