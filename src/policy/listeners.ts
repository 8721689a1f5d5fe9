// Which listener accepts a destination, in the kernel's order: exact addresses before wildcards.
import { isIP } from 'node:net';
import type { Config, ListenerConfig } from '../config/model.js';

/** The canonical form of a numeric address, for comparison; other texts in lower case. */
export function canonicalHost(host: string): string {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  if (isIP(bare) !== 6) return bare.toLowerCase();
  const canonical = new URL(`http://[${bare.split('%')[0]}]`).hostname.slice(1, -1);
  // An IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2) reaches the IPv4 listener.
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical);
  if (mapped === null) return canonical;
  const high = Number.parseInt(mapped[1], 16);
  const low = Number.parseInt(mapped[2], 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

export interface ListenerMatch {
  readonly listener: ListenerConfig;
  /** `exact`, or `wildcard` if the listener accepts every address of this machine. */
  readonly match: 'exact' | 'wildcard';
}

/** The listener that accepts connections to `host:port`; null if there is none. `host` is numeric, or a name of this machine. */
export function listenerFor(config: Config, host: string, port: number): ListenerMatch | null {
  const wanted = canonicalHost(host);
  const addresses = wanted === 'localhost' ? ['127.0.0.1', '::1'] : [wanted];
  const bound = config.listeners.filter((listener) => listener.listen.port === port);
  const at = (address: string) => bound.find((listener) => canonicalHost(listener.listen.host) === address);
  for (const address of addresses) {
    const listener = at(address);
    if (listener !== undefined) return { listener, match: 'exact' };
  }
  // 0.0.0.0 accepts IPv4 only; :: accepts both unless there is a separate IPv4 listener.
  const isV6 = isIP(wanted) === 6;
  const listener = isV6 ? at('::') : (at('0.0.0.0') ?? at('::'));
  return listener === undefined ? null : { listener, match: 'wildcard' };
}
