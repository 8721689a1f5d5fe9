// Checks that a schema cannot express because they concern two places at once. They read the raw tree, so that they work in files with
// other errors; the schema reports wrong shapes.
import { MAX_LISTENERS } from '../metrics/layout.js';
import { MAX_ENDPOINTS, MAX_SERVICES } from '../proxy/capacity.js';
import { checkAuthorization } from './authorization.js';
import type { PortRange } from './authorization-model.js';
import { destinationChecks } from './destination.js';
import type { Finding } from './finding.js';
import { identityChecks } from './identity.js';
import { overlappingMatches } from './match-checks.js';
import type { Address } from './model.js';
import { defaultOpaquePorts } from './ports.js';
import type { KeyPath } from './problem.js';
import { formatPath } from './problem.js';
import { suggest } from './suggest.js';
import { listenerMeshFindings, listenerTlsFindings, serviceTlsFindings } from './tls-checks.js';
import {
  attempt,
  parseDuration,
  parseEndpoint,
  parseListen,
  parseName,
  parsePorts,
  parseSize,
  ValueError,
} from './values.js';

type Tree = Readonly<Record<string, unknown>>;

const isMap = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);
const asMap = (value: unknown): Tree => (isMap(value) ? value : {});
const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const isIPv6 = (address: Address): boolean => address.host.includes(':');

interface Place {
  readonly path: KeyPath;
  readonly text: unknown;
}

/**
 * The listeners on a port. Listening sockets have SO_REUSEPORT, so the kernel would not refuse the second one but share out connections.
 * `[::]` includes IPv4 (net.ipv6.bindv6only is 0), `0.0.0.0` all of IPv4.
 */
class Port {
  private readonly byHost = new Map<string, Place>();
  private first: Place | undefined;
  private firstIPv4: Place | undefined;

  /** The listener that would also get a connection to `address`. */
  owner(address: Address): Place | undefined {
    const { byHost } = this;
    const other = byHost.get(address.host) ?? byHost.get('::');
    if (other !== undefined) return other;
    if (address.host === '::') return this.first;
    if (isIPv6(address)) return undefined;
    return address.host === '0.0.0.0' ? this.firstIPv4 : byHost.get('0.0.0.0');
  }

  add(address: Address, place: Place): void {
    this.byHost.set(address.host, place);
    this.first ??= place;
    if (!isIPv6(address)) this.firstIPv4 ??= place;
  }
}

function listenerNames(listeners: readonly unknown[]): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, number>();
  for (const [index, item] of listeners.entries()) {
    const name = attempt(() => parseName(asMap(item).name));
    if (name === undefined) continue;
    const first = seen.get(name);
    if (first === undefined) seen.set(name, index);
    else {
      const message = `"${name}" is taken by ${formatPath(['listeners', first])}; use another name`;
      findings.push({ path: ['listeners', index, 'name'], message, at: 'value' });
    }
  }
  return findings;
}

function listenAddresses(root: Tree, listeners: readonly unknown[]): Finding[] {
  const findings: Finding[] = [];
  const ports = new Map<number, Port>();
  const places: Place[] = listeners.map((item, index) => ({
    path: ['listeners', index, 'listen'],
    text: asMap(item).listen,
  }));
  const { admin = {} } = root;
  if (isMap(admin)) {
    places.unshift({ path: ['admin', 'listen'], text: admin.listen ?? '127.0.0.1:4191' });
  }
  for (const { path, text } of places) {
    const address = attempt(() => parseListen(text));
    if (address === undefined || address.port === 0) continue;
    const port = ports.get(address.port) ?? new Port();
    ports.set(address.port, port);
    const other = port.owner(address);
    if (other === undefined) port.add(address, { path, text });
    else {
      const message = `${JSON.stringify(text)} collides with ${formatPath(other.path)} (${String(other.text)}); use another port`;
      findings.push({ path, message, at: 'value' });
    }
  }
  return findings;
}

const VERDICTS = ['http1', 'http2', 'tls', 'opaque'] as const;

