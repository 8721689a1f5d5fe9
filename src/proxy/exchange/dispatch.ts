// Sends a request: picks an endpoint, translates the head to its version, and leases or dials a connection; or queues the request for
// one.
import { ascii } from '../../http/octets.js';
import { ORIGIN } from '../../http/orig-proto.js';
import { MESSAGE_ERRORS } from '../../http1/errors.js';
import { LIMITS, S } from '../../metrics/layout.js';
import { DIAL } from '../connect/dialer.js';
import { SERVICE_PROTOCOL, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import { NO_BUFFER } from '../http1/stream-body-writer.js';
import type { ExchangeSlot } from '../slots.js';
import { type Exchanges, MAX_ATTEMPTS, STATE } from './exchange.js';
import type { ExchangeStats } from './exchange-stats.js';
import { LEASE, type Legs, SOURCE } from './legs.js';
import { connectFailureReason, REPLY_REASON } from './reply-reasons.js';

const NONE = -1;
const LIMIT_PEER_HEADER_BYTES = LIMITS.indexOf('h2-peer-header-bytes');
const TOO_LARGE = ascii('fields larger than the endpoint accepts');

export class Dispatcher {
  // If `send` did not send: the answer for the client.
  status = 503;
  why: number = REPLY_REASON.NO_ENDPOINT;
  detail: Uint8Array | null = null;
  /** The rest of the request has framing for the other version than the available endpoints speak. */
  unsendable = false;
  /** Where the request is; a copy that needs translation is sent from the kept request. */
  private source: number = SOURCE.FRESH;

  constructor(
    private readonly context: Context,
    private readonly core: { readonly clock: Float64Array },
    private readonly exchanges: Exchanges,
    private readonly legs: Legs,
    private readonly stats: ExchangeStats,
  ) {}

  /**
   * Sends the request at `source` (QUEUED: on the socket `from`) to an endpoint other than `exclude`, or to `first` if that is not -1.
   * `newConnection`: not on an idle one. False if it can't be sent; then `status`, `why` and `detail` give the reason.
   */
  send(x: ExchangeSlot, source: number, from: number, exclude: number, first: number, newConnection: boolean): boolean {
    const { exchanges, context, legs } = this;
    const { balancer } = context;
    let avoid = exclude;
    let picked = first;
    this.fail(503, REPLY_REASON.NO_ENDPOINT);
    this.core.clock[0] = context.reactor.now;
    while (picked >= 0 || exchanges.attempts[x] < MAX_ATTEMPTS) {
      const endpoint = picked >= 0 ? picked : this.pick(x, avoid, exclude);
      picked = NONE;
      if (endpoint < 0) break;
      const ejections = balancer.begin(endpoint);
      if (exchanges.ejections[x] !== ejections) exchanges.ejections[x] = ejections;
      const version = this.version(x, endpoint);
      this.source = source;
      if (!legs.canSend(x, version, source)) {
        // The rest of the request has the other version's framing.
        balancer.abandon(endpoint, exchanges.ejections[x]);
        avoid = endpoint;
        this.unsendable = this.why === REPLY_REASON.NO_ENDPOINT;
        continue;
      }
      if (source === SOURCE.QUEUED && version === VERSION.HTTP2) this.source = SOURCE.REPLAY;
      const error = legs.prepare(x, version, this.source);
      if (error !== 0) {
        balancer.abandon(endpoint, exchanges.ejections[x]);
        this.translationFailed(error);
        return false;
      }
      exchanges.version[x] = version;
      exchanges.endpoint[x] = endpoint;
      const result = legs.lease(x, endpoint, version, newConnection);
      if (result >= 0) return this.leased(x, result, from);
      legs.discardPrepared();
      balancer.abandon(endpoint, exchanges.ejections[x]);
      if (result === LEASE.NO_WEBSOCKETS) {
        this.fail(501, REPLY_REASON.NOT_IMPLEMENTED);
        return false;
      }
      this.leaseFailed(result, endpoint);
      avoid = endpoint;
    }
    if (this.why === REPLY_REASON.NO_ENDPOINT && !this.unsendable) {
      const { services, values } = context;
      const service = exchanges.service[x];
      values[services.base[service] + S.NO_ENDPOINT]++;
      if (services.unresolved[service] === 1) this.why = REPLY_REASON.UNRESOLVED;
    }
    return false;
  }

  /** A connection is available for the queued request. False as for `send`. */
  dequeue(x: ExchangeSlot): boolean {
    const { legs } = this;
    this.unsendable = false;
    this.core.clock[0] = this.context.reactor.now;
    const error = legs.prepare(x, VERSION.HTTP2, SOURCE.REPLAY);
    if (error !== 0) {
      this.translationFailed(error);
      return false;
    }
    const result = legs.dequeue(x);
    if (result === LEASE.PENDING) return true;
    if (result < 0) {
      if (result === LEASE.NO_WEBSOCKETS) this.fail(501, REPLY_REASON.NOT_IMPLEMENTED);
      else this.leaseFailed(result, this.exchanges.endpoint[x]);
      return false;
    }
    return this.sendLeased(x, SOURCE.REPLAY, NONE);
  }

  /** Picks an endpoint; -1 if there is none. */
  private pick(x: ExchangeSlot, avoid: number, exclude: number): number {
    const { balancer, reactor } = this.context;
    const service = this.exchanges.service[x];
    this.exchanges.attempts[x]++;
    const endpoint = balancer.pickRequest(service, reactor.ms, avoid);
    if (endpoint >= 0 || avoid < 0 || avoid !== exclude) return endpoint;
    // Better the same endpoint again than none: it may have just restarted.
    return balancer.pickRequest(service, reactor.ms, NONE);
  }

  /** The HTTP version for the request to `endpoint`: its client's, unless that is known to fail. */
  private version(x: ExchangeSlot, endpoint: number): number {
    const { exchanges } = this;
    exchanges.origProto[x] = 0;
    let wanted: number = exchanges.isStream(x) && exchanges.origin[x] === ORIGIN.NONE ? VERSION.HTTP2 : VERSION.HTTP1;
    // Every HTTP/1 server knows Upgrade and CONNECT; few HTTP/2 servers accept them.
    if (exchanges.asksForTunnel(x)) wanted = VERSION.HTTP1;
    const { protocols, services } = this.context;
    const service = exchanges.service[x];
    if (this.context.endpoints.origProto[endpoint] === 1 && this.usesOrigProto(x, endpoint)) {
      exchanges.origProto[x] = exchanges.isStream(x) ? 0 : 1;
      return VERSION.HTTP2;
    }
    // A call is never translated unless its service says so: a server that answers it with HTTP/1 is not a gRPC server. Waiting costs it
    // nothing.
    if (exchanges.grpc[x] === 1 && services.protocol[service] === SERVICE_PROTOCOL.AUTO) return VERSION.HTTP2;
    return protocols.choose(service, endpoint, wanted, exchanges.bodyless[x] === 1);
  }

  /** Whether a request goes to the proxy in front of `endpoint` over HTTP/2 whatever its version; requests for tunnels do not. */
  private usesOrigProto(x: ExchangeSlot, endpoint: number): boolean {
    return !this.exchanges.asksForTunnel(x) && !this.context.protocols.refused(endpoint, VERSION.HTTP2);
  }

  private leased(x: ExchangeSlot, result: number, from: number): boolean {
    const { exchanges, legs } = this;
    if (result === LEASE.PENDING) {
      legs.discardPrepared();
      exchanges.state[x] = STATE.PENDING;
      if (legs.dialling(x)) this.stats.dispatched(x);
      return true;
    }
    return this.sendLeased(x, this.source, from);
  }

  /** Sends the request on the leased leg. False as for `send`. */
  private sendLeased(x: ExchangeSlot, source: number, from: number): boolean {
    this.exchanges.state[x] = STATE.SENT;
    this.stats.dispatched(x);
    if (this.legs.send(x, source, from)) return true;
    if (this.legs.trailersFit) this.fail(503, REPLY_REASON.MEMORY);
    else this.tooLarge();
    return false;
  }

  /** The endpoint has announced that it accepts no fields of this size: it is not tried, and not at fault. */
  private tooLarge(): void {
    this.context.limited(LIMIT_PEER_HEADER_BYTES);
    this.fail(431, REPLY_REASON.HEADER_TOO_LARGE);
    this.detail = TOO_LARGE;
  }

  /** `endpoint` was not available, for the reason that `lease` gave. */
  private leaseFailed(result: number, endpoint: number): void {
    if (result === LEASE.MEMORY) this.fail(503, REPLY_REASON.MEMORY);
    else if (result === LEASE.TOO_LARGE) this.tooLarge();
    else {
      const why = connectFailureReason(result, this.context.balancer.lastFailure(endpoint));
      this.fail(result !== DIAL.PACED ? 503 : why === REPLY_REASON.CONNECT_TIMEOUT ? 504 : 502, why);
    }
  }

  private translationFailed(error: number): void {
    if (error === NO_BUFFER) {
      this.fail(503, REPLY_REASON.MEMORY);
      return;
    }
    const info = MESSAGE_ERRORS[-error];
    this.fail(info.status, info.reasonIndex);
    this.detail = info.detailBytes;
  }

  private fail(status: number, why: number): void {
    this.status = status;
    this.why = why;
    this.detail = null;
    this.unsendable = false;
  }
}
