// The data path of a worker, assembled in the order of a connection's life:
//
//   accept → hand over → policy → detect → { http1 | http2 | opaque } → balance → dial or lease → relay → account → close
//
// Each part may call those listed above it here. It reports to those below through interfaces (`Reports`, `Caller`), which are filled in at
// the end.
import { HeaderMemory } from '../hpack/memory/header-memory.js';
import { SCRATCH_BUFFERS_BYTES } from '../http/scratch-buffers.js';
import { Http2Machine } from '../http2/machine.js';
import { Core } from '../http2/shared-state.js';
import { HEADER_MEMORY_BYTES } from '../io/reactor.js';
import { H2_LIMITS_AT } from '../metrics/layout.js';
import { ALPN } from '../tls/alpn.js';
import { ClientHandshakes } from './accept/client-handshakes.js';
import { Detector } from './accept/detector.js';
import { Races } from './accept/races.js';
import { TlsPeek } from './accept/tls-peek.js';
import { TransportHeaders } from './accept/transport-headers.js';
import { ConnectionLog } from './connect/connection-log.js';
import { Dialer } from './connect/dialer.js';
import { IdlePool } from './connect/idle-pool.js';
import { ProxyHeaderWriter } from './connect/proxy-header-writer.js';
import type { Context } from './context.js';
import { Backpressure } from './exchange/backpressure.js';
import { Deadlines } from './exchange/deadlines.js';
import { Dispatcher } from './exchange/dispatch.js';
import { Endings } from './exchange/endings.js';
import { Exchanges } from './exchange/exchange.js';
import { ExchangeStats } from './exchange/exchange-stats.js';
import { Legs } from './exchange/legs.js';
import { Lifecycle } from './exchange/lifecycle.js';
import { LocalReplies } from './exchange/local-replies.js';
import { Permissions } from './exchange/permissions.js';
import { ReplayBuffers } from './exchange/replay-buffers.js';
import { Reports } from './exchange/reports.js';
import { RequestForwarder } from './exchange/request-forwarder.js';
import { RequestLog } from './exchange/request-log.js';
import { RequestSpans } from './exchange/request-spans.js';
import { ResponseForwarder } from './exchange/response-forwarder.js';
import { Retries } from './exchange/retry.js';
import { Spans } from './exchange/spans.js';
import { Taps } from './exchange/taps.js';
import { BodyRelay } from './http1/bodies.js';
import { Http1Clients } from './http1/clients.js';
import { Http1Endpoints } from './http1/endpoints.js';
import { LargeInput } from './http1/large-input.js';
import { RequestReader } from './http1/request-reader.js';
import { RequestWriter } from './http1/request-writer.js';
import { ResponseWriter } from './http1/response-writer.js';
import { Http1Sockets } from './http1/sockets.js';
import { StreamBodyWriter } from './http1/stream-body-writer.js';
import { congestionSink } from './http2/congestion.js';
import { Http2Connections } from './http2/connections.js';
import { RequestFields } from './http2/request-fields.js';
import { ResponseFields } from './http2/response-fields.js';
import { Http2Streams } from './http2/streams.js';
import { OpaqueRelay } from './relay/opaque.js';
import { Tunnels } from './relay/tunnel.js';

/** Streams per worker, both sides together. */
const MAX_STREAMS = 65_536;

export interface DataPath {
  readonly context: Context;
  readonly core: Core;
  readonly exchanges: Exchanges;
  readonly replay: ReplayBuffers;
  readonly dialer: Dialer;
  readonly idle: IdlePool;
  readonly detector: Detector;
  readonly clientHandshakes: ClientHandshakes;
  readonly races: Races;
  readonly peek: TlsPeek;
  readonly transportHeaders: TransportHeaders;
  readonly opaque: OpaqueRelay;
  readonly http1: Http1Sockets;
  readonly clients: Http1Clients;
  readonly endpoints: Http1Endpoints;
  readonly bodyWriter: StreamBodyWriter;
  readonly http2: Http2Connections;
  readonly streams: Http2Streams;
  readonly tunnels: Tunnels;
  readonly stats: ExchangeStats;
  readonly lifecycle: Lifecycle;
  readonly permissions: Permissions;
  readonly taps: Taps;
  readonly traces: Spans;
}

/** The foundation for both versions of HTTP and the relay. */
function makeShared(context: Context) {
  const { sockets, slab, values } = context;
  const memory = new HeaderMemory(slab.bytes, slab.fixed(HEADER_MEMORY_BYTES), HEADER_MEMORY_BYTES);
  const core = new Core(
    slab,
    memory,
    congestionSink(context),
    values,
    H2_LIMITS_AT,
    MAX_STREAMS,
    slab.fixed(SCRATCH_BUFFERS_BYTES),
  );
  context.inbox.blocks = core.blocks;
  const exchanges = new Exchanges(sockets.capacity, MAX_STREAMS);
  const dialer = new Dialer(context);
  const proxyHeaderWriter = new ProxyHeaderWriter(context);
  return {
    context,
    core,
    exchanges,
    replay: new ReplayBuffers(context, core, exchanges),
    dialer,
    proxyHeaderWriter,
    idle: new IdlePool(context),
    opaque: new OpaqueRelay(context, dialer, proxyHeaderWriter),
    reports: new Reports(),
  };
}
type Shared = ReturnType<typeof makeShared>;

