// A rehearsal: a second worker with a whole data path and traffic in memory, so that the worker that serves finds its code compiled. It has
// its own memory and metrics, which are discarded; only what V8 has learned remains.
//
// Listeners are endpoints of each other, so one request passes all four combinations of versions:
//
//   client ─1→ ENTRY ─2→ MIDDLE ─2→ EXIT ─1→ PLAIN ─1→ endpoints
//   client ──→ RELAY ──→ an endpoint that echoes
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { EndpointLoad } from '../../balance/load.js';
import { Learned } from '../../detect/learned.js';
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
import { Kernel, MOST_FDS } from './kernel.js';
import { Client, Endpoint, OpaqueClient } from './peers.js';
import { Traffic } from './traffic.js';

const PORT = { ENTRY: 1, MIDDLE: 2, EXIT: 3, PLAIN: 4, RELAY: 5, ONE: 6, TWO: 7, ECHO: 8 } as const;
/** ENTRY to PLAIN. */
const LISTENERS = 4;
/** How long the worker may take to end, ms. */
const END_MS = 1000;
const CLIENTS = 12;
const OPAQUE_CLIENTS = 3;
const LIMITS = { maxConnections: 256, slabBytes: 4 << 20, maxPipes: 0 };

export interface Bounds {
  /** CPU time of the process (compilers run in other threads), and elapsed time, after which it ends, ms. */
  readonly cpuMs: number;
  readonly wallMs: number;
  /** Number of requests after which there is nothing more to learn. */
  readonly requests: number;
}

export interface Rehearsed {
  /** Answered requests, each at the end of its way through four listeners; and pieces that the relay echoed. */
  readonly requests: number;
  readonly pieces: number;
  /** Requests per listener, in the order above. */
  readonly listeners: readonly number[];
}

/** Runs a complete rehearsal. The thread does nothing else meanwhile. */
export async function rehearse(
  real: WorkerTask,
  native: Native,
  settings: ServiceSettings,
  bounds: Bounds,
): Promise<Rehearsed> {
  const { act, clients, opaque, kernel } = company(native, bounds);
  const { port1, port2 } = new MessageChannel();
  const task = taskOf(real, port2, snapshotOf(real.snapshot, settings, kernel));
  native.makeColumns(1);
  const worker = new Worker(task, kernel.native);
  native.makeColumns(0);
  // The port holds the worker until it is closed.
  const closed = once(port2, 'close');
  const served = worker.run();
  try {
    await Promise.race([kernel.hosted, served]);
    kernel.run(act);
  } finally {
    port1.postMessage({ kind: 'drain', phase: 'force', listeners: null } satisfies ToWorker);
    // The timer's promise would otherwise hold the close event, and with it the worker, until the timer fires.
    const late = new AbortController();
    const patience = sleep(END_MS, undefined, { ref: false, signal: late.signal }).catch(() => undefined);
    await Promise.race([Promise.all([closed, served]), patience]);
    late.abort();
    port1.close();
  }
  const values = new Float64Array(task.memory.values);
  return {
    requests: sum(clients),
    pieces: sum(opaque),
    listeners: Array.from({ length: LISTENERS }, (_, slot) => values[listenerBase(slot) + L.REQUESTS]),
  };
}

const sum = (of: readonly { answers: number }[]): number => of.reduce((total, { answers }) => total + answers, 0);

/** The worker's peers. */
function company(native: Native, bounds: Bounds) {
  const traffic = new Traffic();
  const until = performance.now() + bounds.wallMs;
  const before = process.cpuUsage();
  const spent = (): number => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  const kernel = new Kernel(native);
  const clients = Array.from({ length: CLIENTS }, () => new Client(kernel, traffic, PORT.ENTRY));
  const opaque = Array.from({ length: OPAQUE_CLIENTS }, () => new OpaqueClient(kernel, traffic, PORT.RELAY));
  const endpoints = [PORT.ONE, PORT.TWO].map((port) => new Endpoint(kernel, traffic, port, false));
  endpoints.push(new Endpoint(kernel, traffic, PORT.ECHO, true));
  const act = (): boolean => {
    for (const each of clients) each.act();
    for (const each of opaque) each.act();
    for (const each of endpoints) each.act();
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
    owner: new SharedArrayBuffer(MOST_FDS * 4),
    loadBoard,
    learned: Learned.allocate(),
    load: EndpointLoad.allocate(ENDPOINT_SLOTS),
    snapshot,
  };
}

const ENDPOINTS = 8;

function snapshotOf(real: Snapshot, settings: ServiceSettings, kernel: Kernel): Snapshot {
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
      listener(0, 'entry', kernel.listen(PORT.ENTRY)),
      listener(1, 'middle', kernel.listen(PORT.MIDDLE)),
      listener(2, 'exit', kernel.listen(PORT.EXIT)),
      listener(3, 'plain', kernel.listen(PORT.PLAIN)),
      { ...listener(4, 'relay', kernel.listen(PORT.RELAY)), mode: MODE.OPAQUE },
    ],
    services: [
      service(0, 'http2', PORT.MIDDLE),
      service(1, 'http2', PORT.EXIT),
      service(2, 'http1', PORT.PLAIN),
      service(3, 'auto', PORT.ONE, PORT.TWO),
      service(4, 'opaque', PORT.ECHO),
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
