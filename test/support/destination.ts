// The destination API in tests: a cluster that a test makes up, a server of it, and the official client of gRPC that asks it.
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { Address } from '../../src/config/model.js';
import type { DestinationLookup, EndpointsUpdate, ProfileUpdate, Requester } from '../../src/destination/lookup.js';
import { decodeProfile, decodeUpdate, encodeGetDestination } from '../../src/destination/messages.js';
import { RULES_METHOD } from '../../src/destination/rules-message.js';
import type { Rules } from '../../src/destination/server/rules.js';
import {
  DESTINATION_LIMITS,
  type DestinationEvents,
  type DestinationLimits,
  DestinationServer,
} from '../../src/destination/server/server.js';
import { type Endpoint, endpointAt } from '../../src/discovery/endpoint.js';
import type { Watch } from '../../src/discovery/source.js';
import { addressText } from '../../src/discovery/text.js';
import type { MutualTls } from '../../src/listening/http2-listener.js';
import { Waiting } from './waiting.js';

export const DESTINATION = 'io.linkerd.proxy.destination.Destination';

/** `count` endpoints in 10.0.0.0/8, from `first` on. */
export const endpointsAt = (count: number, first = 1): Endpoint[] =>
  Array.from({ length: count }, (_, at) => {
    const place = first + at;
    const host = `10.${(place >> 16) & 255}.${(place >> 8) & 255}.${place & 255}`;
    return endpointAt({ host, port: 8080 }, { metadata: { pod: `web-${place}` } });
  });

/** A cluster in which things are what a test says. */
export class MadeUpCluster implements DestinationLookup {
  readonly #known = new Map<string, EndpointsUpdate | ProfileUpdate>();
  readonly #watches = new Map<string, Set<(update: never) => void>>();
  readonly askers: Requester[] = [];

  /** Watches that are open. */
  get watches(): number {
    return [...this.#watches.values()].reduce((sum, { size }) => sum + size, 0);
  }

  service(authority: string, endpoints: readonly Endpoint[] | null): void {
    this.#is(authority, endpoints === null ? { kind: 'unknown' } : { kind: 'endpoints', endpoints });
  }

  profile(address: Address, update: ProfileUpdate): void {
    this.#is(`profile of ${addressText(address)}`, update);
  }

  watchProfile(address: Address, asker: Requester, report: (update: ProfileUpdate) => void): Watch {
    return this.#watch(`profile of ${addressText(address)}`, asker, report);
  }

  watchEndpoints(authority: string, asker: Requester, report: (update: EndpointsUpdate) => void): Watch {
    return this.#watch(authority, asker, report);
  }

  #is(key: string, update: EndpointsUpdate | ProfileUpdate): void {
    this.#known.set(key, update);
    for (const report of this.#watches.get(key) ?? []) report(update as never);
  }

  #watch(key: string, asker: Requester, report: (update: never) => void): Watch {
    this.askers.push(asker);
    const reports = this.#watches.get(key) ?? new Set();
    this.#watches.set(key, reports.add(report));
    const known = this.#known.get(key);
    if (known !== undefined) report(known as never);
    return { stop: () => reports.delete(report) };
  }
}

/** What a server says of itself. */
export class Told implements DestinationEvents {
  readonly statuses: number[] = [];
  readonly connectionsRefused: string[] = [];
  streams = 0;
  messages = 0;
  octets = 0;
  encodings = 0;
  overtaken = 0;

  begun(): void {
    this.streams += 1;
  }

  ended(): void {
    this.streams -= 1;
  }

  refused(code: number): void {
    this.statuses.push(code);
  }

  connectionRefused(reason: 'limit' | 'handshake'): void {
    this.connectionsRefused.push(reason);
  }

  sent(_method: string, octets: number): void {
    this.messages += 1;
    this.octets += octets;
  }

  encoded(): void {
    this.encodings += 1;
  }

  coalesced(): void {
    this.overtaken += 1;
  }
}

export interface Served {
  readonly server: DestinationServer;
  readonly told: Told;
  readonly port: number;
}

export async function serveDestinations(
  lookup: DestinationLookup,
  {
    tls = null,
    limits = {},
    rules = null,
  }: { tls?: MutualTls | null; limits?: Partial<DestinationLimits>; rules?: Rules | null } = {},
): Promise<Served> {
  const told = new Told();
  const all = { ...DESTINATION_LIMITS, spreadMs: 50, ...limits };
  const server = new DestinationServer(lookup, { tls, clusterDomain: 'cluster.local', rules, limits: all }, told);
  await server.listen({ host: '127.0.0.1', port: 0 });
  return { server, told, port: server.port };
}

