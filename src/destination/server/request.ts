// Parses a call's request from its path and context. Callers may send anything.
import { isIP } from 'node:net';
import { addressBits, formatBits } from '../../config/addresses.js';
import type { Address } from '../../config/model.js';
import { ProtobufError } from '../../protobuf/reader.js';
import type { Requester } from '../lookup.js';
import { decodeGetDestination } from '../messages.js';
import { CallProblem, STATUS } from './grpc-call.js';

export type Target =
  | { readonly kind: 'address'; readonly address: Address }
  /** `name.namespace.svc.cluster.local` in lower case, possibly with a pod's name in front. */
  | { readonly kind: 'service'; readonly name: Address }
  /** The rules that apply to the caller. */
  | { readonly kind: 'rules' };

export interface ParsedRequest {
  readonly target: Target;
  readonly requester: Requester;
}

/** Linkerd's default for a path without a port. */
const DEFAULT_PORT = 80;
const MAX_PORT = 65_535;
const MAX_NAME = 253;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Labels before the domain: name, namespace, `svc`, and possibly a pod's name. */
const MIN_LABELS = 3;
const MAX_LABELS = 4;
const NOBODY: Requester = { namespace: '', pod: '', node: '' };

/** `clusterDomain`: null for a request without a path. Throws a CallProblem. */
export function readRequest(octets: Uint8Array, clusterDomain: string | null): ParsedRequest {
  try {
    const { path, contextToken } = decodeGetDestination(octets);
    const target = clusterDomain === null ? ({ kind: 'rules' } as const) : readTarget(path, clusterDomain);
    return { target, requester: readContext(contextToken) };
  } catch (error) {
    if (error instanceof ProtobufError)
      throw new CallProblem(STATUS.invalidArgument, `the request is garbled: ${error.message}`);
    throw error;
  }
}

function readTarget(path: string, clusterDomain: string): Target {
  const { host, port } = splitPath(path);
  const bits = addressBits(host);
  if (bits !== null) return { kind: 'address', address: { host: formatBits(bits), port } };
  const name = host.toLowerCase().replace(/\.$/, '');
  const labels = name.endsWith(`.${clusterDomain}`) ? name.slice(0, -clusterDomain.length - 1).split('.') : [];
  const valid =
    name.length <= MAX_NAME &&
    labels.length >= MIN_LABELS &&
    labels.length <= MAX_LABELS &&
    labels[labels.length - 1] === 'svc' &&
    labels.every((label) => LABEL.test(label));
  if (!valid) throw new CallProblem(STATUS.invalidArgument, `${quoted(host)} is not a Service of this cluster`);
  return { kind: 'service', name: { host: name, port } };
}

function splitPath(path: string): Address {
  const match = /^(?:\[([^[\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(path);
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  const host = match?.[1] ?? match?.[2] ?? '';
  if (match === null || port === 0 || port > MAX_PORT || (match[1] !== undefined && isIP(host) !== 6))
    throw new CallProblem(STATUS.invalidArgument, `the path ${quoted(path)} is not HOST:PORT`);
  return { host, port };
}

/** As much of it as is useful in a message. */
const quoted = (text: string): string => JSON.stringify(text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text);

/** The caller's properties, as far as they can be parsed: nobody is refused because of them. */
export function readContext(token: string): Requester {
  let given: unknown;
  try {
    given = JSON.parse(token);
  } catch {
    return NOBODY;
  }
  if (typeof given !== 'object' || given === null) return NOBODY;
  const { ns, pod, nodeName, family } = given as Readonly<Record<string, unknown>>;
  const requester = { namespace: nameOf(ns), pod: nameOf(pod), node: nameOf(nodeName) };
  return family === 4 || family === 6 ? { ...requester, family } : requester;
}

const nameOf = (value: unknown): string =>
  typeof value === 'string' && value.length <= MAX_NAME && /^[a-z0-9.-]*$/.test(value) ? value : '';
