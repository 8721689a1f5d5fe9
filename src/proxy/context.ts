// State that the parts of a worker's data path share.

import { Balancer, POLICY } from '../balance/balancer.js';
import { ENDPOINT_STATE } from '../balance/breaker.js';
import { RetryBudget } from '../balance/budget.js';
import type { LimitsConfig } from '../config/limits-model.js';
import { ServerFirstTable } from '../detect/server-first-table.js';
import { Inbox } from '../io/inbox.js';
import type { Native } from '../io/native.js';
import type { Reactor } from '../io/reactor.js';
import type { Slab } from '../io/slab.js';
import type { Sockets } from '../io/sockets.js';
import type { Splicer } from '../io/splice.js';
import type { TimerWheel } from '../io/timer-wheel.js';
import { AccessLog } from '../log/access-log.js';
import { quoted } from '../log/json-text.js';
import { ClientSeries } from '../metrics/client-series.js';
import { E, endpointBase, MAX_LISTENERS, S, W } from '../metrics/layout.js';
import { WorkerMetrics } from '../metrics/shared.js';
import { NOBODY, TlsPeers } from '../tls/peers.js';
import { TlsTransport } from '../tls/transport.js';
import { Destinations } from './accept/destinations.js';
import { ADDED_FIELDS_BYTES, AddedFields } from './added-fields.js';
import { Authorization } from './authorization.js';
import { ENDPOINT_SLOTS, MAX_ENDPOINTS, MAX_SERVICES, SERVICE_SLOTS } from './capacity.js';
import { ClientRoom } from './client-room.js';
import { type ClientLog, Connections } from './connect/connections.js';
import { Protocols } from './connect/protocols.js';
import { EndpointTable } from './endpoint-table.js';
import { HealthChanges } from './health-changes.js';
import { MESH_FIELDS_BYTES, MeshFields } from './mesh-fields.js';
import { OutputLimits } from './output-limits.js';
import { Refusals } from './refusals.js';
import { ServiceTable } from './service-table.js';
import type { EndpointSnapshot, PassthroughSnapshot, ServiceSettings, Snapshot, WorkerTask } from './snapshot.js';
import { TRACE_FIELDS_BYTES, TraceFields } from './trace-fields.js';

const SOCKADDR_BYTES = 32;
const HOST_BYTES = 64;
/** Longest name in the access log, bytes. */
export const MAX_NAME = 128;
/** Longest name from a certificate there, bytes. */
const MAX_IDENTITY = 256;
/** After this many ms without reading, a client's close is watched for. */
const WATCH_MS = 50;
/** Size of this part in the slab's fixed region. */
export const CONTEXT_BYTES =
  (ENDPOINT_SLOTS + MAX_ENDPOINTS) * SOCKADDR_BYTES +
  SERVICE_SLOTS * HOST_BYTES +
  ADDED_FIELDS_BYTES +
  MESH_FIELDS_BYTES +
  TRACE_FIELDS_BYTES +
  64;

/** The shorter of two times; 0 means none. */
function shorter(a: number, b: number): number {
  return a === 0 || b === 0 ? Math.max(a, b) : Math.min(a, b);
}

