// Copies of a cluster's objects, with their indices. Reports what a change may affect.
import { isDeepStrictEqual } from 'node:util';
import { MultiMap } from './multi-map.js';
import type { Namespace } from './namespace.js';
import type { Pod } from './pod.js';
import type { Sink } from './reflector.js';
import type { Service } from './service.js';
import type { Slice, SliceEndpoint } from './slice.js';

/** What a change may affect: the previous and the new state. */
export interface ChangeListener {
  address(ip: string): void;
  service(key: string): void;
  pod(key: string): void;
  namespace(name: string): void;
  /** A node is now known to be in another zone. */
  node(name: string): void;
  /** The change is complete, and `kind` has been listed once. */
  done(kind: Kind): void;
  /** An object is new or changed. */
  read(object: Service | Pod | Namespace, kind: Kind): void;
  gone(kind: Kind, key: string): void;
}

export const KINDS = ['services', 'slices', 'pods', 'namespaces'] as const;
export type Kind = (typeof KINDS)[number];

interface Keyed {
  readonly key: string;
}

/** Objects of a kind by their keys. */
abstract class Store<T extends Keyed> implements Sink<T> {
  readonly byKey = new Map<string, T>();

  protected constructor(
    private readonly kind: Kind,
    protected readonly listener: ChangeListener,
  ) {}

  /** Adds the object to the indices, or removes it. */
  protected abstract index(object: T): void;
  protected abstract unindex(object: T): void;
  /** The object is new, or differs from the previous one. */
  protected changedObject(_object: T): void {}

  replace(all: readonly T[]): void {
    const gone = new Set(this.byKey.keys());
    for (const object of all) {
      gone.delete(object.key);
      this.#set(object);
    }
    for (const key of gone) this.#delete(key);
    this.listener.done(this.kind);
  }

  changed(object: T): void {
    this.#set(object);
    this.listener.done(this.kind);
  }

  removed({ key }: T): void {
    this.#delete(key);
    this.listener.done(this.kind);
  }

  #set(object: T): void {
    const before = this.byKey.get(object.key);
    // Most changes of pods concern nothing that is kept.
    if (before !== undefined && isDeepStrictEqual(before, object)) return;
    this.byKey.set(object.key, object);
    // Add the new state before removing the old: what both have in common must not disappear in between.
    this.index(object);
    if (before !== undefined) this.unindex(before);
    this.changedObject(object);
  }

  #delete(key: string): void {
    const before = this.byKey.get(key);
    if (before === undefined) return;
    this.byKey.delete(key);
    this.unindex(before);
    this.listener.gone(this.kind, key);
  }
}

export class Services extends Store<Service> {
  readonly byIp = new MultiMap<string, Service>();

  constructor(listener: ChangeListener) {
    super('services', listener);
  }

  protected index(service: Service): void {
    for (const ip of service.clusterIps) {
      this.byIp.add(ip, service);
      this.listener.address(ip);
    }
    this.listener.service(service.key);
  }

  protected unindex(service: Service): void {
    for (const ip of service.clusterIps) {
      this.byIp.delete(ip, service);
      this.listener.address(ip);
    }
    this.listener.service(service.key);
  }

  protected override changedObject(service: Service): void {
    this.listener.read(service, 'services');
  }
}

/** The zones that endpoints claim for a node: all equal, except briefly, or if slices are written by hand. */
class Place {
  zone = '';
  readonly #said = new Map<string, number>();