function makeHttp1({ context, core, exchanges, replay, dialer, idle, reports }: Shared) {
  const http1 = new Http1Sockets(context.sockets.capacity, context.limits.http1.maxHeaderBytes);
  const bodyWriter = new StreamBodyWriter(context, core);
  const bodies = new BodyRelay(context, http1, bodyWriter.large, exchanges);
  const input = new LargeInput(context, core, http1);
  const requests = new RequestWriter(context, core, exchanges, replay, http1, bodyWriter);
  const responses = new ResponseWriter(context, core, exchanges, http1, bodies, bodyWriter);
  const reader = new RequestReader(context, exchanges, http1, requests, input, reports);
  const clients = new Http1Clients(context, exchanges, http1, reader, bodies, reports);
  const endpoints = new Http1Endpoints(context, exchanges, http1, bodies, dialer, idle, input, reports);
  return { http1, bodies, bodyWriter, requests, responses, clients, endpoints };
}
type Http1 = ReturnType<typeof makeHttp1>;

function makeHttp2({ context, core, exchanges, replay, dialer, reports }: Shared, { http1, clients }: Http1) {
  const streams = new Http2Streams(context, core, exchanges, replay, reports);
  const machine = new Http2Machine(core, streams);
  streams.machine = machine;
  const fields = new RequestFields(context, core, exchanges, replay, http1, streams);
  const responseFields = new ResponseFields(core, machine, exchanges, http1);
  const linger = clients.linger.bind(clients);
  const connections = new Http2Connections(context, core, machine, exchanges, streams, dialer, reports, linger);
  streams.connections = connections;
  return { streams, machine, fields, responseFields, connections };
}

export function makeDataPath(context: Context): DataPath {
  const ground = makeShared(context);
  const { core, exchanges, replay, dialer, proxyHeaderWriter, opaque, reports } = ground;
  const one = makeHttp1(ground);
  const two = makeHttp2(ground, one);
  const { http1, clients, endpoints } = one;
  const parts = { ...one, ...two };

  const legs = new Legs(context, core, exchanges, replay, parts);
  const backpressure = new Backpressure(context, core, exchanges, http1);
  const permissions = new Permissions(context, core, exchanges, http1);
  const spans = new RequestSpans(core, exchanges, http1, context.bytes);
  const taps = new Taps(context, core, exchanges, spans);
  const traces = new Spans(context, core, exchanges, spans);
  const requestLog = new RequestLog(context, core, exchanges, permissions, spans, taps, traces);
  context.connectionLog = new ConnectionLog(context, opaque, requestLog, taps);
  const tunnels = new Tunnels({ ...ground, ...parts, legs, backpressure, requestLog, permissions });
  const ways = { ...parts, tunnels, backpressure };
  reports.requests = new RequestForwarder(context, core, exchanges, replay, ways, reports);
  reports.responses = new ResponseForwarder(context, core, exchanges, replay, ways, reports);
  const stats = new ExchangeStats(context, exchanges, requestLog);
  const localReplies = new LocalReplies(context, core, two.machine, exchanges, http1, one.responses);
  const control = new Lifecycle(
    context,
    exchanges,
    replay,
    legs,
    stats,
    new Endings(exchanges, replay, legs, stats, localReplies, context.authorization),
    new Dispatcher(context, core, exchanges, legs, stats),
    new Retries(context, exchanges, replay, legs, stats),
    new Deadlines(context, exchanges, legs, two.connections.pool),
    tunnels,
    permissions,
  );
  reports.events = control;
  const races = new Races(context, dialer, proxyHeaderWriter);
  const peek = new TlsPeek(context);
  const clientHandshakes = new ClientHandshakes(context);
  const transportHeaders = new TransportHeaders(context);
  const detector = new Detector(context, races, opaque, peek, {
    http1: clients,
    http2: two.connections,
    pool: endpoints,
    secured: {
      open: (client) => clientHandshakes.secure(client),
      transports: (client) => context.tls?.alpn[client] === ALPN.TRANSPORT,
    },
    transport: transportHeaders,
  });
  const accept = { races, peek, clientHandshakes, transportHeaders, detector };
  return {
    ...ground,
    ...one,
    ...accept,
    http2: two.connections,
    streams: two.streams,
    tunnels,
    stats,
    lifecycle: control,
    permissions,
    taps,
    traces,
  };
}
