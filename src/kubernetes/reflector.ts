// Maintains a copy of a collection of the API server: lists it, watches it from there on, and starts over if the server has forgotten the
// version (410). Whatever goes wrong, the copy stays as it was; only a complete list replaces it.
import { Backoff } from '../identity/backoff.js';
import type { Clock } from '../identity/source.js';
import type { ApiClient, Query } from './client.js';
import type { JsonObject } from './json.js';
import { ApiProblem, type Failure } from './problem.js';
import type { WatchEvent } from './watch-event.js';

/** Holds the copy. */
export interface Sink<T> {
  /** The complete current content. */
  replace(all: readonly T[]): void;
  changed(object: T): void;
  removed(object: T): void;
}

export interface ReflectorOptions<T> {
  readonly client: ApiClient;
  /** Of the collection. */
  readonly path: string;
  /** Selectors. */
  readonly query?: Query;
  /** Null: irrelevant, or not understood. */
  readonly read: (object: JsonObject) => T | null;
  readonly sink: Sink<T>;
  readonly times?: Partial<ReflectorTimes>;
  /** `status` has changed. */
  readonly statusChanged?: (status: ReflectorStatus) => void;
}

export interface ReflectorTimes {
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** A watch lasts between this and twice as long; then the server ends it, and the next one follows. */
  readonly watchS: number;
  /** Initial number of objects per page of a list. */
  readonly page: number;
}

export const REFLECTOR_TIMES: ReflectorTimes = { minBackoffMs: 200, maxBackoffMs: 30_000, watchS: 300, page: 500 };

export interface ReflectorDeps {
  readonly clock: Clock;
  readonly random: () => number;
}

/** Current state, for metrics. */
export interface ReflectorStatus {
  /** There has been a complete list. */
  readonly synced: boolean;
  /** When the server was last heard from, ms since 1970; 0: never. */
  readonly heardMs: number;
  readonly lists: number;
  readonly watches: number;
  readonly events: number;
  /** Objects that could not be understood. */
  readonly unreadable: number;
  readonly failures: Readonly<Record<Failure, number>>;
  /** The current problem; null: none. */
  readonly problem: string | null;
}

const GONE = 410;
const TOO_MANY = 429;
const INTERNAL = 500;
const AWAY: readonly Failure[] = ['unreachable', 'timeout', 'credentials'];
/** After this many refusals of what was asked, start over. */
const MAX_REFUSALS = 3;
const LARGEST_PAGE = 10_000;
/** Maximum wait that a server may request. */
const LONGEST_ASKED_MS = 120_000;
/** A watch that has lasted this long has worked, whatever ends it. */
const LASTING_MS = 10_000;

/** Versions may only be compared for equality, with one exception: a server whose store is older than what it has reported before. */
function isBefore(version: string, other: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(other)) return false;
  return version.length === other.length ? version < other : version.length < other.length;
}

/** The server is unavailable, whatever is asked. */
const isAway = (problem: ApiProblem | null): boolean =>
  problem !== null && (AWAY.includes(problem.failure) || problem.status === TOO_MANY || problem.status >= INTERNAL);

/** The collection must be listed again. */
class VersionExpired extends Error {}