export class Context {
  readonly reactor: Reactor;
  readonly native: Native;
  readonly sockets: Sockets;
  readonly slab: Slab;
  readonly bytes: Uint8Array;
  readonly wheel: TimerWheel;
  readonly splicer: Splicer;
  readonly inbox: Inbox;
  readonly connections: Connections;
  readonly outputLimits: OutputLimits;
  /** Refusals, for the log. */
  readonly refusals: Refusals;
  readonly accessLog: AccessLog;
  /** The peer of each socket, by its certificate. */
  readonly peers: TlsPeers;
  readonly authorization: Authorization;
  /** The series in which clients are counted by identity. */
  readonly clientSeries = new ClientSeries();
  /** The `l5d-…` fields of requests. */
  readonly meshFields: MeshFields;
  /** The traces that requests belong to. */
  readonly traceFields: TraceFields;
  /** Fields that listeners add to messages. */
  readonly added: AddedFields;
  /** Set when the data path is put together. */
  declare connectionLog: ClientLog;
  /** Which protocols endpoints have been seen to speak. */
  readonly protocols: Protocols;
  readonly metrics: WorkerMetrics;
  readonly values: Float64Array;
  readonly balancer: Balancer;
  /** Endpoints that were taken out or came back, for the log. */
  readonly healthChanges = new HealthChanges();
  readonly budget: RetryBudget;
  readonly learned: ServerFirstTable;
  readonly loadBoard: Int32Array;
  readonly workerId: number;
  readonly workers: number;
  readonly services = new ServiceTable();
  readonly endpoints = new EndpointTable();
  readonly destinations: Destinations;
  /** Per listener: how long data sent to a client may stay unacknowledged, ms; 0: no limit. */
  readonly userTimeoutMs = new Int32Array(MAX_LISTENERS);
  /** Per listener: timeout for dialling a client's original destination, ms. */
  readonly connectTimeoutMs = new Float64Array(MAX_LISTENERS);
  /** Per listener: slot of the TLS profile for new connections; 0: none, or a PROXY header comes first. */
  readonly listenerTls = new Int32Array(MAX_LISTENERS);
  /** The TLS transport; undefined under the transports of tests. */
  readonly tls: TlsTransport | undefined;
  /** Slot of the TLS profile for dialling endpoints of the mesh; 0: this proxy has no identity (yet). */
  meshClient = 0;
  limits: LimitsConfig;
  /** All listeners drain: answer `Connection: close` and close idle connections. */
  draining = false;
  /** Per listener: 1 if it drains before the others. */
  readonly drainingListeners = new Uint8Array(MAX_LISTENERS);
  /** How many clients all workers together may have. */
  readonly clientRoom: ClientRoom;
  /** Per listener: 1 if clients may half-close while they wait. */
  private readonly halfClose = new Uint8Array(MAX_LISTENERS);
  /** Per listener: 1 if it is inbound. */
  readonly inbound = new Uint8Array(MAX_LISTENERS);
  /** Settings for destinations that the worker sets up itself; null if no listener uses them. */
  private passthrough: PassthroughSnapshot | null = null;
  /** Somebody observes single exchanges and connections (log, tap): bytes are counted, and observers may be asked for more. */
  observed = false;
  /** Ended exchanges and connections are logged; successful ones only if `accessAll`. */
  accessLogged = false;
  accessAll = false;
  /** A tap is active. */
  private tapped = false;
  /** Names of listeners, by slot. */
  readonly listenerNames: string[] = [];
  /** Positions in the slab of all endpoint addresses and service names. */
  private readonly addresses: number;
  private readonly proxies: number;
  private readonly hosts: number;

  constructor(task: WorkerTask, native: Native, reactor: Reactor) {
    this.reactor = reactor;
    this.native = native;
    this.sockets = reactor.sockets;
    this.slab = reactor.slab;
    this.bytes = reactor.slab.bytes;
    this.wheel = reactor.wheel;
    this.splicer = reactor.splicer;
    this.metrics = new WorkerMetrics(task.memory);
    this.values = this.metrics.values;
    const seed = task.id + 1 + ((Date.now() & 0xffffff) << 6);
    this.balancer = new Balancer(SERVICE_SLOTS, ENDPOINT_SLOTS, seed, task.load);
    this.balancer.listen({
      ejected: (endpoint, failures, signal) => {
        this.values[this.endpoints.base[endpoint] + E.BREAKER_OPENED]++;
        const { service, address } = this.endpoints;
        this.healthChanges.ejected(endpoint, service[endpoint], address.get(endpoint), failures, signal);
      },
      readmitted: (endpoint) => {
        const { service, address } = this.endpoints;
        this.healthChanges.readmitted(endpoint, service[endpoint], address.get(endpoint), false);
      },
      panicked: (service) => {
        this.values[this.services.base[service] + S.PANIC_PICKS]++;
      },
    });
    this.budget = new RetryBudget(SERVICE_SLOTS);
    this.learned = new ServerFirstTable(task.learned);
    this.loadBoard = new Int32Array(task.loadBoard);
    this.workerId = task.id;
    this.workers = task.workers;
    this.clientRoom = new ClientRoom(this.loadBoard, this.workers);
    this.limits = task.snapshot.limits;
    this.inbox = new Inbox(this.slab, this.sockets.capacity);
    this.destinations = new Destinations(this.sockets.capacity);
    const { transport } = reactor;
    this.peers = transport instanceof TlsTransport ? transport.peers : new TlsPeers(this.sockets.capacity);
    this.connections = new Connections(this);
    this.outputLimits = new OutputLimits(this);
    this.refusals = new Refusals(this);
    this.authorization = new Authorization(this);
    this.accessLog = new AccessLog(this.values, (ms, run) => reactor.later(ms, run));
    this.added = new AddedFields(this);
    this.meshFields = new MeshFields(this);
    this.traceFields = new TraceFields(this);
    this.protocols = new Protocols(this);
    this.tls = reactor.transport instanceof TlsTransport ? reactor.transport : undefined;
    this.addresses = this.slab.fixed(ENDPOINT_SLOTS * SOCKADDR_BYTES);
    this.proxies = this.slab.fixed(MAX_ENDPOINTS * SOCKADDR_BYTES);
    this.hosts = this.slab.fixed(SERVICE_SLOTS * HOST_BYTES);
  }

