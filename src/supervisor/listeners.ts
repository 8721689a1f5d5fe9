// The listening sockets: one per listener and worker (SO_REUSEPORT), owned by the main thread, so that a dead worker's queue waits for its
// replacement. They share the port among themselves, and with others only if the listener allows it.
import type { ListenerConfig } from '../config/model.js';
import { type Native, PORT } from '../io/native.js';

interface Sockets {
  /** One per worker; -1 once closed. */
  readonly fds: number[];
  readonly host: string;
  /** The port that was actually bound (a configured 0 means any). */
  readonly port: number;
}

/** Two configurations of a listener with the same key use the same socket. */
export const listenerKey = (config: ListenerConfig): string =>
  `${config.name}|${config.listen.host}|${config.listen.port}`;

export class ListenerSet {
  private readonly open = new Map<string, Sockets>();
  /** Sockets of removed listeners whose workers have not emptied the queues yet. */
  private readonly closing = new Set<Sockets>();

  constructor(
    private readonly native: Native,
    private readonly workers: number,
  ) {}

  /**
   * Opens the new ones in `configs`. Throws, with nothing opened, if one can't be bound, and names where its port is written. Returns what it
   * opened.
   */
  add(
    configs: readonly ListenerConfig[],
    placeOf: (index: number) => string = (index) => `listeners[${index}].listen`,
  ): string[] {
    const added: string[] = [];
    try {
      for (const [index, config] of configs.entries()) {
        const key = listenerKey(config);
        if (this.open.has(key)) continue;
        this.open.set(key, this.bind(config, placeOf(index)));
        added.push(key);
      }
    } catch (error) {
      for (const key of added) this.closeAll(key);
      throw error;
    }
    return added;
  }

  /** Closes sockets that no worker has been given yet. */
  closeAll(key: string): void {
    const sockets = this.open.get(key);
    if (sockets === undefined) return;
    this.open.delete(key);
    this.closeFds(sockets);
  }

  /** Retires what is not in `keys`; the sockets are closed once their workers have released them. */
  retire(keys: ReadonlySet<string>): string[] {
    const gone: string[] = [];
    for (const [key, sockets] of this.open) {
      if (keys.has(key)) continue;
      this.open.delete(key);
      this.closing.add(sockets);
      gone.push(key);
    }
    return gone;
  }

  /** A worker has emptied the queue of this socket: closes it. */
  released(worker: number, fd: number): void {
    for (const sockets of [...this.closing, ...this.open.values()]) {
      if (sockets.fds[worker] === fd) this.closeOne(sockets, worker);
    }
  }

  /** A worker died: nobody will empty the queues that it was leaving. */
  abandoned(worker: number): void {
    for (const sockets of this.closing) this.closeOne(sockets, worker);
  }

  fd(key: string, worker: number): number {
    return this.open.get(key)?.fds[worker] ?? -1;
  }

  port(key: string): number {
    return this.open.get(key)?.port ?? 0;
  }

  close(): void {
    for (const key of [...this.open.keys()]) this.closeAll(key);
    for (const sockets of this.closing) this.closeFds(sockets);
    this.closing.clear();
  }

  private bind(config: ListenerConfig, path: string): Sockets {
    const { host } = config.listen;
    let { port } = config.listen;
    const fds: number[] = [];
    // A renamed listener, or a removed one that is not empty yet, has sockets on this very port.
    let sharing: number = config.shared || this.isOurs(host, port) ? PORT.SHARED : PORT.FIRST;
    try {
      for (let worker = 0; worker < this.workers; worker++) {
        const fd = this.native.listen(host, port, config.backlog, sharing, config.keepAliveMs, config.userTimeoutMs);
        fds.push(fd);
        sharing = PORT.SHARED;
        if (port === 0) port = this.native.localPort(fd);
      }
    } catch (error) {
      for (const fd of fds) this.native.close(fd);
      const code = (error as NodeJS.ErrnoException).code ?? '';
      throw Object.assign(new Error(`listener ${config.name}: ${explainListen(host, port, path, code, error)}`), {
        code,
      });
    }
    return { fds, host, port };
  }

  /** Whether one of our sockets accepts connections to that address. */
  private isOurs(host: string, port: number): boolean {
    if (port === 0) return false;
    for (const sockets of this.open.values()) if (sockets.port === port && overlap(sockets.host, host)) return true;
    for (const sockets of this.closing) if (sockets.port === port && overlap(sockets.host, host)) return true;
    return false;
  }

  private closeOne(sockets: Sockets, worker: number): void {
    if (sockets.fds[worker] < 0) return;
    this.native.close(sockets.fds[worker]);
    sockets.fds[worker] = -1;
    if (sockets.fds.every((fd) => fd < 0)) this.closing.delete(sockets);
  }

  private closeFds(sockets: Sockets): void {
    for (const fd of sockets.fds) if (fd >= 0) this.native.close(fd);
    sockets.fds.fill(-1);
  }
}

/** Whether listening on one address prevents listening on the other. `::` covers IPv4 too. */
function overlap(a: string, b: string): boolean {
  if (a === b || a === '::' || b === '::') return true;
  if (a.includes(':') || b.includes(':')) return false;
  return a === '0.0.0.0' || b === '0.0.0.0';
}

function explainListen(host: string, port: number, path: string, code: string, error: unknown): string {
  const at = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return (
        `${at} is in use by another process; ss -tanp 'sport = :${port}' shows it, even if the port is only the ` +
        `local end of a connection; stop that process, or write another port in ${path}`
      );
    case 'EACCES':
      return `this user may not listen on ${at}; choose a port above 1023 or grant CAP_NET_BIND_SERVICE`;
    case 'EADDRNOTAVAIL':
      return `${at}: this machine does not have that address`;
    case 'EAFNOSUPPORT':
      return `${at}: this machine has no IPv6; listen on 0.0.0.0:${port}`;
    default:
      return `cannot listen on ${at}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
