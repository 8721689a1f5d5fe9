// Clients' HTTP/2 connections: dead ones are detected, idle ones closed, old ones replaced so that clients spread over replicas, and all
// ended one after the other at shutdown.
import type { Http2Session, ServerHttp2Session } from 'node:http2';

export interface ConnectionLimits {
  /** Time without a call. */
  readonly idleMs: number;
  /** Interval of pings; a connection that does not answer within it is cut off. */
  readonly pingMs: number;
  readonly pongMs: number;
  /** Age at which a connection is replaced, plus up to a tenth. */
  readonly maxAgeMs: number;
}

/** An open call on a connection. */
export interface OpenCall {
  /** Ends it so that its caller asks another replica. */
  leave(): void;
}

interface Connection {
  readonly session: ServerHttp2Session;
  readonly calls: Set<OpenCall>;
  readonly endsMs: number;
  /** When it became idle. */
  idleMs: number;
  pingedMs: number;
  /** A ping has not been answered yet. */
  awaited: boolean;
  closing: boolean;
}

const AGE_JITTER = 0.1;
const SWEEPS = 10;

export class Connections {
  readonly #open = new Map<Http2Session, Connection>();
  readonly #timer: NodeJS.Timeout;
  readonly #emptied = new Set<() => void>();
  #draining = false;

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly swept: (nowMs: number) => void,
    private readonly now: () => number = () => performance.now(),
  ) {
    const every = Math.max(Math.min(limits.idleMs, limits.pingMs, limits.pongMs, limits.maxAgeMs) / SWEEPS, 1);
    this.#timer = setInterval(() => this.#sweep(), every);
    this.#timer.unref();
  }

  add(session: ServerHttp2Session): void {
    const nowMs = this.now();
    const endsMs = nowMs + this.limits.maxAgeMs * (1 + AGE_JITTER * Math.random());
    const calls = new Set<OpenCall>();
    const connection = { session, calls, endsMs, idleMs: nowMs, pingedMs: nowMs, awaited: false, closing: false };
    this.#open.set(session, connection);
    session.on('error', () => undefined);
    session.once('close', () => {
      this.#open.delete(session);
      if (this.#open.size === 0) for (const emptied of this.#emptied) emptied();
    });
    if (this.#draining) retire(connection);
  }

  begun(session: Http2Session | undefined, call: OpenCall): void {
    const connection = this.#of(session);
    connection?.calls.add(call);
    // It was on its way when its connection was told to end.
    if (connection?.closing) call.leave();
  }

  ended(session: Http2Session | undefined, call: OpenCall): void {
    const connection = this.#of(session);
    if (connection === undefined) return;
    connection.calls.delete(call);
    connection.idleMs = this.now();
  }

  #of(session: Http2Session | undefined): Connection | undefined {
    return session === undefined ? undefined : this.#open.get(session);
  }

  /** Ends all of them, one after the other within `spreadMs`, and cuts off what is open after `graceMs`; true if nothing had to be. */
  async drain(spreadMs: number, graceMs: number): Promise<boolean> {
    clearInterval(this.#timer);
    this.#draining = true;
    const all = [...this.#open.values()];
    const timers = all.map((connection, at) => setTimeout(() => retire(connection), (spreadMs * at) / all.length));
    let clean = true;
    if (this.#open.size > 0)
      await new Promise<void>((resolve) => {
        const cut = setTimeout(() => {
          clean = false;
          resolve();
        }, graceMs);
        this.#emptied.add(() => {
          clearTimeout(cut);
          resolve();
        });
      });
    for (const timer of timers) clearTimeout(timer);
    this.cut();
    return clean;
  }

  cut(): void {
    clearInterval(this.#timer);
    for (const { session } of this.#open.values()) session.destroy();
  }

  #sweep(): void {
    const nowMs = this.now();
    for (const connection of this.#open.values()) this.#look(connection, nowMs);
    this.swept(nowMs);
  }

  #look(connection: Connection, nowMs: number): void {
    const { idleMs, pingMs, pongMs } = this.limits;
    const { session, calls, closing } = connection;
    const idle = calls.size === 0 && nowMs - connection.idleMs > idleMs;
    if (!closing && (idle || nowMs > connection.endsMs)) retire(connection);
    // A connection without calls has ended by now.
    if (session.destroyed) return;
    if (connection.awaited && nowMs - connection.pingedMs > pongMs) session.destroy();
    else if (!connection.awaited && nowMs - connection.pingedMs > pingMs) {
      connection.pingedMs = nowMs;
      connection.awaited = session.ping(() => {
        connection.awaited = false;
      });
    }
  }
}

/** GOAWAY, then the end of each call: its caller knows at once that it should ask again, elsewhere. */
function retire(connection: Connection): void {
  connection.closing = true;
  if (connection.session.destroyed) return;
  connection.session.close();
  for (const call of connection.calls) call.leave();
}
