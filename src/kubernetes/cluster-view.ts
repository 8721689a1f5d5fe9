// A cluster as seen by its clients, from copies of its objects. Watchers are told of changes only, and a change causes work only for those
// it concerns.
import { formatBits, plainAddressBits } from '../config/addresses.js';
import type { Address } from '../config/model.js';
import type { DestinationLookup, EndpointsUpdate, ProfileUpdate, Requester } from '../destination/lookup.js';
import type { Watch } from '../discovery/source.js';
import { EndpointDescriber, type Mesh } from './endpoint-describer.js';
import { EndpointTopics } from './endpoint-topics.js';
import { type ObjectProblem, problemsOf } from './object-problems.js';
import { ProfileTopics } from './profile-topics.js';
import { type ChangeListener, KINDS, type Kind, Namespaces, Pods, Services, Slices } from './stores.js';

export interface ClusterViewDeps {
  /** Unintelligible content of an object: reported again only when it changes. */
  readonly problem?: (problem: ObjectProblem) => void;
}

export interface ClusterCounts {
  readonly services: number;
  readonly slices: number;
  readonly endpoints: number;
  readonly pods: number;
  readonly namespaces: number;
  /** Watched topics: addresses, and ports of Services. */
  readonly profileTopics: number;
  readonly endpointTopics: number;
  /** Number of watchers. */
  readonly watchers: number;
}

/** The canonical form of an address; IPv4 mapped into IPv6 is IPv4. */
function canonical(host: string): string {
  const bits = plainAddressBits(host);
  return bits === null ? host : formatBits(bits);
}

export class ClusterView implements DestinationLookup {
  readonly services: Services;
  readonly slices: Slices;
  readonly pods: Pods;
  readonly namespaces: Namespaces;
  readonly #missing = new Set<Kind>(KINDS);
  readonly #profiles: ProfileTopics;
  readonly #endpoints: EndpointTopics;
  /** Problems with objects, by kind and key. */
  readonly #problems = new Map<string, string>();

  constructor(
    mesh: Mesh,
    private readonly deps: ClusterViewDeps = {},
  ) {
    const touched: ChangeListener = {
      address: (ip) => this.#profiles.touch(ip),
      service: (key) => {
        this.#profiles.touchService(key);
        this.#endpoints.touch(key);
      },
      pod: (key) => this.#endpoints.touchPod(key),
      namespace: (name) => {
        this.#profiles.touchAll();
        this.#endpoints.touchNamespace(name);
      },
      node: (name) => this.#endpoints.touchNode(name),
      done: (kind) => this.#done(kind),
      gone: (kind, key) => this.#problems.delete(`${kind} ${key}`),
      read: (object, kind) => this.#complain(problemsOf(object, kind), `${kind} ${object.key}`),
    };
    this.services = new Services(touched);
    this.slices = new Slices(touched);
    this.pods = new Pods(touched);
    this.namespaces = new Namespaces(touched);
    const describing = new EndpointDescriber(mesh, this.namespaces);
    this.#profiles = new ProfileTopics(mesh, this, describing);
    this.#endpoints = new EndpointTopics(mesh, this, describing);
  }

  /** Everything has been listed once: before that, nothing is reported. */
  get synced(): boolean {
    return this.#missing.size === 0;
  }

  get counts(): ClusterCounts {
    return {
      services: this.services.byKey.size,
      slices: this.slices.byKey.size,
      endpoints: this.slices.endpoints,
      pods: this.pods.byKey.size,
      namespaces: this.namespaces.byKey.size,
      profileTopics: this.#profiles.size,
      endpointTopics: this.#endpoints.size,
      watchers: this.#profiles.watchers + this.#endpoints.watchers,
    };
  }

  /** Objects with unintelligible content. */
  get problems(): number {
    return this.#problems.size;
  }

  watchProfile({ host, port }: Address, _asker: Requester, report: (update: ProfileUpdate) => void): Watch {
    return this.#profiles.watch(canonical(host), port, report, this.synced);
  }

  watchEndpoints(authority: string, requester: Requester, report: (update: EndpointsUpdate) => void): Watch {
    return this.#endpoints.watch(authority, requester, report, this.synced);
  }

  #done(kind: Kind): void {
    const before = this.synced;
    this.#missing.delete(kind);
    if (!this.synced) return;
    if (!before) {
      this.#profiles.touchAll();
      this.#endpoints.touchAll();
    }
    this.#endpoints.flush();
    this.#profiles.flush();
  }

  #complain(problems: readonly ObjectProblem[], key: string): void {
    const text = problems.map(({ field, message }) => `${field}: ${message}`).join('\n');
    if ((this.#problems.get(key) ?? '') === text) return;
    if (text === '') this.#problems.delete(key);
    else this.#problems.set(key, text);
    for (const problem of problems) this.deps.problem?.(problem);
  }
}
