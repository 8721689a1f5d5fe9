// Memory that a burst has taken, given back when it is over: buffers of the slab, cells of slots that nobody uses, what the executor has
// grown by, and what is left in V8's heap.
import type { Streams } from '../http2/streams.js';
import { freeRuns } from '../io/free-slots.js';
import { returnMemory } from '../io/heap.js';
import type { Native } from '../io/native.js';
import type { Reactor } from '../io/reactor.js';
import type { DeadPeers } from './connect/dead-peers.js';
import type { Context } from './context.js';
import type { DataPath } from './data-path.js';

/** Sockets and streams by which there have to be fewer than there were, and slots in a row: what less of them leave is not worth a look. */
const MIN_BURST = 512;
/**
 * What may happen in the time that is looked at, for the thread to stand still for a collection (some 20 ms) without anybody being held up.
 */
const MAX_IDLE_EVENTS = 64;

/** After the first the compilers are still at work with what the burst has made worth it. */
const COLLECTIONS = 2;

type TrimCalls = Pick<Native, 'discard' | 'discardCells' | 'shrinkRing' | 'trimHeap'>;

/** What can be forgotten of the slots that nobody uses, and beside them. */
export interface Trimmable {
  /** Gives back what was written of slots in whole runs of free ones. */
  slots(): void;
  /** Gives back what would be made again when it is wanted: once it is quiet. */
  caches(): void;
}

export class MemoryTrim {
  private settledAt = 0;
  private seen = 0;
  /** The most sockets and streams since memory was given back last. */
  private peak = 0;
  /** Collections that are due, one at a time when it is quiet. */
  private collectionsDue = 0;
  /** What V8 has freed last is with malloc by now. */
  private freed = false;

  constructor(
    private readonly reactor: Pick<Reactor, 'slab' | 'sockets' | 'wantMicrotasks'>,
    private readonly streams: Pick<Streams, 'peak' | 'used'>,
    private readonly native: TrimCalls,
    private readonly trimmable: Trimmable,
    private readonly collect: (native: TrimCalls) => Promise<void> = returnMemory,
  ) {}

  /**
   * Called every now and then, between two turns of the ring. What nobody has touched for `idleMs` is given back; `eventCount` is how much
   * has eventCount, ever. Returns when there may be more of it.
   */
  check(now: number, idleMs: number, eventCount: number): number {
    const { slab } = this.reactor;
    const before = slab.discarded;
    if (this.freed) {
      this.freed = false;
      this.native.trimHeap();
    }
    if (now >= this.settledAt + idleMs) {
      this.settledAt = now;
      slab.settle();
      slab.shrinkLent(this.native.discard);
      this.settle(((eventCount - this.seen) | 0) <= MAX_IDLE_EVENTS);
      this.seen = eventCount;
    }
    slab.shrink(this.native.discard);
    return slab.discarded > before ? now : this.settledAt + idleMs;
  }

  /** `quiet`: next to nothing has happened since the last time. */
  private settle(quiet: boolean): void {
    const { sockets } = this.reactor;
    const peak = sockets.peak + this.streams.peak;
    sockets.peak = sockets.open;
    this.streams.peak = this.streams.used;
    if (peak > this.peak) this.peak = peak;
    else if (this.peak - peak >= MIN_BURST) {
      this.peak = peak;
      this.collectionsDue = COLLECTIONS;
      this.trimmable.slots();
    }
    if (this.collectionsDue === 0 || !quiet) return;
    this.collectionsDue--;
    this.native.shrinkRing();
    this.trimmable.caches();
    // V8 comes to a quiet thread's heap late, if at all: a worker allocates next to nothing then.
    void this.collect(this.native).then(
      () => {
        this.freed = true;
      },
      // The memory stays, and nothing else is the matter: a worker does not end for that.
      () => undefined,
    );
    this.reactor.wantMicrotasks = true;
  }
}

/** What a data path has written of slots. Cells that nobody has listed here cost memory, and nothing else. */
export function trimmableOf(
  { reactor, slab, connections }: Context,
  path: DataPath,
  silent: DeadPeers,
  native: TrimCalls,
): Trimmable {
  const { core, exchanges, replay } = path;
  const { sockets, wheel } = reactor;
  const ofExchanges = [...exchanges.columns(), ...replay.columns()];
  const ofStreams = [...core.streams.columns(), ...core.pending.columns(), ...path.streams.columns()];
  const ofSockets = [
    ...wheel.columns(),
    ...sockets.payload.columns(),
    ...connections.columns(),
    ...path.detector.columns(),
    ...path.dialer.columns(),
    ...path.idle.columns(),
    ...path.http1.columns(),
    ...path.opaque.columns(),
    ...silent.columns(),
  ];
  const discard = (columns: readonly ArrayBufferView[], from: number, count: number): void => {
    for (const column of columns) native.discardCells(column, from, count);
  };
  return {
    slots() {
      sockets.reorder(
        freeRuns(MIN_BURST, (from, count) => {
          // A timer that somebody has set for a socket that was closed is linked with others.
          for (let slot = from; slot < from + count; slot++) wheel.cancel(slot);
          discard(ofSockets, from, count);
          discard(ofExchanges, from, count);
        }),
      );
      core.streams.reorder(
        freeRuns(MIN_BURST, (from, count) => {
          discard(ofStreams, from, count);
          discard(ofExchanges, exchanges.sockets + from, count);
        }),
      );
    },
    caches() {
      core.memory.forgetBlocks((at, length) => native.discardCells(slab.bytes, at, length));
    },
  };
}
