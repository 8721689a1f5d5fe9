// Linkerd's destination API on a port: clients with a certificate of the mesh get profiles of addresses and endpoints of Services, for as
// long as they watch them.
import {
  createServer,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Address } from '../../config/model.js';
import { addressText } from '../../discovery/text.js';
import { FairShare } from '../../listening/fair-share.js';
import { Http2Listener, type ListeningLimits, type MutualTls } from '../../listening/http2-listener.js';
import type { DestinationLookup, Requester } from '../lookup.js';
import { DESTINATION_SERVICE } from '../messages.js';
import { RULES_METHOD } from '../rules-message.js';
import { awaitRequest } from './awaited-request.js';
import { Call, type Method } from './call.js';
import { CallQueue } from './call-queue.js';
import { type ConnectionLimits, Connections } from './connections.js';
import { Feed, type FeedEvents } from './feed.js';
import { CallProblem, GrpcCall, httpProblem, STATUS, type Status, timeoutOf } from './grpc-call.js';
import { Pacer } from './pacer.js';
import { type ParsedRequest, readRequest } from './request.js';
import { accountOfPeer, type Rules, RulesState } from './rules.js';
import { Stalled, type StalledLimits } from './stalled.js';
import { type Subscription, Topics } from './topics.js';

export interface DestinationLimits extends ListeningLimits, ConnectionLimits, StalledLimits {
  /** Maximum open calls per connection, and in total; no address gets more than half of the rest. */
  readonly maxStreams: number;
  readonly maxAllStreams: number;
  /** Maximum bytes of a request. */
  readonly maxMessageBytes: number;
  /** Time from the start of a call to the end of its request. */
  readonly requestMs: number;
  /** Minimum interval between messages of one stream. */
  readonly intervalMs: number;
  /** Time from SIGTERM to the last GOAWAY, and to the end of everything open. */
  readonly spreadMs: number;
  readonly graceMs: number;
}

export const DESTINATION_LIMITS: DestinationLimits = {
  maxConnections: 10_000,
  handshakeMs: 10_000,
  maxStreams: 2500,
  maxAllStreams: 200_000,
  maxMessageBytes: 16_384,
  requestMs: 10_000,
  idleMs: 60_000,
  pingMs: 30_000,
  pongMs: 20_000,
  maxAgeMs: 3_600_000,
  intervalMs: 20,
  stalledMs: 60_000,
  maxStalledBytes: 1 << 26,
  spreadMs: 5000,
  graceMs: 10_000,
};

/**
 * Waiting data on a connection, by Node's count: with more, new streams are refused. A proxy with 20 large Services may ask for all of them
 * at once. Shared data is counted for each stream; really it exists once, and is limited by `Stalled`.
 */
const SESSION_MEBIBYTES = 64;
/** Calls of one connection that start in one turn of the event loop. */
const CALLS_PER_TURN = 8;

/** A call with a complete request. */
interface Waiting {
  readonly call: Call;
  readonly asked: ParsedRequest;
  readonly timeoutMs: number | null;
}

const PATHS: Readonly<Record<string, Method>> = {
  [`/${DESTINATION_SERVICE}/Get`]: 'get',
  [`/${DESTINATION_SERVICE}/GetProfile`]: 'profile',
  [RULES_METHOD]: 'rules',
};

export interface DestinationEvents {
  begun(method: Method): void;
  ended(method: Method): void;
  /** A call that gets no stream, or a stream that we ended. */
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
  /** The mesh's authorization rules; null: not served here. */
  readonly rules?: Rules | null;
  readonly limits: DestinationLimits;
}

