// The interface between a protocol and a load's connections.
import type { Native } from '../io/native.js';
import type { Reactor } from '../io/reactor.js';
import type { TlsTransport } from '../tls/transport.js';
import type { LoadPlan } from './plan.js';
import type { Share } from './shares.js';
import type { Tally } from './tally.js';

/** Drives one protocol: one object for all connections of a thread, which are numbered. A request in progress has a cell. */
export interface ProtocolDriver {
  /** Payload can pass on `connection`. Answer with `DriverContext.ready`, at once or later. */
  opened(connection: number, socket: number): void;
  /** Sends the next request. Returns its cell. */
  send(connection: number, socket: number): number;
  /** `length` bytes at slab offset `at` in buffer `bid`, whose reference is passed on. */
  data(connection: number, socket: number, bid: number, at: number, length: number): void;
  /** The peer has ended its direction. Requests that this does not complete end with the connection. */
  ended(connection: number, socket: number): void;
  /** The connection is over: drop it, and call `DriverContext.aborted` for each request in progress. */
  closed(connection: number): void;
  /** Ends requests sent before `time`, µs, and not answered, by `DriverContext.lost` or otherwise. */
  expire(connection: number, socket: number, time: number): void;
  /** Everything queued on `socket` has been sent, if that was requested. */
  drained?(connection: number, socket: number): void;
  /** The kernel has taken bytes of any connection. */
  sent?(bytes: number): void;
  /** Once per loop turn, at the end. */
  turn?(): void;
}

/** What a driver calls. */
export interface DriverContext {
  readonly plan: LoadPlan;
  readonly native: Native;
  readonly reactor: Reactor;
  readonly tally: Tally;
  /** The TLS transport for all connections; undefined: they are plain. */
  readonly tls: TlsTransport | undefined;
  readonly shares: readonly Share[];
  /** Share of each connection. */
  readonly shareOf: Int32Array;
  /** By cell: when the request was due, and when it was sent; µs since the start. */
  readonly due: Float64Array;
  readonly sent: Float64Array;
  /** The socket of `connection`, -1 if it has none. */
  socketOf(connection: number): number;
  /** `connection` can take this many requests at once. */
  ready(connection: number, requests: number): void;
  /** Whether `connection` is being established: not `ready` yet. */
  connecting(connection: number): boolean;
  /** Starts no more requests on `connection`; those in progress continue. */
  retire(connection: number): void;
  retired(connection: number): boolean;
  /** The request of `cell` was answered with `status` (for gRPC its own; -1: no statuses). `reusable`: the connection can take another request. */
  answered(connection: number, cell: number, status: number, reusable: boolean): void;
  /** A request in progress failed with an ERROR; the connection can be reused. */
  failed(connection: number, cell: number, error: number): void;
  /** The same, because the connection is over. */
  aborted(cell: number): void;
  /** The connection is useless because of an ERROR; -1: normal end. It is closed and reopened. */
  lost(connection: number, error: number): void;
  /** A message of `cell`'s call is sent in this turn, or has been received. `times`: record the time since the last one of either kind. */
  messageSent(cell: number): void;
  messageReceived(cell: number, times: boolean): void;
  /** Reads the clock again, for what is sent from now on in this turn. */
  refresh(): void;
  /** Units of work other than answers: bytes of a bulk transfer. */
  moved(amount: number): void;
}

export type DriverFactory = (context: DriverContext) => ProtocolDriver;