const same = (octets: Buffer): Buffer => octets;

/** A stream of messages as they come. */
export class DestinationStream {
  readonly messages: Buffer[] = [];
  readonly waiting = new Waiting();
  error: ServiceError | null = null;
  ended = false;

  constructor(readonly call: ClientReadableStream<Buffer>) {
    call.on('data', (message: Buffer) => {
      this.messages.push(message);
      this.waiting.wake();
    });
    call.on('error', (error: ServiceError) => {
      this.error = error;
      this.waiting.wake();
    });
    call.on('end', () => {
      this.ended = true;
      this.waiting.wake();
    });
  }

  until(condition: (stream: this) => boolean, what: string): Promise<void> {
    return this.waiting.until(
      () => condition(this),
      () => `${what} (${this.messages.length} messages, ${this.error?.message ?? 'no error'})`,
    );
  }

  /** How it ends: the code's name and what is said. */
  async end(): Promise<string> {
    await this.until(({ error, ended }) => error !== null || ended, 'the end of the stream');
    return this.error === null ? 'OK' : `${status[this.error.code]}: ${this.error.details}`;
  }

  /** What all messages make of nothing: addresses and pods' names; null: there is no such Service. */
  endpoints(): ReadonlyMap<string, Endpoint> | null {
    let known: Map<string, Endpoint> | null = new Map();
    for (const message of this.messages) {
      const update = decodeUpdate(message);
      if (update.kind === 'none') known = update.exists ? new Map() : null;
      else if (update.kind === 'add') {
        known ??= new Map();
        for (const endpoint of update.endpoints) known.set(addressText(endpoint.address), endpoint);
      } else if (update.kind === 'remove') for (const address of update.addresses) known?.delete(addressText(address));
    }
    return known;
  }

  /** The profile as the last message has it. */
  profile(port: number): ProfileUpdate {
    return decodeProfile(this.messages[this.messages.length - 1], port);
  }

  /** Waits until exactly these are known. */
  async knows(endpoints: readonly Endpoint[] | null): Promise<void> {
    const wanted = endpoints?.map((endpoint) => [addressText(endpoint.address), JSON.stringify(endpoint)]).sort();
    const has = (): boolean => {
      const known = this.endpoints();
      if (known === null || wanted === undefined) return known === null && wanted === undefined;
      const found = [...known].map(([address, endpoint]) => [address, JSON.stringify(endpoint)]).sort();
      return this.messages.length > 0 && JSON.stringify(found) === JSON.stringify(wanted);
    };
    await this.until(has, `${endpoints?.length ?? 'no'} endpoints`);
  }
}

/** The official client; each has a connection of its own. */
export class DestinationClient {
  readonly #client: Client;

  constructor(port: number, tls: (MutualTls & { readonly name: string }) | null = null) {
    const security =
      tls === null
        ? credentials.createInsecure()
        : credentials.createSsl(Buffer.from(tls.ca), Buffer.from(tls.key), Buffer.from(tls.cert));
    this.#client = new Client(`127.0.0.1:${port}`, security, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.enable_http_proxy': 0,
      ...(tls === null ? {} : { 'grpc.ssl_target_name_override': tls.name, 'grpc.default_authority': tls.name }),
    });
  }

  get(path: string, context: object = {}, deadlineMs?: number): DestinationStream {
    return this.#ask('Get', path, JSON.stringify(context), deadlineMs);
  }

  profile(path: string): DestinationStream {
    return this.#ask('GetProfile', path, '{}');
  }

  rules(context: object = {}): DestinationStream {
    const request = encodeGetDestination({ scheme: '', path: '', contextToken: JSON.stringify(context) });
    return new DestinationStream(this.#client.makeServerStreamRequest(RULES_METHOD, same, same, request));
  }

  call(method: string, request: Buffer, deadlineMs?: number): DestinationStream {
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const path = `/${DESTINATION}/${method}`;
    return new DestinationStream(
      this.#client.makeServerStreamRequest(path, same, same, request, new Metadata(), options),
    );
  }

  close(): void {
    this.#client.close();
  }

  #ask(method: string, path: string, contextToken: string, deadlineMs?: number): DestinationStream {
    return this.call(method, encodeGetDestination({ scheme: '', path, contextToken }), deadlineMs);
  }
}
