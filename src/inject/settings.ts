// The settings of one pod's proxy, from all annotations.

import { SIDECAR_PORTS } from '../config/sidecar.js';
import type { LogLevel } from '../config/telemetry-model.js';
import type { PortSpan } from '../redirect/port-list.js';
import type { Setting } from './annotations.js';
import type { Layers } from './layers.js';
import { logLevelOf } from './log-level.js';
import type { PlainMap } from './plain.js';
import {
  additionalVariables,
  parseBoolean,
  parseDuration,
  parseInteger,
  parseOneOf,
  parseOnOff,
  parseQuantity,
  policy,
  pullPolicy,
  quantityOf,
  type Read,
} from './values.js';

export const ADMIN_PORT = 4191;
export const PROXY_USER = 2102;
const MAX_ID = 2 ** 31 - 1;

export interface Ports {
  readonly inbound: number;
  readonly outbound: number;
  readonly admin: number;
}

/** Null: not set, so the proxy's own default applies. */
export interface Settings {
  readonly opaque: readonly PortSpan[];
  readonly skipInbound: readonly PortSpan[];
  readonly skipOutbound: readonly PortSpan[];
  readonly skipSubnets: readonly string[];
  readonly ports: Ports;
  /** In the form of a container's `resources`; empty if nothing is set. */
  readonly resources: PlainMap;
  readonly workers: number;
  readonly uid: number;
  readonly gid: number | null;
  readonly logLevel: LogLevel | null;
  readonly accessLog: boolean | null;
  readonly adminShutdown: boolean;
  /** Durations in ms. */
  readonly grace: number | null;
  readonly connectInbound: number | null;
  readonly connectOutbound: number | null;
  readonly lookupIdle: number | null;
  readonly waitsForEver: boolean;
  readonly native: boolean;
  readonly awaited: boolean;
  readonly waitBeforeExitSeconds: number;
  readonly closeWaitSeconds: number | null;
  readonly inboundPolicy: string | null;
  readonly additional: readonly PlainMap[];
  readonly image: string | null;
  readonly version: string | null;
  readonly pullPolicy: string | null;
  readonly projectsToken: boolean;
  readonly seccomp: string | null;
}

const port = (text: string): Read<number> => parseInteger(text, 1, 65_535);

function portsOf(layers: Layers): Ports {
  const ports: Ports = {
    inbound: layers.value('inbound-port', port) ?? SIDECAR_PORTS.inbound,
    outbound: layers.value('outbound-port', port) ?? SIDECAR_PORTS.outbound,
    admin: layers.value('admin-port', port) ?? ADMIN_PORT,
  };
  if (new Set(Object.values(ports)).size === 3) return ports;
  const message = `two of the ports of the proxy are the same (${Object.values(ports).join(', ')}), so all three keep their defaults`;
  for (const name of ['inbound-port', 'outbound-port', 'admin-port'] as const) layers.refuse(name, message);
  return { ...SIDECAR_PORTS, admin: ADMIN_PORT };
}

const RESOURCES = {
  cpu: { prefix: 'proxy-cpu', example: '100m or 1.5' },
  memory: { prefix: 'proxy-memory', example: '64Mi' },
  'ephemeral-storage': { prefix: 'proxy-ephemeral-storage', example: '1Gi' },
} as const;

/** An API server refuses a pod whose request exceeds its limit. */
function resourcesOf(layers: Layers): PlainMap {
  const requests: Record<string, string> = {};
  const limits: Record<string, string> = {};
  for (const [name, { prefix, example }] of Object.entries(RESOURCES)) {
    const limit = layers.value(`${prefix}-limit`, (text) => parseQuantity(text, example));
    const request = layers.value(`${prefix}-request`, (text) => parseQuantity(text, example, 0));
    if (limit !== null) limits[name] = limit;
    if (request === null) continue;
    if (limit !== null && quantityOf(request) > quantityOf(limit))
      layers.refuse(`${prefix}-request`, `${request} is above the limit of ${limit}, which counts as the request too`);
    else requests[name] = request;
  }
  return {
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(Object.keys(requests).length === 0 ? {} : { requests }),
  };
}

