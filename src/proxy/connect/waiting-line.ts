// Requests in line for an HTTP/2 connection to an endpoint: they leave it for a connection, for another endpoint, or for the other version
// of HTTP.
import type { Context } from '../context.js';
import { WHY } from '../exchange/reasons.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { Dialer } from './dialer.js';
import type { Http2Pool } from './http2-pool.js';
import { KNOWN, SERVICE_PROTOCOL, VERSION } from './protocols.js';

export class WaitingLine {
  constructor(
    private readonly context: Context,
    private readonly pool: Http2Pool,
    private readonly dialer: Dialer,
    private readonly reports: Reports,
  ) {}

  /** Gives streams in line for `endpoint` a connection, as far as possible. */
  serve(endpoint: number): void {
    for (;;) {
      const x = this.pool.first(endpoint);
      if (x < 0) return;
      if (this.pool.ready(endpoint) === null) {
        const result = this.pool.ensure(endpoint);
        if (result < 0 && this.pool.of(endpoint).length === 0) this.disband(endpoint, WHY.CONNECT_FAILED);
        return;
      }
      this.reports.control.ready(x as ExchangeSlot);
    }
  }

  /** The capacity of `endpoint` has changed: requests in line may find room, or need another connection. */
  takes(endpoint: number): void {
    this.pool.gauge(endpoint);
    this.serve(endpoint);
    this.pool.spare(endpoint);
  }

  /**
   * The endpoint of `socket` closed, or `said` something in HTTP/1, before its SETTINGS. True if it is now taken not to speak HTTP/2 and
   * may be asked with HTTP/1.
   */
  unspoken(socket: SocketSlot, said: boolean): boolean {
    const { services, endpoints, protocols, connections } = this.context;
    const endpoint = connections.endpoint[socket];
    const service = endpoints.service[endpoint];
    if (service < 0) return false;
    if (services.protocol[service] !== SERVICE_PROTOCOL.AUTO) {
      this.dialer.unusable(socket);
      return false;
    }
    // An endpoint that spoke HTTP/2 before may only be shutting down; try again.
    const leaving = !said && protocols.spoken(endpoint, VERSION.HTTP2);
    protocols.learn(endpoint, VERSION.HTTP2, leaving ? KNOWN.UNKNOWN : KNOWN.REFUSED, !said);
    return !leaving;
  }

  /** Sends the requests in line for `endpoint` there with HTTP/1. */
  overHttp1(endpoint: number): void {
    const last = this.pool.last(endpoint);
    for (let x = this.pool.first(endpoint); x >= 0; x = this.pool.first(endpoint)) {
      this.reports.control.misunderstood(x as ExchangeSlot);
      // Those that return to this line wait for the next dial.
      if (x === last) return;
    }
  }

  /** Sends the requests in line for `endpoint` to another endpoint. */
  disband(endpoint: number, why: number): void {
    // Without another endpoint they return to the end of this line and wait for the next dial.
    const last = this.pool.last(endpoint);
    for (let x = this.pool.first(endpoint); x >= 0; x = this.pool.first(endpoint)) {
      this.reports.control.undialled(x as ExchangeSlot, why);
      if (x === last) return;
    }
  }
}
