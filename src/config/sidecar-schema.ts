// The section `sidecar`: a proxy that shares a pod with its application. Every key is a scalar, so that a pod's manifest can set it by
// variables.
import * as v from 'valibot';
import { AUTHORIZATION_DEFAULTS } from './authorization-model.js';
import { parseNetworkList, parsePortList, parseProbeList } from './lists.js';
import { boolean, choice, integer, optionalSection, timeout, value } from './schema-parts.js';
import { SIDECAR_PORTS } from './sidecar.js';
import { describe, ValueError } from './values.js';

/** A Kubernetes object name (RFC 1123). One that looks like a number or a boolean has been converted to one in a variable. */
function parseObjectName(input: unknown): string {
  const text = typeof input === 'number' || typeof input === 'boolean' ? String(input) : input;
  if (typeof text === 'string' && /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text)) return text;
  throw new ValueError(`found ${describe(input)}; write the name of a Kubernetes object, such as web-7d4b9`);
}

const objectName = () => v.optional(value(parseObjectName));

export const sidecar = optionalSection({
  enabled: v.optional(boolean(), false),
  inbound: v.optional(integer(0, 65_535), SIDECAR_PORTS.inbound),
  outbound: v.optional(integer(0, 65_535), SIDECAR_PORTS.outbound),
  pod: objectName(),
  namespace: objectName(),
  node: objectName(),
  account: objectName(),
  opaquePorts: v.optional(value(parsePortList)),
  inboundPolicy: v.optional(choice(...AUTHORIZATION_DEFAULTS)),
  probes: v.optional(value(parseProbeList)),
  clusterNetworks: v.optional(value(parseNetworkList)),
  connectTimeoutInbound: v.optional(timeout()),
  connectTimeoutOutbound: v.optional(timeout()),
});
