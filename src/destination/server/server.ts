// Linkerd's destination API on a port: who has a certificate of the mesh learns what is behind addresses and which endpoints Services
// have, for as long as it wants to know.
import {
  createServer,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Address } from '../../config/model.js';
import { addressText } from '../../discovery/text.js';
import type { Asker, DestinationLookup } from '../lookup.js';
import { DESTINATION_SERVICE } from '../messages.js';
import { RULES_METHOD } from '../ruling-message.js';
import { awaitRequest } from './awaited-request.js';
import { type ConnectionLimits, Connections } from './connections.js';
import { Feed, type FeedEvents } from './feed.js';
import { CallProblem, GrpcCall, httpProblem, STATUS, type Status, timeoutOf } from './grpc-call.js';
import { Listening, type ListeningLimits, type MutualTls } from './listening.js';
import { Pacer } from './pacer.js';
import { type Asked, readRequest } from './request.js';
import { accountOfPeer, type Rules, RulingState } from './rules.js';
import { Topics } from './topics.js';

export interface DestinationLimits extends ListeningLimits, ConnectionLimits {
  /** Calls that one connection may have open, and all together. */
  readonly maxStreams: number;
  readonly maxAllStreams: number;
  /** Octets of a request. */
  readonly maxMessageBytes: number;
  /** From the begin of a call to the end of its request. */
  readonly requestMs: number;
  /** Between messages of one stream. */
  readonly intervalMs: number;
  /** A stream whose reader does not read is ended. */
  readonly stalledMs: number;
  /** From SIGTERM to the last GOAWAY, and to the end of what is open. */
  readonly spreadMs: number;
  readonly graceMs: number;
}

export const DESTINATION_LIMITS: DestinationLimits = {
  maxConnections: 10_000,
  handshakeMs: 10_000,
  maxStreams: 1000,
  maxAllStreams: 200_000,
  maxMessageBytes: 16_384,
  requestMs: 10_000,
  idleMs: 60_000,
  pingMs: 30_000,
  pongMs: 20_000,
  maxAgeMs: 3_600_000,
  intervalMs: 20,
  stalledMs: 60_000,
  spreadMs: 5000,
  graceMs: 10_000,
};

/** What goes wrong on a stream is its caller's own business. */
const ignored = (): void => undefined;

export const METHODS = ['get', 'profile', 'rules'] as const;
export type Method = (typeof METHODS)[number];

const PATHS: Readonly<Record<string, Method>> = {
  [`/${DESTINATION_SERVICE}/Get`]: 'get',
  [`/${DESTINATION_SERVICE}/GetProfile`]: 'profile',
  [RULES_METHOD]: 'rules',
};

export interface DestinationEvents {
  begun(method: Method): void;
  ended(method: Method): void;
  /** A call that gets no stream, or a stream that is ended by us. */
  refused(status: Status): void;
  connectionRefused(reason: 'limit' | 'handshake'): void;
  sent(method: Method, octets: number, lagMs: number): void;
  encoded(): void;
  coalesced(): void;
}

export interface DestinationServerOptions {
  /** null: plain text. */
  readonly tls: MutualTls | null;
  readonly clusterDomain: string;
  /** Who may do what in the mesh; null: this server does not say. */
  readonly rules?: Rules | null;
  readonly limits: DestinationLimits;
}

