// The addresses that this proxy itself accepts on. A connection to one of them would loop forever.
import { networkInterfaces } from 'node:os';

/** How long to cache the list of this machine's addresses, ms. */
const FRESH_MS = 1000;

export class OwnAddresses {
  private readonly exact = new Set<string>();
  /** Ports on which the proxy listens on all IPv4 addresses, or on all addresses, of this machine. */
  private readonly anyIpv4 = new Set<number>();
  private readonly any = new Set<number>();
  private readonly ports = new Set<number>();
  private local = new Set<string>();
  private localAt = Number.NEGATIVE_INFINITY;

  /** `interfaces` lists the addresses of this machine. */
  constructor(private readonly interfaces: () => readonly string[] = machineAddresses) {}

  /** `names`: addresses of the listening sockets, as `ip:port` or `[ip6]:port`. */
  configure(names: readonly string[]): void {
    for (const set of [this.exact, this.anyIpv4, this.any, this.ports]) set.clear();
    for (const name of names) {
      const { host, port } = splitAddress(name);
      this.ports.add(port);
      if (host === '0.0.0.0') this.anyIpv4.add(port);
      else if (host === '::') this.any.add(port);
      else this.exact.add(name);
    }
  }

  /** Whether a listening socket has this port; otherwise `includes` is false. */
  hasPort(port: number): boolean {
    return this.ports.has(port);
  }

  /** Whether a connection to `name` would arrive at one of the listening sockets. `now` in ms. */
  includes(name: string, now: number): boolean {
    if (this.exact.has(name)) return true;
    const { host, port } = splitAddress(name);
    if (!this.any.has(port) && (host.includes(':') || !this.anyIpv4.has(port))) return false;
    return host.startsWith('127.') || this.isLocal(host, now);
  }

  private isLocal(host: string, now: number): boolean {
    if (now >= this.localAt + FRESH_MS) {
      this.local = new Set(this.interfaces());
      this.localAt = now;
    }
    return this.local.has(host);
  }
}

/** Host, without brackets and scope, and port of `ip:port` or `[ip6]:port`. */
export function splitAddress(name: string): { host: string; port: number } {
  const colon = name.lastIndexOf(':');
  const host = name.slice(0, colon).replace(/^\[|(%.*)?\]$/g, '');
  return { host, port: Number(name.slice(colon + 1)) };
}

const machineAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []);
