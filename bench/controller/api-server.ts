// An API server of that cluster, in a process of its own: lists in pages, watches, and changes at a rate: a pod comes in the place of
// another. Tells its parent when each change was written.
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';
import {
  NAMESPACES,
  namespaceObject,
  type PodPlace,
  podObject,
  type Sizes,
  serviceObject,
  sliceObject,
} from './objects.js';

export interface ApiServerOrder {
  readonly tls: { readonly cert: string; readonly key: string };
  readonly sizes: Sizes;
}
export type ApiServerMessage =
  | { readonly kind: 'listens'; readonly port: number }
  /** Ms since 1970, with a fraction. */
  | { readonly kind: 'changed'; readonly change: number; readonly service: number; readonly atMs: number }
  | { readonly kind: 'done' };
export interface ChangeOrder {
  readonly perSecond: number;
  readonly seconds: number;
  /** The services of which a tenth of all changes is. */
  readonly popular: number;
}

const PATHS: Readonly<Record<string, Kind>> = {
  '/api/v1/namespaces': 'namespaces',
  '/api/v1/services': 'services',
  '/api/v1/pods': 'pods',
  '/apis/discovery.k8s.io/v1/endpointslices': 'slices',
};
type Kind = 'namespaces' | 'services' | 'pods' | 'slices';
const POPULAR_SHARE = 0.1;
const PAGE = 500;

class Store {
  version = 1;
  #change = 0;
  readonly #pods: PodPlace[][];
  readonly #watches = new Map<Kind, Set<Http2ServerResponse>>();

  constructor(private readonly sizes: Sizes) {
    this.#pods = Array.from({ length: sizes.services }, (_, service) =>
      Array.from({ length: sizes.endpoints }, (_place, at) => ({
        service,
        number: service * sizes.endpoints + at,
        change: 0,
      })),
    );
  }

  #count(kind: Kind): number {
    const { services, endpoints } = this.sizes;
    return kind === 'namespaces' ? NAMESPACES : kind === 'pods' ? services * endpoints : services;
  }

  #object(kind: Kind, number: number): object {
    const { endpoints } = this.sizes;
    switch (kind) {
      case 'namespaces':
        return namespaceObject(number, 1);
      case 'services':
        return serviceObject(number, 1);
      case 'slices':
        return sliceObject(number, this.#pods[number], 1);
      case 'pods':
        return podObject(this.#pods[Math.floor(number / endpoints)][number % endpoints], 1);
    }
  }

  page(kind: Kind, from: number, limit: number): object {
    const end = Math.min(from + limit, this.#count(kind));
    const items = Array.from({ length: end - from }, (_, at) => this.#object(kind, from + at));
    const more = end < this.#count(kind) ? { continue: String(end) } : {};
    return { kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: String(this.version), ...more }, items };
  }

  watch(kind: Kind, response: Http2ServerResponse): void {
    const watches = this.#watches.get(kind) ?? new Set();
    this.#watches.set(kind, watches.add(response));
    response.on('close', () => watches.delete(response));
  }

  change(service: number): { change: number; atMs: number } {
    this.#change += 1;
    const pods = this.#pods[service];
    const at = this.#change % pods.length;
    const [old, now] = [pods[at], { ...pods[at], change: this.#change }];
    pods[at] = now;
    this.#tell('pods', 'ADDED', (version) => podObject(now, version));
    const atMs = performance.timeOrigin + performance.now();
    this.#tell('slices', 'MODIFIED', (version) => sliceObject(service, pods, version));
    this.#tell('pods', 'DELETED', (version) => podObject(old, version));
    return { change: this.#change, atMs };
  }

  #tell(kind: Kind, type: string, object: (version: number) => object): void {
    this.version += 1;
    const line = `${JSON.stringify({ type, object: object(this.version) })}\n`;
    for (const response of this.#watches.get(kind) ?? []) response.write(line);
  }
}

const send = (told: ApiServerMessage): void => {
  process.send?.(told);
};

function serve(store: Store, request: Http2ServerRequest, response: Http2ServerResponse): void {
  const url = new URL(request.url ?? '/', 'https://localhost');
  const kind = PATHS[url.pathname];
  if (kind === undefined) {
    response.writeHead(404).end('{}');
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  if (url.searchParams.get('watch') === 'true') {
    store.watch(kind, response);
    response.write('');
    return;
  }
  const limit = Number(url.searchParams.get('limit') ?? PAGE);
  response.end(JSON.stringify(store.page(kind, Number(url.searchParams.get('continue') ?? 0), limit)));
}

/** Evenly in time; what is late is made up for. */
function change(store: Store, { perSecond, seconds, popular }: ChangeOrder, services: number): void {
  const began = performance.now();
  let done = 0;
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  const timer = setInterval(() => {
    const due = Math.min(((performance.now() - began) * perSecond) / 1000, perSecond * seconds);
    for (; done < Math.floor(due); done++) {
      const service = Math.floor(random() * (random() < POPULAR_SHARE ? popular : services));
      send({ kind: 'changed', service, ...store.change(service) });
    }
    if (done < perSecond * seconds) return;
    clearInterval(timer);
    send({ kind: 'done' });
  }, 5);
}

process.once('message', ({ tls, sizes }: ApiServerOrder) => {
  const store = new Store(sizes);
  const server = createSecureServer(tls, (request, response) => serve(store, request, response));
  server.listen(0, '127.0.0.1', () => send({ kind: 'listens', port: (server.address() as AddressInfo).port }));
  process.on('message', (order: ChangeOrder) => change(store, order, sizes.services));
});
process.on('disconnect', () => process.exit());
