// Requests queued for an HTTP/2 connection to an endpoint: they leave the queue for a connection, for another endpoint, or for the other
// version of HTTP.
import type { Context } from '../context.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { Dialer } from './dialer.js';
import type { Http2Pool } from './http2-pool.js';
import { KNOWN, SERVICE_PROTOCOL, VERSION } from './protocols.js';

export class PendingRequests {
  constructor(
    private readonly context: Context,
    private readonly pool: Http2Pool,
    private readonly dialer: Dialer,
    private readonly reports: Reports,
  ) {}

  /** Gives streams queued for `endpoint` a connection, as far as possible. */
  serve(endpoint: number): void {
    for (;;) {
      const x = this.pool.first(endpoint);
      if (x < 0) return;
      if (this.pool.ready(endpoint) === null) {
        const result = this.pool.ensure(endpoint);
        if (result < 0 && this.pool.of(endpoint).length === 0) this.failover(endpoint, REPLY_REASON.CONNECT_FAILED);
        return;
      }
      this.reports.events.ready(x as ExchangeSlot);
    }
  }

  /** The capacity of `endpoint` has changed: queued requests may find room, or need another connection. */
  capacityChanged(endpoint: number): void {
    this.pool.gauge(endpoint);
    this.serve(endpoint);
    this.pool.spare(endpoint);
  }

  /**
   * The endpoint of `socket` closed, or spoke HTTP/1 (`spokeHttp1`), before its SETTINGS. True if it is now taken not to speak HTTP/2 and
   * may be asked with HTTP/1.
   */
  learnNotHttp2(socket: SocketSlot, spokeHttp1: boolean): boolean {
    const { services, endpoints, protocols, connections } = this.context;
    const endpoint = connections.endpoint[socket];
    const service = endpoints.service[endpoint];
    if (service < 0) return false;
    if (services.protocol[service] !== SERVICE_PROTOCOL.AUTO) {
      this.dialer.wrongProtocol(socket);
      return false;
    }
    // An endpoint that spoke HTTP/2 before may only be shutting down; try again.
    const restarting = !spokeHttp1 && protocols.spoken(endpoint, VERSION.HTTP2);
    protocols.learn(endpoint, VERSION.HTTP2, restarting ? KNOWN.UNKNOWN : KNOWN.REFUSED, !spokeHttp1);
    return !restarting;
  }

  /** Sends the queued requests for `endpoint` there with HTTP/1. */
  sendOverHttp1(endpoint: number): void {
    const last = this.pool.last(endpoint);
    for (let x = this.pool.first(endpoint); x >= 0; x = this.pool.first(endpoint)) {
      this.reports.events.wrongVersion(x as ExchangeSlot);
      // Those that return to this line wait for the next dial.
      if (x === last) return;
    }
  }

  /** Sends the queued requests for `endpoint` to another endpoint. */
  failover(endpoint: number, why: number): void {
    // Without another endpoint they return to the end of this line and wait for the next dial.
    const last = this.pool.last(endpoint);
    for (let x = this.pool.first(endpoint); x >= 0; x = this.pool.first(endpoint)) {
      this.reports.events.connectFailed(x as ExchangeSlot, why);
      if (x === last) return;
    }
  }
}