function listenerServices(listener: Tree, index: number, known: ReadonlySet<string> | undefined): Finding[] {
  const path = ['listeners', index];
  const findings: Finding[] = [];
  const reference = (value: unknown, ...keys: string[]): void => {
    const name = value === null ? undefined : attempt(() => parseName(value));
    if (name === undefined || known === undefined || known.has(name)) return;
    findings.push({
      path: [...path, ...keys],
      message: `there is no service "${name}"; ${suggest(name, [...known])}`,
      at: 'value',
    });
  };
  // The schema reports a value that is neither true nor false.
  if (listener.originalDestination !== undefined && listener.originalDestination !== false) {
    const key = ['service', 'services'].find((name) => listener[name] !== undefined);
    if (key === undefined) return [];
    const message =
      'conflicts with originalDestination, which routes by the address that the client dialled; ' +
      'remove it, and name the addresses of a service in services.NAME.match';
    return [{ path: [...path, key], message, at: 'key' }];
  }
  if (listener.service === undefined && listener.services === undefined) {
    return [
      {
        path,
        message:
          'has no service; add service: NAME for all traffic, services: with one for each protocol, ' +
          'or originalDestination: true',
        at: 'value',
      },
    ];
  }
  if (listener.service !== undefined) reference(listener.service, 'service');
  if (listener.services === undefined) return findings;
  if (listener.service !== undefined) {
    findings.push({ path: [...path, 'services'], message: 'conflicts with service; keep one of the two', at: 'key' });
  }
  const { services } = listener;
  if (!isMap(services)) return findings;
  for (const [key, value] of Object.entries(services)) reference(value, 'services', key);
  const serves = (key: string): boolean =>
    (services[key] === undefined ? (services.default ?? null) : services[key]) !== null;
  const protocol = VERDICTS.find((verdict) => verdict === listener.protocol);
  if (!VERDICTS.some(serves)) {
    findings.push({
      path: [...path, 'services'],
      message: `names no service, so everything is refused; add one of ${VERDICTS.join(', ')}, default`,
      at: 'value',
    });
  } else if (protocol !== undefined && !serves(protocol)) {
    const message = `has none for ${protocol}, the protocol of this listener; add ${protocol}: NAME`;
    findings.push({ path: [...path, 'services'], message, at: 'value' });
  }
  return findings;
}

/** `low` must not exceed `high` if the file has both; a default gives way (see build.ts). */
function ordered(map: unknown, path: KeyPath, low: string, high: string, parse: (value: unknown) => number): Finding[] {
  const values = asMap(map);
  if (values[low] === undefined || values[high] === undefined) return [];
  const lowest = attempt(() => parse(values[low]));
  const highest = attempt(() => parse(values[high]));
  if (lowest === undefined || highest === undefined || lowest <= highest) return [];
  const message = `${String(values[low])} exceeds ${high} (${String(values[high])}); lower it or raise ${high}`;
  return [{ path: [...path, low], message, at: 'value' }];
}

const bytes = (value: unknown): number => parseSize(value, 0, Number.MAX_SAFE_INTEGER);
const milliseconds = (value: unknown): number => parseDuration(value, { in: 'ms', step: 0 });

/** A service's settings for dialling endpoints. */
const dialling = (map: Tree, path: KeyPath): Finding[] => [
  ...ordered(map.breaker, [...path, 'breaker'], 'minBackoff', 'maxBackoff', milliseconds),
  ...ordered(map.dns, [...path, 'dns'], 'minTtl', 'maxTtl', milliseconds),
  ...ordered(map.pool, [...path, 'pool'], 'maxIdle', 'maxConnections', Number),
  ...ordered(map.pool, [...path, 'pool'], 'spares', 'http2Connections', Number),
];

function destination(value: unknown, identity: unknown): Finding[] {
  if (!isMap(value)) return [];
  return [
    ...destinationChecks(value, isMap(identity) ? identity : null),
    ...ordered(value, ['destination'], 'minBackoff', 'maxBackoff', milliseconds),
    ...dialling(asMap(value.defaults), ['destination', 'defaults']),
  ];
}

function service(name: string, value: unknown): Finding[] {
  const path = ['services', name];
  const map = asMap(value);
  const findings: Finding[] = dialling(map, path);
  if (map.proxyProtocol !== undefined && map.protocol !== 'opaque') {
    const message =
      'needs protocol: opaque, because a PROXY header belongs to one client and HTTP connections are shared by many. ' +
      'Add protocol: opaque, or remove it';
    findings.push({ path: [...path, 'proxyProtocol'], message, at: 'key' });
  }
  findings.push(...serviceTlsFindings(name, map));
  try {
    parseName(name);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    findings.push({ path, message: error.message, at: 'key' });
  }
  const seen = new Map<string, number>();
  for (const [index, text] of asList(map.endpoints).entries()) {
    const isFile = isMap(text) && text.address === undefined;
    const endpoint = isFile ? text : attempt(() => parseEndpoint(isMap(text) ? text.address : text));
    if (endpoint === undefined) continue;
    if (isMap(text) && text.proxy !== undefined && text.identity === undefined) {
      const message = 'needs identity, because a proxy of the mesh is addressed by name. Add identity, or remove it';
      findings.push({ path: [...path, 'endpoints', index, 'proxy'], message, at: 'key' });
    }
    const identity = isFile ? JSON.stringify([text.file, text.key]) : JSON.stringify(endpoint).toLowerCase();
    const first = seen.get(identity);
    if (first === undefined) seen.set(identity, index);
    else {
      const message = `${JSON.stringify(isFile || !isMap(text) ? text : text.address)} is listed twice, first as ${formatPath(['endpoints', first])}; remove one`;
      findings.push({ path: [...path, 'endpoints', index], message, at: 'value' });
    }
  }
  return findings;
}

