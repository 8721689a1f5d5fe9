// The annotations that configure a pod's proxy: Linkerd's names, and the type of each value. docs/inject.md has the same table for people;
// a test compares the two.
import { suggest } from '../config/suggest.js';
import { ALPHA_PREFIX, LINKERD_PREFIX, OWN_PREFIX, PREFIXES, settingKeys } from '../kubernetes/names.js';

/** Type of an annotation's value. */
export type Takes =
  /** A list of ports, which may contain names of container ports. */
  | 'ports'
  /** A list of ports elsewhere: numbers only. */
  | 'numbers'
  | 'networks'
  | 'port'
  | 'id'
  | 'cpu'
  | 'memory'
  | 'duration'
  | 'seconds'
  | 'truth'
  | 'switch'
  | 'text'
  /** One word of several. */
  | 'word'
  | 'variables'
  | 'level';

export interface AnnotationSpec {
  readonly takes: Takes;
}

/** Why an annotation of Linkerd's has no effect here, and what to do instead. */
export interface UnsupportedAnnotation {
  readonly instead: string;
  /** True if people may rely on it: it is reported as an error. */
  readonly matters?: boolean;
}

export const ANNOTATIONS = {
  'opaque-ports': { takes: 'ports' },
  'skip-inbound-ports': { takes: 'ports' },
  'skip-outbound-ports': { takes: 'numbers' },
  'skip-subnets': { takes: 'networks' },
  'inbound-port': { takes: 'port' },
  'outbound-port': { takes: 'port' },
  'admin-port': { takes: 'port' },
  'proxy-cpu-request': { takes: 'cpu' },
  'proxy-cpu-limit': { takes: 'cpu' },
  'proxy-memory-request': { takes: 'memory' },
  'proxy-memory-limit': { takes: 'memory' },
  'proxy-ephemeral-storage-request': { takes: 'memory' },
  'proxy-ephemeral-storage-limit': { takes: 'memory' },
  'proxy-uid': { takes: 'id' },
  'proxy-gid': { takes: 'id' },
  'proxy-log-level': { takes: 'level' },
  'access-log': { takes: 'word' },
  'proxy-admin-shutdown': { takes: 'switch' },
  'shutdown-grace-period': { takes: 'duration' },
  'proxy-inbound-connect-timeout': { takes: 'duration' },
  'proxy-outbound-connect-timeout': { takes: 'duration' },
  'proxy-outbound-discovery-cache-unused-timeout': { takes: 'duration' },
  'proxy-disable-inbound-protocol-detect-timeout': { takes: 'truth' },
  'proxy-disable-outbound-protocol-detect-timeout': { takes: 'truth' },
  'proxy-enable-native-sidecar': { takes: 'truth' },
  'proxy-await': { takes: 'switch' },
  'proxy-wait-before-exit-seconds': { takes: 'seconds' },
  'close-wait-timeout': { takes: 'duration' },
  'default-inbound-policy': { takes: 'word' },
  'proxy-additional-env': { takes: 'variables' },
} as const satisfies Readonly<Record<string, AnnotationSpec>>;

/**
 * Linkerd's annotations of these names are about Linkerd's own images, and workloads with them must keep working: only `config.sluice.io/`
 * counts.
 */
export const OWN_ANNOTATIONS = {
  'proxy-image': { takes: 'text' },
  'proxy-version': { takes: 'text' },
  'image-pull-policy': { takes: 'word' },
  'project-token': { takes: 'truth' },
  'seccomp-profile': { takes: 'text' },
} as const satisfies Readonly<Record<string, AnnotationSpec>>;

const IMAGES = "names an image of Linkerd's; config.sluice.io/proxy-image and config.sluice.io/proxy-version name ours";

export const UNSUPPORTED_ANNOTATIONS: Readonly<Record<string, UnsupportedAnnotation>> = {
  'control-port': { instead: 'there is no such port' },
  'pod-inbound-ports': { instead: 'all ports of the pod count, declared or not' },
  'proxy-cpu-ratio-limit': { instead: 'set proxy-cpu-limit; a proxy has as many workers as that has cores' },
  'proxy-log-format': { instead: 'the log is one JSON object a line' },
  'proxy-log-http-headers': { instead: 'the access log has no header fields' },
  'proxy-metrics-hostname-labels': { instead: 'metrics are labelled by service and endpoint' },
  'proxy-inbound-discovery-cache-unused-timeout': { instead: 'what comes in is not looked up' },
  'enable-external-profiles': { instead: 'there are no profiles of services outside of the cluster' },
  'enable-gateway': { instead: 'there are no gateways between clusters' },
  'enable-debug-sidecar': { instead: 'attach a debug container: kubectl debug' },
  'proxy-require-identity-inbound-ports': {
    instead: 'no port asks for an identity by it; set default-inbound-policy: all-authenticated, or write rules',
    matters: true,
  },
  'init-image': { instead: 'the image is that of the proxy' },
  'init-image-version': { instead: 'the image is that of the proxy' },
  'debug-image': { instead: 'there is no debug sidecar' },
  'debug-image-version': { instead: 'there is no debug sidecar' },
  'debug-image-pull-policy': { instead: 'there is no debug sidecar' },
};

/** With `config.linkerd.io/` in front of them, these are not ours. */
export const FOREIGN: Readonly<Record<string, UnsupportedAnnotation>> = {
  'proxy-image': { instead: IMAGES },
  'proxy-version': { instead: IMAGES },
  'image-pull-policy': { instead: `is for images of Linkerd's; config.sluice.io/image-pull-policy is for ours` },
};

export type Setting = keyof typeof ANNOTATIONS;
export type OwnSetting = keyof typeof OWN_ANNOTATIONS;

/** All annotations for a setting, the most important first. */
export const keysOf = (name: string): readonly string[] =>
  isOwnSetting(name) ? [OWN_PREFIX + name] : settingKeys(name);

/** The usual one: Linkerd's, unless only ours counts. */
export function defaultKey(name: Setting | OwnSetting): string {
  if (isOwnSetting(name)) return OWN_PREFIX + name;
  return (name === 'proxy-wait-before-exit-seconds' ? ALPHA_PREFIX : LINKERD_PREFIX) + name;
}

export const isSetting = (name: string): name is Setting => Object.hasOwn(ANNOTATIONS, name);
export const isOwnSetting = (name: string): name is OwnSetting => Object.hasOwn(OWN_ANNOTATIONS, name);

/** An annotation with a known prefix. */
export interface Named {
  readonly prefix: string;
  /** Without the prefix. */
  readonly name: string;
}

/** Splits an annotation's key; null if it does not concern us. */
export function named(key: string): Named | null {
  const prefix = PREFIXES.find((known) => key.startsWith(known));
  return prefix === undefined ? null : { prefix, name: key.slice(prefix.length) };
}

/** The problem with an annotation because of its name; null if it has an effect. */
export function unsupportedAnnotation({ prefix, name }: Named): UnsupportedAnnotation | string | null {
  if (isSetting(name) || (isOwnSetting(name) && prefix === OWN_PREFIX)) return null;
  if (Object.hasOwn(UNSUPPORTED_ANNOTATIONS, name)) return UNSUPPORTED_ANNOTATIONS[name];
  if (Object.hasOwn(FOREIGN, name)) return FOREIGN[name];
  return `is not known; ${suggest(name, [...Object.keys(ANNOTATIONS), ...Object.keys(OWN_ANNOTATIONS)])}`;
}
