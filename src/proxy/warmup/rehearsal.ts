// A rehearsal: a second worker with a whole data path and traffic in memory, so that the worker that serves finds its code compiled. It has
// its own memory and metrics, which are discarded; only what V8 has learned remains.
//
// Listeners are endpoints of each other, so one request passes all four combinations of versions:
//
//   client ─1→ entry ─2→ middle … ─2→ exit ─1→ plain … ─1→ endpoints
//   client ──→ relay ──→ an endpoint that echoes
//
// There are two such ways, one for requests that all differ and one for a request that is repeated: what HPACK learns on a connection
// depends on that. There are several middle or plain ones, by what the endpoints of the configuration speak: there is not enough time to
// compile everything that all four combinations need, and most requests keep their version.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { EndpointLoad } from '../../balance/load.js';
import { anyBusy, ownBackgroundThreads } from '../../code/background-threads.js';
import { setEarlyTiering } from '../../code/tiering.js';
import { ServerFirstTable } from '../../detect/server-first-table.js';
import { separateColumns } from '../../http/columns.js';
import type { Native } from '../../io/native.js';
import { L, listenerBase } from '../../metrics/layout.js';
import { allocateWorkerMemory } from '../../metrics/shared.js';
import { ENDPOINT_SLOTS } from '../capacity.js';
import {
  type ListenerSnapshot,
  LOAD_BOARD,
  MODE,
  type ServiceSettings,
  type ServiceSnapshot,
  type Snapshot,
  type ToWorker,
  type WorkerTask,
} from '../snapshot.js';
import { Worker } from '../worker.js';
import { Kernel, MAX_FDS } from './kernel.js';
import { Client, Endpoint, OpaqueClient } from './peers.js';
import { Traffic } from './traffic.js';

const PORT = { RELAY: 1, ONE: 2, TWO: 3, ECHO: 4, SAME: 5, ENTRY: 6 } as const;
/** Listeners on the way of a request that keep its version, HTTP/2 and HTTP/1, where endpoints speak one version only, and both. */
const HOPS = { HTTP1: [0, 6], HTTP2: [6, 0], BOTH: [2, 2] } as const;
/** How long the worker may take to end, ms. */
const END_TIMEOUT_MS = 1000;
const CLIENTS = 48;
/** So many go the whole way in any case. */
const FULL_ROUTE_CLIENTS = 6;
/** Each acts once in so many turns: a worker's turns are many, with little to do in each. */
const SLICES = 16;
const OPAQUE_CLIENTS = 3;
/** Requests after which objects have the shapes that they will keep, and V8 has seen what comes. */
const SHAPED_REQUESTS = 96;
/**
 * Requests between two waits for the compilers. V8 queues eight functions at most and forgets about others that have become hot; and what
 * was compiled should be in use soon, as it costs less.
 */
const ROUND_REQUESTS = 16;
/** Looks at the compilers come so often, as they cost CPU time, and they are waited for so long, ms. */
const POLL_MS = 4;
const IDLE_TIMEOUT_MS = 100;
/** Turns at the beginning in which nothing happens, and how long each seems to take: a worker has turns without traffic. */
const IDLE_TURNS = 32;
const IDLE_TURN_US = 300_000;
/** Asking for the CPU time is dear: it is done once in so many turns. */
const CPU_CHECK_TURNS = 32;
const LIMITS = { maxConnections: 256, slabBytes: 4 << 20, maxPipes: 0 };

export interface Bounds {
  /** CPU time of the process (compilers run in other threads), and elapsed time, after which it ends, ms. */
  readonly cpuMs: number;
  readonly wallMs: number;
  /** Number of requests after which there is nothing more to learn. */
  readonly requests: number;
  /** Whether to end at once. */
  hurried?(): boolean;
}

export interface Rehearsed {
  /** Answered requests, each at the end of its way through four listeners; and pieces that the relay echoed. */
  readonly requests: number;
  readonly pieces: number;
  /** Requests per listener, in the order above. */
  readonly listeners: readonly number[];
}