function http2(limits: Tree, services: Tree): Finding[] {
  const path = ['limits', 'http2'];
  const map = asMap(limits.http2);
  const findings = [
    ...ordered(map, path, 'streamWindow', 'maxStreamWindow', bytes),
    // One message about a stream window larger than the connection's is enough.
    ...(map.maxStreamWindow === undefined
      ? ordered(map, path, 'streamWindow', 'connectionWindow', bytes)
      : ordered(map, path, 'maxStreamWindow', 'connectionWindow', bytes)),
  ];
  const buffered = { maxBuffered: map.maxBuffered, 'limits.slab': limits.slab };
  findings.push(...ordered(buffered, path, 'maxBuffered', 'limits.slab', bytes));
  for (const [name, service] of Object.entries(services)) {
    const { replayBytes } = asMap(asMap(service).retry);
    if (replayBytes === 'auto') continue;
    // A worker's memory is not raised for a service, so the default counts as well.
    const both = { replayBytes, 'limits.http2.maxReplay': map.maxReplay ?? '8MiB' };
    findings.push(...ordered(both, ['services', name, 'retry'], 'replayBytes', 'limits.http2.maxReplay', bytes));
  }
  return findings;
}

function identity(value: unknown): Finding[] {
  if (!isMap(value)) return [];
  return [
    ...identityChecks(value),
    ...ordered(value, ['identity'], 'minBackoff', 'maxBackoff', milliseconds),
    ...ordered(value.linkerd, ['identity', 'linkerd'], 'minRefresh', 'maxRefresh', milliseconds),
  ];
}

function capacity(listeners: readonly unknown[], services: Tree): Finding[] {
  const findings: Finding[] = [];
  // Slot 0 of each table is unused.
  const check = (path: KeyPath, count: number, slots: number, what: string): void => {
    if (count < slots) return;
    findings.push({
      path,
      message: `${count} ${what} are too many; use at most ${slots - 1}, or a second Sluice`,
      at: 'key',
    });
  };
  const endpoints = Object.values(services).reduce<number>(
    (sum, item) => sum + asList(asMap(item).endpoints).length,
    0,
  );
  check(['listeners'], listeners.length, MAX_LISTENERS, 'listeners');
  check(['services'], Object.keys(services).length, MAX_SERVICES, 'services');
  check(['services'], endpoints, MAX_ENDPOINTS, 'endpoints in all services');
  return findings;
}

function opaquePorts(value: unknown): Finding[] {
  const map = asMap(value);
  const findings: Finding[] = [];
  if (map.only !== undefined && (map.add !== undefined || map.remove !== undefined)) {
    findings.push({
      path: ['opaquePorts', 'only'],
      message: 'replaces the list, so it cannot be combined with add or remove; keep one of them',
      at: 'key',
    });
  }
  const ranges = (list: unknown): (PortRange | undefined)[] =>
    asList(list).map((item) => attempt(() => parsePorts(item)));
  const added = ranges(map.add);
  for (const [index, range] of ranges(map.remove).entries()) {
    if (range === undefined || defaultOpaquePorts.some((port) => port >= range.first && port <= range.last)) continue;
    const path = ['opaquePorts', 'remove', index];
    const isAdded = added.some(
      (other) => other !== undefined && other.first <= range.last && range.first <= other.last,
    );
    const text = range.first === range.last ? `${range.first}` : `${range.first}-${range.last}`;
    if (!isAdded)
      findings.push({
        path,
        message: `${text} is not in the default list (${defaultOpaquePorts.join(', ')}); remove the line`,
        at: 'value',
      });
  }
  return findings;
}

/** `line`: the line of a key in the file. */
export function crossChecks(tree: unknown, line: (path: KeyPath) => number): Finding[] {
  const root = asMap(tree);
  const listeners = asList(root.listeners);
  const services = asMap(root.services);
  // If services have no readable names, references can't be checked.
  const known = isMap(root.services) ? new Set(Object.keys(services)) : undefined;
  return [
    ...listenerNames(listeners),
    ...listenAddresses(root, listeners),
    ...listeners.flatMap((item, index) => (isMap(item) ? listenerServices(item, index, known) : [])),
    ...listeners.flatMap((item, index) => (isMap(item) ? listenerTlsFindings(item, index) : [])),
    ...checkAuthorization(root.authorization, ['authorization']),
    ...listeners.flatMap((item, index) =>
      checkAuthorization(asMap(item).authorization, ['listeners', index, 'authorization']),
    ),
    ...listeners.flatMap((item, index) => (isMap(item) ? listenerMeshFindings(item, index, isMap(root.identity)) : [])),
    ...Object.entries(services).flatMap(([name, value]) => service(name, value)),
    ...overlappingMatches(
      Object.entries(services).map(([name, value]) => [name, asList(asMap(value).match)] as const),
      line,
    ),
    ...capacity(listeners, services),
    ...identity(root.identity),
    ...destination(root.destination, root.identity),
    ...opaquePorts(root.opaquePorts),
    ...ordered(root.limits, ['limits'], 'maxBuffered', 'slab', bytes),
    ...http2(asMap(root.limits), services),
  ];
}