  /**
   * Service slot for traffic of `client` with this verdict, -1 if it is refused. Looked up for each request, because a reload may have
   * changed it.
   */
  serviceFor(client: number, verdict: number): number {
    return this.destinations.service[this.connections.destination[client] * 4 + verdict];
  }

  /** The shortest silence in any message's body that `service` forbids, ms; 0: none. */
  bodyTimeout(service: number): number {
    const { http1, http2 } = this.limits;
    const own = service < 0 ? -1 : this.services.bodyTimeoutMs[service];
    const body = own >= 0 ? own : shorter(http1.bodyTimeoutMs, http2.bodyTimeoutMs);
    return service < 0 ? body : shorter(body, this.services.streamTimeoutMs[service]);
  }

  /** The client's address and where it connected: members of an access log record. */
  describeClient(client: number): string {
    const { connections } = this;
    const listener = client < 0 ? -1 : connections.listener[client];
    const name = listener < 0 ? '' : (this.listenerNames[listener] ?? '');
    const identity = client < 0 ? NOBODY : this.peers.identity[client];
    const who = identity === NOBODY ? '' : `,"identity":${quoted(this.peers.nameOf(identity), MAX_IDENTITY)}`;
    return `"client":"${connections.peerName(client)}"${who},"listener":${quoted(name, MAX_NAME)}`;
  }

  /** Whether a connection should close at the next opportunity: all listeners drain, or the client's does. */
  isDraining(client: number): boolean {
    return this.draining || this.drainingListeners[this.connections.listener[client]] === 1;
  }

  /** Whether a half-closed client may still wait for its response. */
  allowsHalfClose(client: number): boolean {
    return this.halfClose[this.connections.listener[client]] === 1;
  }

  /**
   * A client with an exchange is not read for now: watch for its close unless reading resumes soon. Not at once, because most do resume and
   * each poll is an operation of the ring. Endpoint sockets are not watched: what they sent before closing is wanted.
   */
  watchSoon(client: number): void {
    if (this.connections.listener[client] >= 0) this.wheel.pull(client, this.reactor.now + WATCH_MS);
  }

  /** Whether the peer of `socket` has presented a certificate. */
  hasIdentity(socket: number): boolean {
    return this.peers.identity[socket] !== NOBODY;
  }

  /** Whether `endpoint` is dialled as part of the mesh: with our identity, expecting its own. */
  isMeshEndpoint(endpoint: number): boolean {
    const service = this.endpoints.service[endpoint];
    return this.endpoints.identity.get(endpoint) !== '' && service >= 0 && this.services.tls[service] === 0;
  }

  /** Counts that a limit took effect. */
  limited(limit: number): void {
    this.values[W.LIMIT + limit]++;
  }

  /** Applies new settings. The acceptor handles listening sockets, the router destinations. */
  configure(snapshot: Snapshot): void {
    this.limits = snapshot.limits;
    this.clientRoom.limit = snapshot.maxClients;
    this.meshClient = snapshot.meshClient;
    this.protocols.expiryMs = snapshot.limits.protocolExpiryMs;
    this.accessLogged = snapshot.access !== false;
    this.accessAll = snapshot.access === true;
    for (const { slot, name } of snapshot.listeners) this.listenerNames[slot] = name;
    this.clientSeries.configure(snapshot.listeners, snapshot.maxIdentities);
    this.added.configure(snapshot.listeners);
    this.meshFields.configure(snapshot.listeners);
    this.traceFields.configure(snapshot.tracing);
    this.observe(this.tapped);
    for (const { slot, halfClose, inbound } of snapshot.listeners) {
      this.halfClose[slot] = halfClose ? 1 : 0;
      this.inbound[slot] = inbound ? 1 : 0;
    }
    for (const { slot, tls, proxyProtocol } of snapshot.listeners)
      this.listenerTls[slot] = proxyProtocol === null ? tls : 0;
    for (const { slot, userTimeoutMs, connectTimeoutMs } of snapshot.listeners) {
      this.userTimeoutMs[slot] = userTimeoutMs;
      this.connectTimeoutMs[slot] = connectTimeoutMs;
    }
    for (const { slot, series, config } of snapshot.services) this.configureService(slot, series, config);
    if (snapshot.passthrough !== null) this.passthrough = snapshot.passthrough;
  }

  /** Starts or stops observing for taps. */
  observe(tapped: boolean): void {
    this.tapped = tapped;
    this.observed = this.accessLogged || tapped || this.traceFields.active;
  }

