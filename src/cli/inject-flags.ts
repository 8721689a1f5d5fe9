// The options of `sluice inject` that become annotations, and options of `linkerd inject` that have no effect here.
import {
  ANNOTATIONS,
  defaultKey,
  isOwnSetting,
  OWN_ANNOTATIONS,
  type OwnSetting,
  type Setting,
  type Takes,
  UNSUPPORTED_ANNOTATIONS,
} from '../inject/annotations.js';
import { Layers } from '../inject/layers.js';
import { readSettings } from '../inject/settings.js';
import type { Arguments } from './usage.js';
import { UsageError } from './usage.js';

interface Flag {
  readonly setting: Setting | OwnSetting;
  readonly help: string;
  /** For a switch: its value if given without one. */
  readonly on?: string;
}

export const FLAGS: Readonly<Record<string, Flag>> = {
  'opaque-ports': {
    setting: 'opaque-ports',
    help: 'LIST    relayed without detection: 4406, 4000-4010, or +4406 to add to the default',
  },
  'skip-inbound-ports': { setting: 'skip-inbound-ports', help: 'LIST    ports of the pod that bypass the proxy' },
  'skip-outbound-ports': {
    setting: 'skip-outbound-ports',
    help: 'LIST    ports of others that are dialled directly',
  },
  'skip-subnets': { setting: 'skip-subnets', help: 'LIST    networks whose connections bypass the proxy' },
  'inbound-port': { setting: 'inbound-port', help: 'PORT    its port for inbound connections (4143)' },
  'outbound-port': { setting: 'outbound-port', help: 'PORT    its port for outbound connections (4140)' },
  'admin-port': { setting: 'admin-port', help: 'PORT    its admin port (4191)' },
  'proxy-cpu-request': { setting: 'proxy-cpu-request', help: 'CPU' },
  'proxy-cpu-limit': { setting: 'proxy-cpu-limit', help: 'CPU     it starts one worker per core of this limit' },
  'proxy-memory-request': { setting: 'proxy-memory-request', help: 'MEMORY' },
  'proxy-memory-limit': { setting: 'proxy-memory-limit', help: 'MEMORY' },
  'proxy-uid': { setting: 'proxy-uid', help: 'UID     its user (2102)' },
  'proxy-gid': { setting: 'proxy-gid', help: 'GID     its group (2102)' },
  'proxy-log-level': {
    setting: 'proxy-log-level',
    help: 'LEVEL   error, warn, info, debug, or as in Linkerd: warn,linkerd=debug',
  },
  'access-log': { setting: 'access-log', help: 'FORMAT  json, or none' },
  'default-inbound-policy': {
    setting: 'default-inbound-policy',
    help: 'POLICY  who may reach the pod: all-authenticated, deny …',
  },
  'shutdown-grace-period': { setting: 'shutdown-grace-period', help: 'TIME    how long a drain may take, such as 90s' },
  'wait-before-exit-seconds': {
    setting: 'proxy-wait-before-exit-seconds',
    help: 'N       how long it waits before it ends; not for native sidecars',
  },
  'close-wait-timeout': {
    setting: 'close-wait-timeout',
    help: 'TIME    how long half-closed connections last; needs a privileged init container',
  },
  'native-sidecar': {
    setting: 'proxy-enable-native-sidecar',
    help: 'whether it is a native sidecar: =false for Kubernetes before 1.29',
    on: 'true',
  },
  'proxy-image': { setting: 'proxy-image', help: 'IMAGE' },
  'proxy-version': { setting: 'proxy-version', help: 'TAG' },
  'image-pull-policy': { setting: 'image-pull-policy', help: 'POLICY  Always, IfNotPresent or Never' },
};

interface Ignored {
  /** Its annotation, if any. */
  readonly annotation?: string;
  readonly because?: string;
  readonly takes: 'string' | 'boolean';
}

export const IGNORED: Readonly<Record<string, Ignored>> = {
  'control-port': { annotation: 'control-port', takes: 'string' },
  'enable-debug-sidecar': { annotation: 'enable-debug-sidecar', takes: 'boolean' },
  'enable-external-profiles': { annotation: 'enable-external-profiles', takes: 'boolean' },
  'init-image': { annotation: 'init-image', takes: 'string' },
  'init-image-version': { annotation: 'init-image-version', takes: 'string' },
  'disable-identity': { because: 'a proxy has an identity wherever there are trust anchors', takes: 'boolean' },
};

/** The user relies on this option, so ignoring it would be wrong. */
const REFUSED = 'require-identity-on-inbound-ports';

/** Lists may be given in several options: `--opaque-ports 4406 --opaque-ports 5000`. */
const isList = (setting: Setting | OwnSetting): boolean => {
  const takes: Takes = isOwnSetting(setting) ? OWN_ANNOTATIONS[setting].takes : ANNOTATIONS[setting].takes;
  return ['ports', 'numbers', 'networks'].includes(takes);
};

export const injectOptions = {
  ...Object.fromEntries(
    Object.entries(FLAGS).map(([name, { setting }]) => [name, { type: 'string', multiple: isList(setting) } as const]),
  ),
  ...Object.fromEntries(Object.entries(IGNORED).map(([name, { takes }]) => [name, { type: takes }])),
  [REFUSED]: { type: 'string' },
} as const;

/** A message for each given option that has no effect. */
export function ignoredFlags(values: Arguments['values']): string[] {
  if (values[REFUSED] !== undefined)
    throw new UsageError(`--${REFUSED}: ${UNSUPPORTED_ANNOTATIONS['proxy-require-identity-inbound-ports'].instead}`);
  return Object.entries(IGNORED)
    .filter(([name]) => values[name] !== undefined)
    .map(([name, { annotation, because }]) => {
      const why = because ?? UNSUPPORTED_ANNOTATIONS[annotation ?? name].instead;
      return `--${name} has no meaning here: ${why}`;
    });
}

/** Annotations by key. A bad value is a usage error, because the user is there to correct it. */
export function flagAnnotations(values: Arguments['values']): Record<string, string> {
  const annotations: Record<string, string> = {};
  const flags = new Map<string, string>();
  for (const [name, { setting }] of Object.entries(FLAGS)) {
    const value = values[name];
    if (value === undefined) continue;
    const key = defaultKey(setting);
    annotations[key] = String(value);
    flags.set(key, name);
  }
  const layers = new Layers([{ object: 'the command line', annotations, namesPorts: false }], new Map());
  readSettings(layers);
  const [problem] = layers.problems;
  if (problem !== undefined) throw new UsageError(`--${flags.get(problem.annotation)}: ${problem.message}`);
  return annotations;
}

export const flagHelp = (): string =>
  Object.entries(FLAGS)
    .map(([name, { help }]) => `      ${`--${name}`.padEnd(28)} ${help}`)
    .join('\n');
