// A stream to one client: first what is known, then changes, at most once per interval. Nothing is queued while its reader does not read:
// what it gets next is computed from what was sent last.
import type { GrpcCall } from './grpc-call.js';
import type { Paced, Pacer } from './pacer.js';
import type { State } from './states.js';
import type { Subscriber, Subscription } from './topics.js';

export interface FeedEvents {
  /** Ms from the oldest change to its being sent. */
  sent(octets: number, lagMs: number): void;
  /** A change was superseded by a later one before it was sent. */
  coalesced(): void;
  /** Its reader has not taken this. */
  stalled(feed: Feed, octets: Buffer): void;
  flows(feed: Feed): void;
}

const clock = (): number => performance.now();

export class Feed implements Subscriber, Paced {
  dueMs = 0;
  /** When its reader stopped reading. */
  stalledMs = Number.POSITIVE_INFINITY;
  /** Its topic. */
  subscription: Subscription | null = null;
  #sent: State | null = null;
  #latest: State | null = null;
  #changedMs = 0;
  #ended = false;

  constructor(
    private readonly call: GrpcCall,
    private readonly pacer: Pacer,
    private readonly events: FeedEvents,
    private readonly now: () => number = clock,
  ) {}

  changed(state: State): void {
    if (this.#ended) return;
    const now = this.now();
    if (this.#latest === this.#sent) this.#changedMs = now;
    else this.events.coalesced();
    this.#latest = state;
    if (this.#stalled) return;
    if (now >= this.dueMs) this.#send(now);
    else this.pacer.add(this);
  }

  due(nowMs: number): void {
    if (!this.#stalled) this.#send(nowMs);
  }

  /** Ends the stream without a status. */
  cut(): void {
    this.call.cut();
  }

  /** Nothing more is sent. */
  end(): void {
    this.#ended = true;
    this.subscription?.leave(this);
    this.pacer.remove(this);
    if (this.#stalled) this.events.flows(this);
  }

  get #stalled(): boolean {
    return this.stalledMs !== Number.POSITIVE_INFINITY;
  }

  #send(nowMs: number): void {
    const state = this.#latest;
    if (this.#ended || state === null || state === this.#sent || !this.call.open) return;
    const octets = state.since(this.#sent);
    this.#sent = state;
    if (octets === null) return;
    this.dueMs = nowMs + this.pacer.intervalMs;
    this.events.sent(octets.length, nowMs - this.#changedMs);
    if (this.call.write(octets)) return;
    this.stalledMs = nowMs;
    this.events.stalled(this, octets);
    this.call.onDrain(() => this.#drained());
  }

  #drained(): void {
    if (this.#ended) return;
    this.stalledMs = Number.POSITIVE_INFINITY;
    this.events.flows(this);
    this.#send(this.now());
  }
}