export class DestinationServer {
  readonly #listening: Listening;
  readonly #http2: Http2Server;
  readonly #connections: Connections;
  readonly #topics: Topics;
  readonly #pacer: Pacer;
  readonly #stalled = new Set<Feed>();
  readonly #feedEvents: Readonly<Record<Method, FeedEvents>>;
  readonly #limits: DestinationLimits;
  readonly #gone = (): void => {
    this.#streams -= 1;
  };
  #streams = 0;

  constructor(
    lookup: DestinationLookup,
    private readonly options: DestinationServerOptions,
    private readonly events: DestinationEvents,
  ) {
    const { limits, tls } = options;
    this.#limits = limits;
    this.#topics = new Topics(lookup, () => events.encoded());
    this.#pacer = new Pacer(limits.intervalMs);
    this.#feedEvents = {
      get: this.#eventsOf('get'),
      profile: this.#eventsOf('profile'),
      rules: this.#eventsOf('rules'),
    };
    this.#connections = new Connections(limits, (nowMs) => this.#endStalled(nowMs));
    this.#http2 = createServer({ settings: { maxConcurrentStreams: limits.maxStreams, enablePush: false } });
    this.#http2.on('session', (session) => this.#connections.add(session));
    this.#http2.on('sessionError', () => undefined);
    this.#http2.on('stream', (stream, headers) => this.#call(stream, headers));
    this.#listening = new Listening(tls, limits, {
      connected: (socket) => this.#http2.emit('connection', socket),
      refused: (reason) => events.connectionRefused(reason),
    });
  }

  get port(): number {
    return this.#listening.port;
  }

  get connections(): number {
    return this.#listening.connections;
  }

  /** Streams whose readers do not read. */
  get stalled(): number {
    return this.#stalled.size;
  }

  /** Services and addresses that are watched. */
  get topics(): number {
    return this.#topics.size;
  }

  listen(address: Address): Promise<void> {
    return this.#listening.listen(address);
  }

  /** New connections are made with this. */
  use(tls: MutualTls): void {
    this.#listening.use(tls);
  }

  /** Callers are sent elsewhere; true if nothing had to be cut off. */
  async close(): Promise<boolean> {
    this.#listening.close();
    const clean = await this.#connections.drain(this.#limits.spreadMs, this.#limits.graceMs);
    this.#listening.cut();
    return clean;
  }

  #call(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', ignored);
    const status = httpProblem(headers);
    if (status !== null) {
      stream.respond({ ':status': status }, { endStream: true });
      stream.resume().close();
      return;
    }
    const call = new GrpcCall(stream);
    const method = PATHS[String(headers[':path'])];
    if (method === undefined || (method === 'rules' && !this.options.rules))
      this.#refuse(call, new CallProblem(STATUS.unimplemented, 'there is no such method'));
    else if (this.#streams >= this.#limits.maxAllStreams)
      this.#refuse(call, new CallProblem(STATUS.resourceExhausted, `${this.#streams} streams are open already`));
    else this.#read(stream, headers, call, method);
  }

  #read(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, call: GrpcCall, method: Method): void {
    this.#streams += 1;
    stream.once('close', this.#gone);
    awaitRequest(stream, this.#limits, (outcome) => {
      if (outcome instanceof CallProblem) this.#refuse(call, outcome);
      else
        try {
          const domain = method === 'rules' ? null : this.options.clusterDomain;
          this.#begin(stream, headers, call, method, readRequest(outcome, domain));
        } catch (error) {
          this.#refuse(call, error);
        }
    });
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, call: GrpcCall, method: Method, asked: Asked): void {
    if (method === 'get' && asked.target.kind === 'address')
      throw new CallProblem(STATUS.invalidArgument, 'addresses have a profile; endpoints are those of Services');
    if (!call.open) return;
    call.accept();
    const feed = new Feed(call, this.#pacer, this.#feedEvents[method]);
    const { session } = stream;
    const leave = this.#subscribe(feed, method, asked, session);
    this.#connections.begun(session, call);
    this.events.begun(method);
    const timeoutMs = timeoutOf(headers);
    const over = (): void => call.end(STATUS.deadlineExceeded, 'the time is over');
    const timer = timeoutMs === null ? null : setTimeout(over, timeoutMs);
    stream.once('close', () => {
      if (timer !== null) clearTimeout(timer);
      this.#connections.ended(session, call);
      feed.end();
      leave();
      this.events.ended(method);
    });
  }

  /** A certificate says whose rules these are. In plain text, for trials, whoever asks says so. */
  #follow(feed: Feed, asker: Asker, session: Http2Session | undefined): () => void {
    const peer = accountOfPeer(session) ?? { namespace: this.options.tls === null ? asker.namespace : '', account: '' };
    const watch = this.options.rules?.watch(peer.namespace, peer.account, (ruling) =>
      feed.changed(new RulingState(ruling)),
    );
    return () => watch?.stop();
  }

  #subscribe(feed: Feed, method: Method, asked: Asked, session: Http2Session | undefined): () => void {
    const { target, asker } = asked;
    if (target.kind === 'rules') return this.#follow(feed, asker, session);
    if (target.kind === 'address') return this.#topics.profile(target.address, asker, feed);
    if (method === 'profile') return this.#topics.profile(target.name, asker, feed);
    return this.#topics.endpoints(addressText(target.name), asker, feed);
  }

  #eventsOf(method: Method): FeedEvents {
    return {
      sent: (octets, lagMs) => this.events.sent(method, octets, lagMs),
      coalesced: () => this.events.coalesced(),
      stalled: (feed) => this.#stalled.add(feed),
      flows: (feed) => this.#stalled.delete(feed),
    };
  }

  #endStalled(nowMs: number): void {
    for (const feed of this.#stalled) {
      if (nowMs - feed.stalledMs < this.#limits.stalledMs) continue;
      this.events.refused(STATUS.resourceExhausted);
      feed.cut();
    }
  }

  #refuse(call: GrpcCall, error: unknown): void {
    const problem = error instanceof CallProblem ? error : new CallProblem(STATUS.internal, 'internal error');
    this.events.refused(problem.status);
    call.end(problem.status, problem.message);
  }
}