/** One worker per core of the limit, rounded up. */
function workersOf(layers: Layers, resources: PlainMap): number {
  const cpu = (resources.limits as Record<string, string> | undefined)?.cpu;
  const cores = cpu === undefined ? 1 : Math.ceil(quantityOf(cpu));
  if (cores <= 64) return cores;
  layers.refuse('proxy-cpu-limit', `a proxy has at most 64 workers, so more cores are of no use`);
  return 64;
}

function waitsForEver(layers: Layers): boolean {
  const names: readonly Setting[] = [
    'proxy-disable-inbound-protocol-detect-timeout',
    'proxy-disable-outbound-protocol-detect-timeout',
  ];
  const [inbound, outbound] = names.map((name) => layers.value(name, parseBoolean) ?? false);
  if (inbound !== outbound)
    layers.refuse(
      inbound ? names[0] : names[1],
      'one timeout serves both directions; it stays, because the other one is not off',
    );
  return inbound && outbound;
}

function logLevel(text: string): Read<LogLevel> {
  const value = logLevelOf(text);
  return value === null
    ? {
        problem: `${JSON.stringify(text)} names no level; write error, warn, info or debug, or directives such as warn,linkerd=debug`,
      }
    : { value };
}

function accessLog(text: string): Read<boolean> {
  const read = parseOneOf(text, ['json', 'apache', 'none', 'true', 'false']);
  return 'value' in read ? { value: !['none', 'false'].includes(read.value) } : read;
}

const matching =
  (form: RegExp, what: string) =>
  (value: string): Read<string> =>
    form.test(value) ? { value } : { problem: `${JSON.stringify(value)} is not ${what}` };
const image = matching(/^[a-z0-9][\w./:@-]*$/i, 'an image name such as registry.example/sluice:1.0');
const tag = matching(/^\w[\w.-]{0,127}$/, 'a tag such as 1.0');
// In the API server's notation: relative to the folder of profiles.
const profile = matching(/^(?!\/)(?!(.*\/)?\.\.(\/|$))\S+$/, 'a path below the folder of seccomp profiles');

/** Reads each setting from the layer that decides; `layers` collects problems. */
export function readSettings(layers: Layers): Settings {
  const resources = resourcesOf(layers);
  const closeWait = layers.value('close-wait-timeout', parseDuration);
  return {
    opaque: layers.spans('opaque-ports', true),
    skipInbound: layers.spans('skip-inbound-ports', true),
    skipOutbound: layers.spans('skip-outbound-ports', false),
    skipSubnets: layers.networks('skip-subnets'),
    ports: portsOf(layers),
    resources,
    workers: workersOf(layers, resources),
    // Root's connections must not bypass the proxy.
    uid: layers.value('proxy-uid', (id) => parseInteger(id, 1, MAX_ID)) ?? PROXY_USER,
    gid: layers.value('proxy-gid', (id) => parseInteger(id, 1, MAX_ID)),
    logLevel: layers.value('proxy-log-level', logLevel),
    accessLog: layers.value('access-log', accessLog),
    adminShutdown: layers.value('proxy-admin-shutdown', parseOnOff) ?? false,
    grace: layers.value('shutdown-grace-period', parseDuration),
    connectInbound: layers.value('proxy-inbound-connect-timeout', parseDuration),
    connectOutbound: layers.value('proxy-outbound-connect-timeout', parseDuration),
    lookupIdle: layers.value('proxy-outbound-discovery-cache-unused-timeout', parseDuration),
    waitsForEver: waitsForEver(layers),
    native: layers.value('proxy-enable-native-sidecar', parseBoolean) ?? true,
    awaited: layers.value('proxy-await', parseOnOff) ?? true,
    waitBeforeExitSeconds:
      layers.value('proxy-wait-before-exit-seconds', (seconds) => parseInteger(seconds, 0, 86_400)) ?? 0,
    closeWaitSeconds: closeWait === null ? null : Math.max(1, Math.round(closeWait / 1000)),
    inboundPolicy: layers.value('default-inbound-policy', policy),
    additional: layers.all('proxy-additional-env', additionalVariables),
    image: layers.value('proxy-image', image),
    version: layers.value('proxy-version', tag),
    pullPolicy: layers.value('image-pull-policy', pullPolicy),
    projectsToken: layers.value('project-token', parseBoolean) ?? false,
    seccomp: layers.value('seccomp-profile', profile),
  };
}
