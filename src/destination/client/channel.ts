// Keeps a connection to a destination service: reconnects with backoff, pings it when silent, and tells its users when it is established.
// Cold, on the main thread.
import type { ClientHttp2Session } from 'node:http2';
import type { DiscoveryLogger } from '../../discovery/source.js';
import { ConnectTimeout, openConnection } from '../../grpc/connection.js';
import type { IdentityMaterial } from '../../identity/material.js';
import type { LookupCounts, LookupFailure } from '../counts.js';
import { Retry } from './retry.js';

/** RFC 9113 section 7: codes of a server that closes normally, and of one that is pinged too often. */
const NO_ERROR = 0;
const ENHANCE_YOUR_CALM = 11;
const MAX_PING_FACTOR = 64;
/** Minimum interval for logging the same problem, ms. */
const LOG_MS = 60_000;

export interface ChannelOptions {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  readonly timeoutMs: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly keepAliveMs: number;
  readonly keepAliveTimeoutMs: number;
}

export interface ChannelDeps {
  readonly logger: DiscoveryLogger;
  readonly counts: LookupCounts;
  /** The identity for TLS; null while there is none yet, undefined for plain text. */
  identity(): IdentityMaterial | null | undefined;
  readonly random: () => number;
}

/** A user with a stream. */
export interface ChannelUser {
  connected(session: ClientHttp2Session): void;
}

export class Channel {
  readonly #retry: Retry;
  readonly #users = new Set<ChannelUser>();
  readonly #logged = new Map<string, number>();
  #session: ClientHttp2Session | null = null;
  #connecting = false;
  #waiting: NodeJS.Timeout | null = null;
  #pinger: NodeJS.Timeout | null = null;
  #pingFactor = 1;
  #heard = false;
  #connectedAt = 0;
  #stopped = false;
  #was = false;
  #quiet = false;

  constructor(
    private readonly options: ChannelOptions,
    readonly deps: ChannelDeps,
  ) {
    this.#retry = new Retry(options.minBackoffMs, options.maxBackoffMs, deps.random);
    deps.counts.wanted = true;
    deps.counts.heardMs = Date.now();
  }

  get session(): ClientHttp2Session | null {
    return this.#session;
  }

  start(): void {
    void this.#connect();
  }

  /** There is an identity, or a new one: connections waiting for it continue. An established connection keeps the old one. */
  identityChanged(): void {
    if (this.#session === null && this.#waiting === null) void this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    this.#users.clear();
    if (this.#waiting !== null) clearTimeout(this.#waiting);
    this.#waiting = null;
    this.deps.counts.wanted = false;
    this.#session?.destroy();
  }

  join(user: ChannelUser): void {
    this.#users.add(user);
    if (this.#session !== null) user.connected(this.#session);
  }

  leave(user: ChannelUser): void {
    this.#users.delete(user);
  }

  /** Data has arrived. */
  heard(): void {
    this.#heard = true;
    this.deps.counts.heardMs = Date.now();
  }

  /** Counts a failure, and logs it if it is new. */
  failed(reason: LookupFailure, message: string, fields: Record<string, unknown> = {}): void {
    this.deps.counts.failures[reason]++;
    const now = performance.now();
    const last = this.#logged.get(reason);
    if (last !== undefined && now - last < LOG_MS) return;
    this.#logged.set(reason, now);
    const { host, port } = this.options;
    this.deps.logger.warn(message, { server: `${host}:${port}`, ...fields });
  }

  async #connect(): Promise<void> {
    const identity = this.deps.identity();
    if (this.#stopped || this.#connecting || identity === null) return;
    this.#connecting = true;
    try {
      const { random } = this.deps;
      const { host, port, serverName, timeoutMs } = this.options;
      const tls = identity === undefined ? null : { serverName, anchors: identity.anchors, own: identity };
      const where = { host, port, timeoutMs, timeoutKey: 'destination.timeout', random };
      const session = await openConnection(where, tls);
      if (this.#stopped) session.destroy();
      else this.#opened(session);
    } catch (error) {
      if (!this.#stopped) {
        this.#quiet = false;
        this.failed(
          error instanceof ConnectTimeout ? 'timeout' : 'unreachable',
          'the destination service cannot be reached; known destinations stay in use, others are dialled at their original address',
          { reason: error instanceof Error ? error.message : String(error) },
        );
        this.#later(0);
      }
    } finally {
      this.#connecting = false;
    }
  }

  #later(livedMs: number): void {
    if (this.#stopped) return;
    this.#waiting = setTimeout(() => {
      this.#waiting = null;
      void this.#connect();
    }, this.#retry.next(livedMs));
  }

  #opened(session: ClientHttp2Session): void {
    const { counts, logger } = this.deps;
    const { host, port } = this.options;
    this.#session = session;
    this.#connectedAt = performance.now();
    counts.connected = true;
    counts.connects++;
    this.heard();
    this.#logged.clear();
    if (!this.#quiet)
      logger.info(
        this.#was ? 'the destination service can be reached again' : 'the destination service can be reached',
        {
          server: `${host}:${port}`,
        },
      );
    this.#was = true;
    this.#quiet = false;
    let asked = false;
    session.on('goaway', (code) => {
      asked = code === NO_ERROR;
      if (code === ENHANCE_YOUR_CALM) this.#pingFactor = Math.min(MAX_PING_FACTOR, this.#pingFactor * 2);
      // It accepts no new streams: existing ones continue on the next connection.
      session.destroy();
    });
    session.once('close', () => this.#lost(session, asked));
    if (session.destroyed || session.closed) {
      this.#lost(session, false);
      return;
    }
    this.#ping(session);
    for (const user of [...this.#users]) user.connected(session);
  }

  /** `asked`: the server asked us to go elsewhere, because it stops or rebalances. */
  #lost(session: ClientHttp2Session, asked: boolean): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.deps.counts.connected = false;
    if (this.#pinger !== null) clearInterval(this.#pinger);
    this.#pinger = null;
    if (this.#stopped) return;
    // Normal events are not logged.
    this.#quiet = asked;
    if (!asked)
      this.failed('broken', 'the connection to the destination service is lost; known destinations stay in use');
    this.#later(performance.now() - this.#connectedAt);
  }

  /** Checks whether a silent server is still there. */
  #ping(session: ClientHttp2Session): void {
    const { keepAliveMs, keepAliveTimeoutMs } = this.options;
    if (keepAliveMs === 0) return;
    this.#pinger = setInterval(() => {
      if (this.#heard || session.destroyed) {
        this.#heard = false;
        return;
      }
      const late = setTimeout(() => {
        this.failed('timeout', 'the destination service no longer answers (destination.keepAliveTimeout)');
        session.destroy();
      }, keepAliveTimeoutMs);
      session.ping((error) => {
        clearTimeout(late);
        if (error === null) this.heard();
        this.#heard = false;
      });
    }, keepAliveMs * this.#pingFactor);
  }
}
