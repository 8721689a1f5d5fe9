// Receives the proxy's events. If the proxy is gone, connects again: it may return at any time, perhaps as another process.
import type { LiveState } from '../../live/state.js';

/** Without an event for this long, the figures on the page are stale, ms. */
const STALE_MS = 3500;
/** Wait between attempts to connect: doubled each time, with jitter, so that many pages do not reconnect at once. */
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 8000;
/** A hidden page keeps listening for this long, ms. */
const HIDDEN_MS = 60_000;

export interface FeedListener {
  state(state: LiveState): void;
  /** No event has arrived since `at` (ms since 1970; 0: never). */
  stale(at: number): void;
}

export class Feed {
  private source: EventSource | null = null;
  private wait = FIRST_WAIT_MS;
  private last = 0;
  private late: number | undefined;
  private again: number | undefined;
  private hidden: number | undefined;

  constructor(
    private readonly url: string,
    private readonly listener: FeedListener,
  ) {
    document.addEventListener('visibilitychange', () => this.seen());
    this.connect();
  }

  private connect(): void {
    clearTimeout(this.again);
    this.source?.close();
    this.source = new EventSource(this.url);
    this.source.onmessage = ({ data }: MessageEvent<string>) => this.message(data);
    // A browser reconnects by itself, but not after an error status.
    this.source.onerror = () => this.lost();
    this.watch();
  }

  private message(data: string): void {
    let state: LiveState;
    try {
      state = JSON.parse(data) as LiveState;
    } catch {
      return;
    }
    this.wait = FIRST_WAIT_MS;
    this.last = Date.now();
    this.watch();
    this.listener.state(state);
  }

  private watch(): void {
    clearTimeout(this.late);
    this.late = setTimeout(() => {
      this.listener.stale(this.last);
      // An open but silent connection is useless.
      this.lost();
    }, STALE_MS);
  }

  private lost(): void {
    this.source?.close();
    this.source = null;
    clearTimeout(this.late);
    this.listener.stale(this.last);
    clearTimeout(this.again);
    if (this.hidden !== undefined && document.hidden) return;
    this.again = setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, MAX_WAIT_MS);
  }

  private seen(): void {
    clearTimeout(this.hidden);
    this.hidden = undefined;
    if (document.hidden) {
      this.hidden = setTimeout(() => this.lost(), HIDDEN_MS);
      return;
    }
    if (this.source === null) {
      this.wait = FIRST_WAIT_MS;
      this.connect();
    }
  }
}