/** Runs a complete rehearsal, and calls `shaped` in it once objects have got their shapes. The thread does nothing else meanwhile. */
export async function rehearse(
  real: WorkerTask,
  native: Native,
  settings: ServiceSettings,
  bounds: Bounds,
  shaped: () => void = () => undefined,
): Promise<Rehearsed> {
  const route = routeOf(real.snapshot.services);
  const { act, clients, opaque, kernel } = makePeers(native, bounds, route);
  const { port1, port2 } = new MessageChannel();
  const task = taskOf(real, port2, snapshotOf(real.snapshot, settings, route, kernel));
  separateColumns();
  const worker = new Worker(task, kernel.native);
  // The port holds the worker until it is closed.
  const closed = once(port2, 'close');
  const served = worker.run();
  try {
    await Promise.race([kernel.hosted, served]);
    let over = false;
    const until = (requests: number): void =>
      kernel.run(() => {
        over = act();
        return over || sum(clients) >= requests;
      });
    until(SHAPED_REQUESTS);
    shaped();
    setEarlyTiering(true);
    for (let next = SHAPED_REQUESTS + ROUND_REQUESTS; !over; next += ROUND_REQUESTS) {
      until(next);
      await compiled();
    }
  } finally {
    setEarlyTiering(false);
    port1.postMessage({ kind: 'drain', phase: 'force', listeners: null } satisfies ToWorker);
    // The timer's promise would otherwise hold the close event, and with it the worker, until the timer fires.
    const late = new AbortController();
    const timeout = sleep(END_TIMEOUT_MS, undefined, { ref: false, signal: late.signal }).catch(() => undefined);
    await Promise.race([Promise.all([closed, served]), timeout]);
    late.abort();
    port1.close();
  }
  const values = new Float64Array(task.memory.values);
  const requestsOf = (slot: number): number => values[listenerBase(slot) + L.REQUESTS];
  return {
    requests: sum(clients),
    pieces: sum(opaque),
    listeners: route.map((_, at) => requestsOf(at) + requestsOf(route.length + at)),
  };
}

const sum = (of: readonly { readonly answers: number }[]): number =>
  of.reduce((total, { answers }) => total + answers, 0);

/** Waits until the compilers have done what they were given. */
async function compiled(): Promise<void> {
  const threads = ownBackgroundThreads();
  const until = performance.now() + IDLE_TIMEOUT_MS;
  // What they have compiled is put in place by this thread.
  do await sleep(POLL_MS);
  while (anyBusy(threads) && performance.now() < until);
}

type Route = readonly ('http1' | 'http2')[];

/** The versions that the listeners on the way of a request send on, for endpoints of these services. */
function routeOf(services: readonly ServiceSnapshot[]): Route {
  const only = (protocol: string): boolean =>
    services.length > 0 && services.every(({ config }) => config.protocol === protocol);
  const [http2, http1] = only('http1') ? HOPS.HTTP1 : only('http2') ? HOPS.HTTP2 : HOPS.BOTH;
  return [...Array<'http2'>(1 + http2).fill('http2'), ...Array<'http1'>(1 + http1).fill('http1')];
}

