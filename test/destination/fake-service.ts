// A destination service that does what a test wants, by the official gRPC library: a peer whose framing is nobody's of ours.
import {
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { Waiting } from '../support/waiting.js';

export interface FakeEndpoint {
  readonly host: string;
  readonly port: number;
  readonly opaque?: boolean;
  readonly identity?: string;
  readonly proxyPort?: number;
  readonly http2?: boolean;
}

interface Asked {
  readonly path: string;
  readonly context_token: string;
}

type Call = ServerWritableStream<Asked, object>;

/** What there is to say of a path; a number is a status. */
type Said<T> = T | number;

export interface FakeProfile {
  readonly name?: string;
  readonly opaque?: boolean;
  readonly protocol?: 'HTTP1' | 'HTTP2' | 'OPAQUE';
  readonly endpoint?: FakeEndpoint;
}

const methods = (): ServiceDefinition =>
  loadSync(new URL('../../../proto/destination.proto', import.meta.url).pathname, {
    keepCase: true,
    longs: String,
    defaults: true,
  })['io.linkerd.proxy.destination.Destination'] as unknown as ServiceDefinition;

function ipOf(host: string): object {
  if (!host.includes(':')) return { ipv4: host.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) };
  const [head, tail = ''] = host.split('::');
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const [first, last] = [words(head), words(tail)];
  const all = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
  const half = (from: number): string =>
    all
      .slice(from, from + 4)
      .reduce((sum, word) => (sum << 16n) | BigInt(word), 0n)
      .toString();
  return { ipv6: { first: half(0), last: half(4) } };
}

const address = ({ host, port }: { host: string; port: number }): object => ({ ip: ipOf(host), port });

function weighted(endpoint: FakeEndpoint): object {
  const { opaque = false, identity, proxyPort, http2 = false } = endpoint;
  const hint = {
    ...(opaque ? { opaque: {} } : http2 ? { h2: {} } : {}),
    ...(proxyPort === undefined ? {} : { opaque_transport: { inbound_port: proxyPort } }),
  };
  return {
    addr: address(endpoint),
    weight: 10_000,
    ...(identity === undefined
      ? {}
      : { tls_identity: { dns_like_identity: { name: identity }, server_name: { name: identity } } }),
    ...(Object.keys(hint).length === 0 ? {} : { protocol_hint: hint }),
  };
}

const addOf = (endpoints: readonly FakeEndpoint[]): object => ({ add: { addrs: endpoints.map(weighted) } });
const keyOf = ({ host, port }: FakeEndpoint): string => `${host} ${port}`;

export interface FakeTls {
  readonly certificate: string;
  readonly key: string;
  /** Whoever signs clients' certificates. */
  readonly anchors: string;
}

export class FakeDestinations {
  readonly waiting = new Waiting();
  /** Context tokens that came, last ones last. */
  readonly tokens: string[] = [];
  readonly #profiles = new Map<string, Said<FakeProfile>>();
  readonly #services = new Map<string, Said<readonly FakeEndpoint[]>>();
  readonly #profileCalls = new Map<string, Set<Call>>();
  readonly #endpointCalls = new Map<string, Set<Call>>();
  #server: Server | null = null;
  port = 0;
  /** How often each path was asked for, of both methods. */
  readonly asked = new Map<string, number>();

  constructor(
    private readonly host = '127.0.0.1',
    private readonly tls: FakeTls | null = null,
  ) {}

  /** Listens, on the port that it had before if it had one. */
  async start(): Promise<this> {
    const server = new Server();
    server.addService(methods(), {
      GetProfile: (call: Call) => this.#open(call, this.#profileCalls, this.#profiles, (said) => this.#profile(said)),
      Get: (call: Call) => this.#open(call, this.#endpointCalls, this.#services, (said) => addOf(said)),
    });
    const { tls } = this;
    const credentials =
      tls === null
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(
            Buffer.from(tls.anchors),
            [{ cert_chain: Buffer.from(tls.certificate), private_key: Buffer.from(tls.key) }],
            true,
          );
    this.port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(`${this.host}:${this.port}`, credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
    this.#server = server;
    return this;
  }

  /** Ends at once, with all connections. */
  kill(): void {
    this.#server?.forceShutdown();
    this.#server = null;
    for (const calls of [this.#profileCalls, this.#endpointCalls]) calls.clear();
  }

  /** Says, and says again to whoever asks later. */
  setProfile(path: string, said: Said<FakeProfile>): void {
    this.#profiles.set(path, said);
    for (const call of this.#profileCalls.get(path) ?? []) this.#say(call, said, (profile) => this.#profile(profile));
  }

  /** Likewise; whoever has asked is told what is new and what is gone. */
  setEndpoints(authority: string, said: Said<readonly FakeEndpoint[]>): void {
    const before = this.#services.get(authority);
    this.#services.set(authority, said);
    for (const call of this.#endpointCalls.get(authority) ?? []) {
      if (typeof said === 'number' || typeof before === 'number' || before === undefined) {
        this.#say(call, said, addOf);
        continue;
      }
      const kept = new Set(said.map(keyOf));
      const gone = before.filter((endpoint) => !kept.has(keyOf(endpoint)));
      const had = new Set(before.map((endpoint) => JSON.stringify(endpoint)));
      const come = said.filter((endpoint) => !had.has(JSON.stringify(endpoint)));
      if (come.length > 0) call.write(addOf(come));
      if (gone.length > 0) call.write({ remove: { addrs: gone.map(address) } });
    }
  }

  /** There is a Service, or there is none: either way without endpoints. */
  setNone(authority: string, exists: boolean): void {
    for (const call of this.#endpointCalls.get(authority) ?? []) call.write({ no_endpoints: { exists } });
  }

  /** Streams that are open for a path. */
  open(path: string): number {
    return (this.#profileCalls.get(path)?.size ?? 0) + (this.#endpointCalls.get(path)?.size ?? 0);
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return this.waiting.until(condition, () => what);
  }

  #profile({ name = '', opaque = false, protocol, endpoint }: FakeProfile): object {
    return {
      fully_qualified_name: name,
      opaque_protocol: opaque,
      ...(protocol === undefined ? {} : { protocol }),
      ...(endpoint === undefined ? {} : { endpoint: weighted(endpoint) }),
    };
  }

  #open<T>(
    call: Call,
    calls: Map<string, Set<Call>>,
    all: ReadonlyMap<string, Said<T>>,
    message: (said: T) => object,
  ): void {
    const { path, context_token } = call.request;
    this.tokens.push(context_token);
    this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
    const open = calls.get(path) ?? new Set();
    calls.set(path, open.add(call));
    call.on('cancelled', () => {
      open.delete(call);
      this.waiting.wake();
    });
    const said = all.get(path);
    if (said !== undefined) this.#say(call, said, message);
    this.waiting.wake();
  }

  #say<T>(call: Call, said: Said<T>, message: (said: T) => object): void {
    if (typeof said !== 'number') {
      call.write(message(said));
      return;
    }
    const error: Partial<ServiceError> = { code: said, details: status[said] };
    call.emit('error', error);
  }
}
