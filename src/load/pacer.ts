// Decides which connection sends next, for one share of a load. Connections with room wait in a ring, in order, so that all take part. With
// a rate, the schedule says when the first in line sends.
import { IntegerQueue } from './integer-queue.js';
import type { Schedule } from './schedule.js';

/** Starts requests; connections are numbered. */
export interface RequestStarter {
  /** Sends a request that was due at `due`, µs since the start; a cell, because it may have a fraction. */
  start(connection: number, due: Float64Array): void;
  /** How many requests `connection` may start now. */
  room(connection: number): number;
}

export class Pacer {
  /** Connections with room, each once. */
  private readonly ready: IntegerQueue;
  private readonly listed: Uint8Array;
  /**
   * Connections in their think time, and its end. All think equally long, so they return in order. A connection may be in it once per
   * stream.
   */
  private readonly thinking: IntegerQueue;
  private readonly until: Float64Array;
  private readonly thinkingCount: Int32Array;
  private untilHead = 0;
  private untilTail = 0;
  private readonly due = new Float64Array(1);

  /** For connections from `first` on. */
  constructor(
    private readonly first: number,
    count: number,
    streams: number,
    /** Null: a connection with room sends at once, or after its think time. */
    readonly schedule: Schedule | null,
    private readonly thinkUs: number,
    private readonly starter: RequestStarter,
  ) {
    this.ready = new IntegerQueue(count);
    this.listed = new Uint8Array(count);
    const thinkingCount = schedule === null && thinkUs > 0 ? count * streams : 1;
    this.thinking = new IntegerQueue(thinkingCount);
    this.until = new Float64Array(thinkingCount);
    this.thinkingCount = new Int32Array(count);
  }

  /** `connection` has room for another request. */
  offer(connection: number): void {
    const at = connection - this.first;
    if (this.listed[at] === 1) return;
    this.listed[at] = 1;
    this.ready.push(connection);
  }

  /** An answer arrived at `now`: with `thinkUs`, the next request is sent that much later. */
  answered(connection: number, now: number): void {
    if (this.thinkUs === 0 || this.schedule !== null) {
      this.offer(connection);
      return;
    }
    if (this.thinking.count === this.until.length) return;
    this.thinking.push(connection);
    this.thinkingCount[connection - this.first]++;
    this.until[this.untilTail] = now + this.thinkUs;
    this.untilTail = this.untilTail + 1 === this.until.length ? 0 : this.untilTail + 1;
  }

  /** Starts what is due at `now`. */
  turn(now: number): void {
    while (this.thinking.count > 0 && this.until[this.untilHead] <= now) {
      this.untilHead = this.untilHead + 1 === this.until.length ? 0 : this.untilHead + 1;
      const connection = this.thinking.shift();
      this.thinkingCount[connection - this.first]--;
      this.offer(connection);
    }
    const { schedule, due } = this;
    if (schedule === null) {
      due[0] = now;
      // A request may be over at once, and its connection offered again: it waits for the next turn.
      for (let left = this.ready.count; left > 0; left--) this.startNext();
      return;
    }
    while (this.ready.count > 0 && schedule.next[0] <= now) {
      due[0] = schedule.next[0];
      if (this.startNext()) schedule.advance();
    }
  }

  /** When `turn` has something to do next; Infinity: only after another event. */
  get next(): number {
    const { schedule } = this;
    const thought = this.thinking.count > 0 ? this.until[this.untilHead] : Number.POSITIVE_INFINITY;
    if (this.ready.count === 0) return thought;
    return schedule === null ? 0 : Math.min(thought, schedule.next[0]);
  }

  /** Starts a request on the first connection in line; false if that has no room any more. */
  private startNext(): boolean {
    const connection = this.ready.shift();
    this.listed[connection - this.first] = 0;
    const { starter, schedule } = this;
    const room = starter.room(connection) - this.thinkingCount[connection - this.first];
    if (room <= 0) return false;
    if (schedule !== null) {
      starter.start(connection, this.due);
      // At the end of the line, so that streams are spread over connections.
      if (room > 1) this.offer(connection);
      return true;
    }
    for (let i = room; i > 0; i--) starter.start(connection, this.due);
    return true;
  }
}
