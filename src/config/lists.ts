// Comma-separated lists, as in annotations and variables.
import type { Network } from './addresses.js';
import { MAX_RULES, parsePath } from './authorization.js';
import type { PortRange } from './authorization-model.js';
import { parseNetwork } from './networks.js';
import { describe, parsePort, parsePorts, ValueError } from './values.js';

/** Half of the rules of a listener. */
export const MAX_PROBES = MAX_RULES / 2;

/** An HTTP probe of the pod's own kubelet. */
export interface Probe {
  readonly port: number;
  readonly path: string;
}

/** Items of a list; an extra comma is ignored. `none` is the empty list, because an empty variable counts as unset. */
function items(input: unknown, example: string): string[] {
  if (input === 'none') return [];
  if (typeof input === 'number') return [String(input)];
  if (typeof input !== 'string' || input.trim() === '')
    throw new ValueError(`found ${describe(input)}; write a list with commas, such as "${example}", or none`);
  return input
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** `3306,4000-4010` */
export const parsePortList = (input: unknown): PortRange[] =>
  items(input, '3306,4000-4010').map((item) => parsePorts(item));

/** `10.0.0.0/8,fd00::/8` */
export const parseNetworkList = (input: unknown): Network[] =>
  items(input, '10.0.0.0/8,fd00::/8').map((item) => parseNetwork(item));

/** `8080/healthz,8081/ready`; the query of a path is ignored. */
export function parseProbeList(input: unknown): Probe[] {
  const probes = items(input, '8080/healthz,8081/ready').map((item) => {
    const slash = item.indexOf('/');
    if (slash < 0)
      throw new ValueError(`${describe(item)} has no path; write a port and a path, such as "8080/healthz"`);
    return { port: parsePort(item.slice(0, slash), 1), path: parsePath(item.slice(slash).replace(/\?.*$/, '')) };
  });
  if (probes.length > MAX_PROBES)
    throw new ValueError(`has ${probes.length} probes; write at most ${MAX_PROBES}, as each is a rule of the listener`);
  return probes;
}