export class DestinationServer {
  readonly #listening: Http2Listener;
  readonly #http2: Http2Server;
  readonly #connections: Connections;
  readonly #topics: Topics;
  readonly #pacer: Pacer;
  readonly #stalled: Stalled;
  readonly #shares: FairShare;
  readonly #callQueue = new CallQueue<Http2Session | undefined, Waiting>(CALLS_PER_TURN, (waiting) =>
    this.#begin(waiting),
  );
  readonly #feedEvents: Readonly<Record<Method, FeedEvents>>;
  readonly #limits: DestinationLimits;
  readonly #gone = (call: Call): void => {
    this.#shares.give(call.peer);
    if (call.feed === null) return;
    this.#connections.ended(call.session, call);
    this.events.ended(call.method);
  };

  constructor(
    lookup: DestinationLookup,
    private readonly options: DestinationServerOptions,
    private readonly events: DestinationEvents,
  ) {
    const { limits, tls } = options;
    this.#limits = limits;
    this.#topics = new Topics(lookup, () => events.encoded());
    this.#pacer = new Pacer(limits.intervalMs);
    this.#shares = new FairShare(limits.maxAllStreams);
    this.#stalled = new Stalled(limits, () => events.refused(STATUS.resourceExhausted));
    this.#feedEvents = {
      get: this.#eventsOf('get'),
      profile: this.#eventsOf('profile'),
      rules: this.#eventsOf('rules'),
    };
    this.#connections = new Connections(limits, (nowMs) => this.#stalled.sweep(nowMs));
    this.#http2 = createServer({
      settings: { maxConcurrentStreams: limits.maxStreams, enablePush: false },
      maxSessionMemory: SESSION_MEBIBYTES,
    });
    this.#http2.on('session', (session) => this.#connections.add(session));
    this.#http2.on('sessionError', () => undefined);
    this.#http2.on('stream', (stream, headers) => this.#call(stream, headers));
    this.#listening = new Http2Listener(tls, limits, {
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

  /** Streams with stalled readers. */
  get stalled(): number {
    return this.#stalled.size;
  }

  /** Watched Services and addresses. */
  get topics(): number {
    return this.#topics.size;
  }

  listen(address: Address): Promise<void> {
    return this.#listening.listen(address);
  }

  /** Sets the certificate for new connections. */
  use(tls: MutualTls): void {
    this.#listening.use(tls);
  }

  /** Sends callers elsewhere; true if nothing had to be cut off. */
  async close(): Promise<boolean> {
    this.#listening.close();
    const clean = await this.#connections.drain(this.#limits.spreadMs, this.#limits.graceMs);
    this.#listening.destroyAll();
    return clean;
  }

  #call(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const status = httpProblem(headers);
    const method = PATHS[String(headers[':path'])];
    const peer = stream.session?.socket?.remoteAddress ?? '';
    if (status !== null) {
      stream.on('error', () => undefined).respond({ ':status': status }, { endStream: true });
      stream.resume().close();
    } else if (method === undefined || (method === 'rules' && !this.options.rules))
      this.#refuse(new GrpcCall(stream), new CallProblem(STATUS.unimplemented, 'there is no such method'));
    else if (this.#shares.take(peer)) this.#read(new Call(stream, method, peer, this.#gone), headers);
    else {
      const problem = `${this.#shares.taken} streams are open already`;
      this.#refuse(new GrpcCall(stream), new CallProblem(STATUS.resourceExhausted, problem));
    }
  }

  #read(call: Call, headers: IncomingHttpHeaders): void {
    const timeoutMs = timeoutOf(headers);
    awaitRequest(call.stream, this.#limits, (outcome) => {
      if (outcome instanceof CallProblem) this.#refuse(call, outcome);
      else
        try {
          const domain = call.method === 'rules' ? null : this.options.clusterDomain;
          const asked = readRequest(outcome, domain);
          if (call.method === 'get' && asked.target.kind === 'address')
            throw new CallProblem(
              STATUS.invalidArgument,
              'addresses have only a profile; ask for the endpoints of a Service',
            );
          this.#callQueue.add(call.session, { call, asked, timeoutMs });
        } catch (error) {
          this.#refuse(call, error);
        }
    });
  }

  #begin({ call, asked, timeoutMs }: Waiting): void {
    if (!call.open) return;
    const { method, session } = call;
    try {
      call.accept();
      const feed = new Feed(call, this.#pacer, this.#feedEvents[method]);
      call.feed = feed;
      this.events.begun(method);
      this.#connections.begun(session, call);
      if (timeoutMs !== null)
        call.timer = setTimeout(() => call.end(STATUS.deadlineExceeded, 'the deadline has passed'), timeoutMs);
      if (call.open) feed.subscription = this.#subscribe(feed, method, asked, session);
    } catch (error) {
      this.#refuse(call, error);
    }
  }

  /** The certificate determines whose rules apply. In plain text, for experiments, the caller names itself. */
  #follow(feed: Feed, requester: Requester, session: Http2Session | undefined): Subscription {
    const peer = accountOfPeer(session) ?? {
      namespace: this.options.tls === null ? requester.namespace : '',
      account: '',
    };
    const watch = this.options.rules?.watch(peer.namespace, peer.account, (rules) =>
      feed.changed(new RulesState(rules)),
    );
    return { leave: () => watch?.stop() };
  }

  /** null: it gets nothing more. */
  #subscribe(feed: Feed, method: Method, asked: ParsedRequest, session: Http2Session | undefined): Subscription | null {
    const { target, requester } = asked;
    if (target.kind === 'rules') return this.#follow(feed, requester, session);
    if (target.kind === 'address') return this.#topics.profile(target.address, requester, feed);
    if (method === 'profile') return this.#topics.profile(target.name, requester, feed);
    return this.#topics.endpoints(addressText(target.name), requester, feed);
  }

  #eventsOf(method: Method): FeedEvents {
    return {
      sent: (octets, lagMs) => this.events.sent(method, octets, lagMs),
      coalesced: () => this.events.coalesced(),
      stalled: (feed, octets) => this.#stalled.add(feed, octets),
      flows: (feed) => this.#stalled.delete(feed),
    };
  }

  #refuse(call: GrpcCall, error: unknown): void {
    const problem = error instanceof CallProblem ? error : new CallProblem(STATUS.internal, 'internal error');
    this.events.refused(problem.status);
    call.end(problem.status, problem.message);
  }
}
