// A header of the PROXY protocol for a connection that is made for a client.
import { bytesOf, type Endpoint, parseName } from './addresses.js';

/** Longest header that is written: version 1 with two long addresses. */
export const MAX_WRITTEN_BYTES = 107;

export type ProxyVersion = 1 | 2;

/**
 * Writes the header for a client `source` that was going to `destination` (`ip:port`, `[ip6]:port`), at `at` of `bytes`, and returns
 * its length. Where either is not to be told ('') the header says that it is unknown.
 */
export function writeHeader(
  version: ProxyVersion,
  source: string,
  destination: string,
  bytes: Uint8Array,
  at: number,
): number {
  let from = parseName(source);
  let to = parseName(destination);
  if (from !== null && to !== null && from.family !== to.family) {
    // Both have to be of one family.
    from = mapped(from);
    to = mapped(to);
  }
  const header = version === 1 ? textOf(from, to) : blockOf(from, to);
  bytes.set(header, at);
  return header.length;
}

const mapped = ({ family, host, port }: Endpoint): Endpoint => ({
  family: 6,
  host: family === 4 ? `::ffff:${host}` : host,
  port,
});

function textOf(from: Endpoint | null, to: Endpoint | null): Uint8Array {
  const text =
    from === null || to === null
      ? 'PROXY UNKNOWN\r\n'
      : `PROXY TCP${from.family} ${from.host} ${to.host} ${from.port} ${to.port}\r\n`;
  return Buffer.from(text, 'latin1');
}

function blockOf(from: Endpoint | null, to: Endpoint | null): Uint8Array {
  const signature = [...Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')];
  if (from === null || to === null) return Uint8Array.from([...signature, 0x21, 0, 0, 0]);
  const addresses = [
    ...bytesOf(from.host),
    ...bytesOf(to.host),
    from.port >> 8,
    from.port & 0xff,
    to.port >> 8,
    to.port & 0xff,
  ];
  return Uint8Array.from([...signature, 0x21, from.family === 4 ? 0x11 : 0x21, 0, addresses.length, ...addresses]);
}