/** The worker's peers. Where endpoints speak HTTP/1 only, most clients do not go the way through HTTP/2. */
function makePeers(native: Native, bounds: Bounds, route: Route) {
  const traffic = new Traffic();
  const until = performance.now() + bounds.wallMs;
  const before = process.cpuUsage();
  const spent = (): number => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  let skewUs = 0;
  const kernel = new Kernel(native, () => performance.now() * 1000 + skewUs);
  const shortcut = route.includes('http2', 1) ? 0 : route.indexOf('http1') + 1;
  const clients = Array.from({ length: CLIENTS }, (_, at) => {
    const repeats = at % 3 === 0;
    const first = PORT.ENTRY + (repeats ? route.length : 0);
    return new Client(kernel, traffic, at < FULL_ROUTE_CLIENTS ? first : first + shortcut, repeats);
  });
  const opaque = Array.from({ length: OPAQUE_CLIENTS }, () => new OpaqueClient(kernel, traffic, PORT.RELAY));
  const endpoints = [PORT.ONE, PORT.TWO].map((port) => new Endpoint(kernel, traffic, port, 'varied'));
  endpoints.push(new Endpoint(kernel, traffic, PORT.SAME, 'repeated'));
  endpoints.push(new Endpoint(kernel, traffic, PORT.ECHO, 'echoed'));
  let turns = 0;
  const act = (): boolean => {
    if (turns < IDLE_TURNS) {
      turns++;
      skewUs += IDLE_TURN_US;
      return false;
    }
    for (let at = turns % SLICES; at < clients.length; at += SLICES) clients[at].act();
    for (const each of opaque) each.act();
    for (const each of endpoints) each.act();
    if (turns++ % CPU_CHECK_TURNS !== 0) return false;
    if (bounds.hurried?.() === true) return true;
    return sum(clients) >= bounds.requests || performance.now() > until || spent() > bounds.cpuMs;
  };
  return { kernel, clients, opaque, act };
}

function taskOf(real: WorkerTask, port: WorkerTask['port'], snapshot: Snapshot): WorkerTask {
  const loadBoard = new SharedArrayBuffer(LOAD_BOARD.SIZE * 4);
  return {
    ...real,
    workers: 1,
    id: 0,
    port,
    memory: allocateWorkerMemory(ENDPOINTS),
    owner: new SharedArrayBuffer(MAX_FDS * 4),
    loadBoard,
    learned: ServerFirstTable.allocate(),
    load: EndpointLoad.allocate(ENDPOINT_SLOTS),
    snapshot,
  };
}

const ENDPOINTS = 24;

function snapshotOf(real: Snapshot, settings: ServiceSettings, route: Route, kernel: Kernel): Snapshot {
  const both = [...route, ...route];
  const service = (slot: number, protocol: ServiceSettings['protocol'], ...ports: number[]): ServiceSnapshot => ({
    slot,
    series: slot + 1,
    config: { ...settings, name: `service-${slot}`, protocol },
    endpoints: ports.map((port) => ({
      slot: port,
      series: port - 1,
      host: '127.0.0.1',
      port,
      identity: '',
      proxy: { port: 0, http2: false },
      weight: 1,
    })),
    resolved: true,
  });
  return {
    ...real,
    listeners: [
      ...both.map((_, slot) => listener(slot, `hop-${slot}`, kernel.listen(PORT.ENTRY + slot))),
      { ...listener(both.length, 'relay', kernel.listen(PORT.RELAY)), mode: MODE.OPAQUE },
    ],
    services: [
      ...both.map((version, slot) => {
        if (slot === route.length - 1) return service(slot, 'auto', PORT.ONE, PORT.TWO);
        if (slot === both.length - 1) return service(slot, 'auto', PORT.SAME);
        return service(slot, version, PORT.ENTRY + slot + 1);
      }),
      service(both.length, 'opaque', PORT.ECHO),
    ],
    passthrough: null,
    // With the same shape as real ones, because compiled code checks for that.
    limits: Object.assign(structuredClone(real.limits), LIMITS),
    maxClients: Number.MAX_SAFE_INTEGER,
    access: false,
    tracing: null,
    opaquePorts: [],
    tls: [],
    meshClient: 0,
    meshServer: 0,
  };
}

function listener(slot: number, name: string, fd: number): ListenerSnapshot {
  return {
    userTimeoutMs: 0,
    connectTimeoutMs: 1000,
    opaquePorts: null,
    slot,
    name,
    mode: MODE.DETECT,
    reason: 0,
    services: [slot, slot, slot, slot],
    raceMs: -1,
    helloMs: 0,
    timeoutMs: 1000,
    learnTtlMs: 1000,
    originalDestination: false,
    halfClose: true,
    via: null,
    inbound: true,
    date: false,
    authorization: null,
    meshHeaders: false,
    proxyProtocol: null,
    tls: 0,
    mesh: false,
    fd,
  };
}