export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #times: ReflectorTimes;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  /** Version of the copy; empty: a list is needed. */
  #version = '';
  #page: number;
  /** Consecutive refusals of a watch. */
  #refusals = 0;
  #wake: (() => void) | null = null;
  readonly status = {
    synced: false,
    heardMs: 0,
    lists: 0,
    watches: 0,
    events: 0,
    unreadable: 0,
    failures: { status: 0, unreachable: 0, timeout: 0, 'too-large': 0, garbage: 0, credentials: 0, closed: 0 },
    problem: null as string | null,
  };

  constructor(
    options: ReflectorOptions<T>,
    private readonly deps: ReflectorDeps,
  ) {
    this.#options = options;
    this.#times = { ...REFLECTOR_TIMES, ...options.times };
    this.#page = this.#times.page;
    this.#backoff = new Backoff(this.#times.minBackoffMs, this.#times.maxBackoffMs, deps.random);
  }

  get path(): string {
    return this.#options.path;
  }

  start(): void {
    void this.#run();
  }

  /** Reports nothing more to the sink. */
  stop(): void {
    this.#stop.abort();
    this.#wake?.();
  }

  get #stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      let waitMs = 0;
      try {
        if (this.#version === '') await this.#list();
        await this.#watch();
      } catch (error) {
        if (this.#stopped) return;
        waitMs = this.#failed(error);
      }
      if (waitMs > 0) await this.#wait(waitMs);
    }
  }

  #wait(ms: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.deps.clock.set(resolve, ms);
      this.#wake = () => {
        this.deps.clock.clear(timer);
        resolve();
      };
    });
  }

  /** Ms until the next attempt. */
  #failed(error: unknown): number {
    const { status } = this;
    if (error instanceof VersionExpired) {
      this.#version = '';
      // At once the first time; a server that keeps forgetting is given time.
      return this.#refusals++ === 0 ? 0 : this.#backoff.next();
    }
    const problem = error instanceof ApiProblem ? error : null;
    status.failures[problem?.failure ?? 'garbage']++;
    status.problem = error instanceof Error ? error.message : String(error);
    if (problem?.failure === 'too-large') this.#page = Math.max(1, Math.floor(this.#page / 2));
    // A refused watch may be due to its version; an unavailable server says nothing about that.
    if (this.#version !== '' && !isAway(problem) && ++this.#refusals >= MAX_REFUSALS) this.#version = '';
    this.#options.statusChanged?.(status);
    // Others were told the same wait: they should not all return at once.
    const asked = Math.min(problem?.retryAfterMs ?? 0, LONGEST_ASKED_MS) * (1 + this.deps.random() / 10);
    return Math.max(this.#backoff.next(), asked);
  }

  #heard(): void {
    this.status.heardMs = this.deps.clock.now();
    if (this.status.problem === null) return;
    this.status.problem = null;
    this.#options.statusChanged?.(this.status);
  }

  /** The whole collection, page by page, all of one version. */
  async #list(): Promise<void> {
    const { client, path, query = {}, sink } = this.#options;
    const all: T[] = [];
    let next = '';
    do {
      const asked: Query = { ...query, limit: this.#page, continue: next === '' ? undefined : next };
      const page = await client.list(path, asked, this.#stop.signal).catch((error: unknown) => {
        // The server has forgotten the version while we were reading: larger pages are faster.
        if (error instanceof ApiProblem && error.status === GONE) this.#page = Math.min(LARGEST_PAGE, this.#page * 2);
        throw error;
      });
      if (this.#stopped) return;
      this.status.heardMs = this.deps.clock.now();
      for (const item of page.items) {
        const object = this.#read(item);
        if (object !== null) all.push(object);
      }
      if (page.version === '')
        throw new ApiProblem({ method: 'GET', path }, 'garbage', 0, '', 'a list without a version');
      this.#version = page.next === '' ? page.version : '';
      next = page.next;
    } while (next !== '');
    this.status.lists++;
    this.status.synced = true;
    this.#heard();
    sink.replace(all);
    this.#options.statusChanged?.(this.status);
  }

  async #watch(): Promise<void> {
    const { client, path, query = {} } = this.#options;
    const timeoutSeconds = Math.ceil(this.#times.watchS * (1 + this.deps.random()));
    let moved = false;
    // The client would treat an exception thrown here as a connection failure.
    let fault: unknown = null;
    const sink = {
      opened: () => {
        this.status.watches++;
        this.#heard();
      },
      event: (event: WatchEvent) => {
        if (this.#stopped) return;
        try {
          this.#event(event);
        } catch (error) {
          fault = error;
          throw error;
        }
        moved = true;
        this.#refusals = 0;
        this.#backoff.succeeded();
      },
    };
    const asked: Query = { ...query, allowWatchBookmarks: true, resourceVersion: this.#version, timeoutSeconds };
    const startedMs = this.deps.clock.now();
    try {
      await client.watch(path, asked, sink, this.#stop.signal);
    } catch (error) {
      if (this.deps.clock.now() - startedMs >= LASTING_MS) this.#backoff.succeeded();
      if (fault !== null) throw fault;
      if (error instanceof ApiProblem && error.status === GONE) throw new VersionExpired();
      throw error;
    }
    // Otherwise a server that ends every watch at once would be asked without pause.
    const short = this.deps.clock.now() - startedMs < 1000;
    if (!moved && short)
      throw new ApiProblem({ method: 'WATCH', path }, 'unreachable', 0, '', 'the server ended the watch at once');
    this.#refusals = 0;
    this.#backoff.succeeded();
  }

  #event(event: WatchEvent): void {
    const { path, sink } = this.#options;
    this.status.heardMs = this.deps.clock.now();
    this.status.events++;
    if (event.kind === 'error') {
      if (event.code === GONE) throw new VersionExpired();
      throw new ApiProblem(
        { method: 'WATCH', path },
        'status',
        event.code,
        event.reason,
        `status ${event.code} (${event.message || event.reason})`,
      );
    }
    if (isBefore(event.version, this.#version)) throw new VersionExpired();
    const object = event.kind === 'bookmark' ? null : this.#read(event.object);
    if (object !== null && event.kind === 'changed') sink.changed(object);
    if (object !== null && event.kind === 'removed') sink.removed(object);
    this.#version = event.version;
  }

  #read(item: JsonObject): T | null {
    try {
      const object = this.#options.read(item);
      if (object !== null) return object;
    } catch {
      // Counted.
    }
    this.status.unreadable++;
    return null;
  }
}
