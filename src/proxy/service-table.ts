// Settings of services as typed arrays: what the data path reads for each request and connection.
import type { ServiceProtocol } from '../config/model.js';
import { column } from '../http/columns.js';
import { PagedArray } from '../io/paged-array.js';
import { serviceBase } from '../metrics/layout.js';
import { SERVICE_SLOTS } from './capacity.js';
import { SERVICE_PROTOCOL } from './connect/protocols.js';
import type { ServiceSettings } from './snapshot.js';

const PROTOCOL_OF: Readonly<Record<ServiceProtocol, number>> = {
  auto: SERVICE_PROTOCOL.AUTO,
  http1: SERVICE_PROTOCOL.HTTP1,
  http2: SERVICE_PROTOCOL.HTTP2,
  opaque: SERVICE_PROTOCOL.OPAQUE,
};

/** Services by slot. A slot is undefined until it is configured. */
export class ServiceTable {
  readonly connectTimeoutMs = column(Float64Array, SERVICE_SLOTS);
  readonly hedgeDelayMs = column(Float64Array, SERVICE_SLOTS);
  readonly responseTimeoutMs = column(Float64Array, SERVICE_SLOTS);
  /** Allowed silence in a body, -1 for the limits of the HTTP versions; and in an event stream or gRPC call. 0 is no limit. */
  readonly bodyTimeoutMs = column(Float64Array, SERVICE_SLOTS);
  readonly streamTimeoutMs = column(Float64Array, SERVICE_SLOTS);
  readonly poolIdleMs = column(Float64Array, SERVICE_SLOTS);
  readonly maxIdle = column(Int32Array, SERVICE_SLOTS);
  readonly maxConnections = column(Int32Array, SERVICE_SLOTS);
  /** For HTTP/2 connections to one endpoint: streams per connection, age (0 is no limit), spares, maximum number. */
  readonly poolMaxStreams = column(Int32Array, SERVICE_SLOTS);
  readonly poolMaxAgeMs = column(Int32Array, SERVICE_SLOTS);
  readonly poolSpares = column(Int32Array, SERVICE_SLOTS);
  readonly http2Connections = column(Int32Array, SERVICE_SLOTS);
  /** Bytes of a request to keep for retries. */
  readonly replayBytes = column(Int32Array, SERVICE_SLOTS);
  readonly keepAliveMs = column(Int32Array, SERVICE_SLOTS);
  readonly userTimeoutMs = column(Int32Array, SERVICE_SLOTS);
  /** Slab position of the service's name: the Host of requests that came without one. */
  readonly hostAt = column(Int32Array, SERVICE_SLOTS);
  readonly hostLength = column(Int32Array, SERVICE_SLOTS);
  /** 1: its endpoints are not known yet. */
  readonly unresolved = column(Uint8Array, SERVICE_SLOTS);
  /** As configured. */
  readonly name = new PagedArray<string>(SERVICE_SLOTS, '');
  /** 1: the endpoints do not speak HTTP, so HTTP is relayed unread. */
  readonly opaque = column(Uint8Array, SERVICE_SLOTS);
  /** Version of the PROXY header sent to endpoints; 0 for none. */
  readonly proxyProtocol = column(Uint8Array, SERVICE_SLOTS);
  /** Slot of the TLS profile for dialling its endpoints; 0: none. */
  readonly tls = column(Int32Array, SERVICE_SLOTS);
  /** 1: clients' own TLS goes to endpoints with an identity inside ours. */
  readonly wrapsTls = column(Uint8Array, SERVICE_SLOTS);
  /** One of SERVICE_PROTOCOL. */
  readonly protocol = column(Uint8Array, SERVICE_SLOTS);
  /**
   * Slot of the service's series in the metrics, and the first value of its block there. Several services may share the overflow series.
   */
  readonly series = column(Int32Array, SERVICE_SLOTS);
  readonly base = column(Int32Array, SERVICE_SLOTS);

  /** Applies the settings of one service. */
  configure(slot: number, series: number, config: ServiceSettings): void {
    this.series[slot] = series;
    this.base[slot] = serviceBase(series);
    this.name.set(slot, config.name);
    this.connectTimeoutMs[slot] = config.connectTimeoutMs;
    this.hedgeDelayMs[slot] = config.hedgeDelayMs;
    this.responseTimeoutMs[slot] = config.responseTimeoutMs;
    this.bodyTimeoutMs[slot] = config.bodyTimeoutMs;
    this.streamTimeoutMs[slot] = config.streamTimeoutMs;
    this.poolIdleMs[slot] = config.pool.idleTimeoutMs;
    this.maxIdle[slot] = config.pool.maxIdle;
    this.opaque[slot] = config.protocol === 'opaque' ? 1 : 0;
    this.proxyProtocol[slot] = config.proxyProtocol === null ? 0 : config.proxyProtocol === 'v1' ? 1 : 2;
    this.tls[slot] = config.tls;
    this.wrapsTls[slot] = config.applicationTls === 'wrap' ? 1 : 0;
    this.protocol[slot] = PROTOCOL_OF[config.protocol];
    this.maxConnections[slot] = config.pool.maxConnections;
    this.poolMaxStreams[slot] = config.pool.maxStreams;
    this.poolMaxAgeMs[slot] = config.pool.maxAgeMs;
    this.poolSpares[slot] = config.pool.spares;
    this.http2Connections[slot] = config.pool.http2Connections;
    this.replayBytes[slot] = config.retry.replayBytes;
    this.keepAliveMs[slot] = config.keepAliveMs;
    this.userTimeoutMs[slot] = config.userTimeoutMs;
  }
}
