// Settings of services, as typed arrays: what the data path reads for each request and connection.
import type { ServiceProtocol } from '../config/model.js';
import { Paged } from '../io/paged.js';
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

/** Settings of a service as the data path reads them. A slot means nothing before it is configured. */
export class ServiceTable {
  readonly connectTimeoutMs = new Float64Array(SERVICE_SLOTS);
  readonly hedgeDelayMs = new Float64Array(SERVICE_SLOTS);
  readonly responseTimeoutMs = new Float64Array(SERVICE_SLOTS);
  /** Silence in a body, -1 where the limits of the versions hold; and in a stream of events or calls. 0 is none. */
  readonly bodyTimeoutMs = new Float64Array(SERVICE_SLOTS);
  readonly streamTimeoutMs = new Float64Array(SERVICE_SLOTS);
  readonly poolIdleMs = new Float64Array(SERVICE_SLOTS);
  readonly maxIdle = new Int32Array(SERVICE_SLOTS);
  readonly maxConnections = new Int32Array(SERVICE_SLOTS);
  /** Of HTTP/2 connections to one endpoint: streams on each, age (0 is none), kept beyond need, at most. */
  readonly poolMaxStreams = new Int32Array(SERVICE_SLOTS);
  readonly poolMaxAgeMs = new Int32Array(SERVICE_SLOTS);
  readonly poolSpares = new Int32Array(SERVICE_SLOTS);
  readonly http2Connections = new Int32Array(SERVICE_SLOTS);
  /** Bytes of a request kept for sending it again. */
  readonly replayBytes = new Int32Array(SERVICE_SLOTS);
  readonly keepAliveMs = new Int32Array(SERVICE_SLOTS);
  readonly userTimeoutMs = new Int32Array(SERVICE_SLOTS);
  /** The service's name in the slab: the Host of requests that came without one. */
  readonly hostAt = new Int32Array(SERVICE_SLOTS);
  readonly hostLength = new Int32Array(SERVICE_SLOTS);
  /** 1: nothing has been heard yet of the endpoints that the service should have. */
  readonly unresolved = new Uint8Array(SERVICE_SLOTS);
  /** As configured. */
  readonly name = new Paged<string>(SERVICE_SLOTS, '');
  /** 1: the endpoints don't speak HTTP, so that HTTP is relayed to them as it is. */
  readonly opaque = new Uint8Array(SERVICE_SLOTS);
  /** Version of the PROXY header that endpoints are sent first; 0 for none. */
  readonly proxyProtocol = new Uint8Array(SERVICE_SLOTS);
  /** Slot of the TLS profile that its endpoints are dialled with; 0: none. */
  readonly tls = new Int32Array(SERVICE_SLOTS);
  /** 1: TLS that clients bring goes to endpoints with an identity inside of ours. */
  readonly wrapsTls = new Uint8Array(SERVICE_SLOTS);
  /** One of SERVICE_PROTOCOL. */
  readonly protocol = new Uint8Array(SERVICE_SLOTS);
  /** Slot of the service's series in the metrics, and first value of its block there. Several may share the overflow series. */
  readonly series = new Int32Array(SERVICE_SLOTS);
  readonly base = new Int32Array(SERVICE_SLOTS);

  /** Takes over the settings of one service. */
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
