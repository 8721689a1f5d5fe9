// What a protocol does on the connections of a load, and what it may ask of them.
import type { Native } from '../io/native.js';
import type { Reactor } from '../io/reactor.js';
import type { TlsTransport } from '../tls/transport.js';
import type { LoadPlan } from './plan.js';
import type { Share } from './shares.js';
import type { Tally } from './tally.js';

/** A protocol: one object for all connections of a thread, which are numbered. A request that is under way has a cell. */
export interface Talk {
  /** Payload can pass on `connection`. The answer is `Line.ready`, at once or later. */
  opened(connection: number, socket: number): void;
  /** Sends the next request, which `Line.begin` has been told of. Returns its cell. */
  send(connection: number, socket: number): number;
  /** `length` octets at slab offset `at` in buffer `bid`, whose reference is passed on. */
  data(connection: number, socket: number, bid: number, at: number, length: number): void;
  /** The peer has ended its direction. What that does not complete is over with the connection. */
  ended(connection: number, socket: number): void;
  /** The connection is over: forgets it, and tells of each request under way with `Line.spoiled`. */
  closed(connection: number): void;
  /** Ends what was sent before `time`, µs, and has not been answered, by `Line.lost` or by itself. */
  expire(connection: number, socket: number, time: number): void;
  /** All that was queued on `socket` has been sent, where that was asked for. */
  drained?(connection: number, socket: number): void;
  /** The kernel has taken octets of any connection's. */
  sent?(bytes: number): void;
  /** Once a loop turn, when all is said. */
  turn?(): void;
}

/** What protocols ask of the connections. */
export interface Line {
  readonly plan: LoadPlan;
  readonly native: Native;
  readonly reactor: Reactor;
  readonly tally: Tally;
  /** What speaks TLS on all connections; undefined: they are plain. */
  readonly tls: TlsTransport | undefined;
  readonly shares: readonly Share[];
  /** Of each connection, its share. */
  readonly shareOf: Int32Array;
  /** Of each cell: when its request was due, and when it was sent; µs since the load began. */
  readonly due: Float64Array;
  readonly sent: Float64Array;
  /** The socket of `connection`, -1 where it has none. */
  socketOf(connection: number): number;
  /** `connection` can be used: for so many requests at once. */
  ready(connection: number, requests: number): void;
  /** Whether `connection` is being made: it has not been `ready`. */
  making(connection: number): boolean;
  /** No more requests are to be begun on `connection`; those under way go on. */
  retire(connection: number): void;
  retired(connection: number): boolean;
  /** The request of `cell` is answered with `status` (of gRPC its own; -1: there are none). `keeps`: the connection can be used on. */
  answered(connection: number, cell: number, status: number, keeps: boolean): void;
  /** A request under way came to nothing, for an ERROR; the connection can be used on. */
  failed(connection: number, cell: number, error: number): void;
  /** The same, as the connection is over. */
  spoiled(cell: number): void;
  /** The connection is of no more use, for an ERROR; -1: in order. It is closed, and made anew. */
  lost(connection: number, error: number): void;
  /** Units of work beyond answers: octets of a bulk transfer. */
  moved(amount: number): void;
}

export type MakeTalk = (line: Line) => Talk;
