// The line of requests that wait for an HTTP/2 connection of an endpoint: who leaves it for a connection, for another endpoint, or for the
// other version of HTTP.
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

  /** Streams that wait for a connection of `endpoint` get one, as far as there are any. */
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

  /** What `endpoint` takes has changed: those in line may have a place, or need another connection. */
  takes(endpoint: number): void {
    this.pool.gauge(endpoint);
    this.serve(endpoint);
    this.pool.spare(endpoint);
  }

  /**
   * The endpoint of `socket` has closed, or `said` something in HTTP/1, before its SETTINGS. True if it is taken from now on for one
   * that does not speak HTTP/2, and may be asked by HTTP/1.
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
    // One that has spoken HTTP/2 until now may only be on its way out, and is to be asked again.
    const leaving = !said && protocols.spoken(endpoint, VERSION.HTTP2);
    protocols.learn(endpoint, VERSION.HTTP2, leaving ? KNOWN.UNKNOWN : KNOWN.REFUSED, !said);
    return !leaving;
  }

  /** Whoever waits for a connection of `endpoint` goes there by HTTP/1. */
  overHttp1(endpoint: number): void {
    const last = this.pool.last(endpoint);
    for (let x = this.pool.first(endpoint); x >= 0; x = this.pool.first(endpoint)) {
      this.reports.control.misunderstood(x as ExchangeSlot);
      // Should any come back to this line, they wait for the connection that is dialled next.
      if (x === last) return;
    }
  }

  /** Whoever waits for a connection of `endpoint` is sent to another one. */
  disband(endpoint: number, why: number): void {
    // Where there is no other endpoint they come back to the end of this line, for the connection that is dialled next.
    const last = this.pool.last(endpoint);
    for (let x = this.pool.first(endpoint); x >= 0; x = this.pool.first(endpoint)) {
      this.reports.control.undialled(x as ExchangeSlot, why);
      if (x === last) return;
    }
  }
}
