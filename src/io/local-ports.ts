// The ports that the kernel gives to connections.
import { readFileSync } from 'node:fs';

/** Where it can't be read: the first port that needs no privilege. */
const UNPRIVILEGED = 1024;

/** The first of them, as of now. */
export function lowestLocalPort(file = '/proc/sys/net/ipv4/ip_local_port_range'): number {
  try {
    const lowest = Number.parseInt(readFileSync(file, 'latin1'), 10);
    return lowest > 0 ? lowest : UNPRIVILEGED;
  } catch {
    return UNPRIVILEGED;
  }
}