  /** Counts `zone` up or down; true if this changes the node's zone: the most frequent one. */
  count(zone: string, change: 1 | -1): boolean {
    const count = (this.#said.get(zone) ?? 0) + change;
    if (count > 0) this.#said.set(zone, count);
    else this.#said.delete(zone);
    const before = this.zone;
    for (const [other, said] of this.#said) if (said > (this.#said.get(this.zone) ?? 0)) this.zone = other;
    return this.zone !== before;
  }

  get empty(): boolean {
    return this.#said.size === 0;
  }
}

export class Slices extends Store<Slice> {
  readonly byService = new MultiMap<string, Slice>();
  /** Zones of nodes: endpoints contain them, so nodes need not be watched. */
  readonly #nodes = new Map<string, Place>();
  endpoints = 0;

  constructor(listener: ChangeListener) {
    super('slices', listener);
  }

  /** Empty if unknown. */
  zoneOf(node: string): string {
    return this.#nodes.get(node)?.zone ?? '';
  }

  protected index(slice: Slice): void {
    this.byService.add(slice.service, slice);
    this.endpoints += slice.endpoints.length;
    for (const endpoint of slice.endpoints) this.#place(endpoint, 1);
    this.listener.service(slice.service);
  }

  protected unindex(slice: Slice): void {
    this.byService.delete(slice.service, slice);
    this.endpoints -= slice.endpoints.length;
    for (const endpoint of slice.endpoints) this.#place(endpoint, -1);
    this.listener.service(slice.service);
  }

  #place({ node, zone }: SliceEndpoint, change: 1 | -1): void {
    if (node === '' || zone === '') return;
    let place = this.#nodes.get(node);
    if (place === undefined) {
      place = new Place();
      this.#nodes.set(node, place);
    }
    const moved = place.count(zone, change);
    if (place.empty) this.#nodes.delete(node);
    if (moved || place.empty) this.listener.node(node);
  }
}

export class Pods extends Store<Pod> {
  readonly #byIp = new MultiMap<string, Pod>();
  /** Pods with ports on their nodes. */
  readonly #byHostIp = new MultiMap<string, Pod>();

  constructor(listener: ChangeListener) {
    super('pods', listener);
  }

  /** The pod with the address; the youngest if there are several, because the others are terminating. */
  at(ip: string): Pod | null {
    return youngest(this.#byIp.of(ip));
  }

  /** The pod with a port on a node. */
  onHost(ip: string, port: number): Pod | null {
    return youngest([...this.#byHostIp.of(ip)].filter(({ ports }) => ports.some(({ hostPort }) => hostPort === port)));
  }

  protected index(pod: Pod): void {
    for (const [group, ip] of placesOf(pod)) {
      (group === 'ip' ? this.#byIp : this.#byHostIp).add(ip, pod);
      this.listener.address(ip);
    }
    this.listener.pod(pod.key);
  }

  protected unindex(pod: Pod): void {
    for (const [group, ip] of placesOf(pod)) {
      (group === 'ip' ? this.#byIp : this.#byHostIp).delete(ip, pod);
      this.listener.address(ip);
    }
    this.listener.pod(pod.key);
  }

  protected override changedObject(pod: Pod): void {
    this.listener.read(pod, 'pods');
  }
}

function placesOf(pod: Pod): readonly (readonly ['ip' | 'host', string])[] {
  if (pod.ended) return [];
  const own = pod.hostNetwork ? [] : pod.ips.map((ip) => ['ip', ip] as const);
  if (!pod.ports.some(({ hostPort }) => hostPort !== 0)) return own;
  return [...own, ...new Set(pod.hostNetwork ? [...pod.ips, ...pod.hostIps] : pod.hostIps)].map((place) =>
    typeof place === 'string' ? (['host', place] as const) : place,
  );
}

function youngest(pods: Iterable<Pod>): Pod | null {
  let found: Pod | null = null;
  for (const pod of pods) {
    if (found === null || pod.created > found.created || (pod.created === found.created && pod.key > found.key))
      found = pod;
  }
  return found;
}

export class Namespaces extends Store<Namespace> {
  constructor(listener: ChangeListener) {
    super('namespaces', listener);
  }

  protected index({ key }: Namespace): void {
    this.listener.namespace(key);
  }

  protected unindex({ key }: Namespace): void {
    this.listener.namespace(key);
  }

  protected override changedObject(namespace: Namespace): void {
    this.listener.read(namespace, 'namespaces');
  }
}