  /**
   * Replaces the endpoints of a service. Returns those that are gone or have changed identity: their connections are not used again.
   * Touches only this service's endpoints.
   */
  setEndpoints(service: number, endpoints: readonly EndpointSnapshot[]): number[] {
    const table = this.endpoints;
    const slots = endpoints.map((endpoint) => endpoint.slot);
    const weights = endpoints.map((endpoint) => endpoint.weight);
    const before = this.balancer.membersOf(service).slice();
    for (const slot of before) table.service[slot] = -1;
    const kept = new Set(slots);
    for (const slot of before) {
      if (!kept.has(slot) && this.balancer.state(slot) !== ENDPOINT_STATE.READY)
        this.healthChanges.readmitted(slot, service, table.address.get(slot), true);
    }
    const renamed = new Set<number>();
    for (const { slot, series, host, port, identity, proxy } of endpoints) {
      const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
      table.series[slot] = series;
      table.base[slot] = endpointBase(series);
      if (table.address.get(slot) !== address || this.balancer.ownerOf(slot) !== service) {
        // The slot belonged to another endpoint before; its history does not apply.
        this.balancer.reset(slot);
        table.address.set(slot, address);
        this.protocols.forget(slot);
        table.family[slot] = host.includes(':') ? 6 : 4;
        table.addressAt[slot] = this.addresses + slot * SOCKADDR_BYTES;
        table.addressLength[slot] = this.native.sockaddr(host, port, this.bytes, table.addressAt[slot]);
      } else if (table.identityChanged(slot, identity, proxy)) renamed.add(slot);
      table.setIdentity(slot, identity, proxy, port);
      if (proxy.port > 0) {
        table.proxyAt[slot] = this.proxies + slot * SOCKADDR_BYTES;
        this.native.sockaddr(host, proxy.port, this.bytes, table.proxyAt[slot]);
      }
      table.service[slot] = service;
    }
    this.balancer.setEndpoints(service, slots, this.reactor.clockMs(), weights);
    return Array.from(before).filter((slot) => table.service[slot] !== service || renamed.has(slot));
  }

  /** Updates the gauges that are not set per event, for recently active endpoints. */
  sampleEndpoints(): void {
    const { balancer, endpoints, values } = this;
    const { recent } = balancer;
    const now = this.reactor.clockMs();
    // Downwards: when one is removed, an already visited one takes its place.
    for (let i = recent.count - 1; i >= 0; i--) {
      const endpoint = recent.at(i);
      if (endpoints.service[endpoint] >= 0 && endpoints.hasOwnSeries(endpoint)) {
        const base = endpoints.base[endpoint];
        values[base + E.STATE] = balancer.state(endpoint);
        values[base + E.EWMA_MS] = balancer.ewma(endpoint, now);
      }
      if (balancer.isSettled(endpoint, now)) recent.drop(i);
    }
  }

  /** The Host for requests to service `slot` that came without one. */
  setHost(slot: number, host: string): void {
    const text = Buffer.from(host.slice(0, HOST_BYTES), 'latin1');
    this.bytes.set(text, this.services.hostAt[slot]);
    this.services.hostLength[slot] = text.length;
  }

  /** Settings and series of the `i`-th service and endpoint that the worker assigns itself. There are many; few are used. */
  configureLocal(i: number): void {
    const { endpoints, passthrough } = this;
    if (passthrough === null) throw new Error('a passthrough destination without settings');
    const { service, serviceSeries, endpointSeries } = passthrough;
    this.configureService(MAX_SERVICES + i, serviceSeries, service);
    const slot = MAX_ENDPOINTS + i;
    endpoints.series[slot] = endpointSeries;
    endpoints.base[slot] = endpointBase(endpointSeries);
    endpoints.addressAt[slot] = this.addresses + slot * SOCKADDR_BYTES;
  }

  /** Applies the settings of one service. */
  configureService(slot: number, series: number, config: ServiceSettings): void {
    this.services.configure(slot, series, config);
    this.services.hostAt[slot] = this.hosts + slot * HOST_BYTES;
    this.setHost(slot, hostOf(config.name));
    const { balance, breaker } = config;
    this.balancer.configure(
      slot,
      balance.policy === 'ewma' ? POLICY.EWMA : POLICY.ROUND_ROBIN,
      balance.decayMs,
      balance.defaultRttMs,
      balance.failurePenaltyMs,
      breaker.failures,
      breaker.minBackoffMs,
      breaker.maxBackoffMs,
      breaker.dialIntervalMs,
    );
    this.budget.configure(slot, config.retry.budget, config.retry.minPerSecond);
  }
}

/** A service's name as a host. A cluster service keeps its port, a pod its address. */
const hostOf = (name: string): string =>
  /^\[[0-9a-f:.]+\]:\d+$/.test(name) ? name : name.replace(/[^A-Za-z0-9._:-]|:(?!\d+$)/g, '-');
