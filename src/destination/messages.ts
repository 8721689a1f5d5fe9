// Converts messages of Linkerd's destination API (proto/destination.proto has the fields).
import type { Address } from '../config/model.js';
import type { Endpoint } from '../discovery/endpoint.js';
import { ProtobufError, Reader } from '../protobuf/reader.js';
import { Writer } from '../protobuf/writer.js';
import {
  decodeAddress,
  decodeEndpoint,
  encodeAddress,
  encodeEndpoint,
  labelOf,
  PROTOCOLS,
  protocolOf,
} from './endpoint-message.js';
import type { ProfileUpdate } from './lookup.js';

export const DESTINATION_SERVICE = 'io.linkerd.proxy.destination.Destination';

export interface GetDestination {
  readonly scheme: string;
  readonly path: string;
  readonly contextToken: string;
}

export type Update =
  /** New or changed endpoints. */
  | { readonly kind: 'add'; readonly endpoints: readonly Endpoint[] }
  | { readonly kind: 'remove'; readonly addresses: readonly Address[] }
  /** `exists`: the Service exists without endpoints. */
  | { readonly kind: 'none'; readonly exists: boolean }
  /** A message of a later version. */
  | { readonly kind: 'other' };

const GET = { scheme: 1, path: 2, contextToken: 3 } as const;
const UPDATE = { add: 1, remove: 2, none: 3 } as const;
const SET = { addrs: 1, labels: 2 } as const;
const EXISTS = 1;
const MAX_SHARED_LABELS = 64;
const PROFILE = { opaque: 4, name: 5, endpoint: 6, protocol: 1000 } as const;

export function encodeGetDestination({ scheme, path, contextToken }: GetDestination): Buffer {
  const writer = new Writer();
  if (scheme !== '') writer.string(GET.scheme, scheme);
  if (path !== '') writer.string(GET.path, path);
  if (contextToken !== '') writer.string(GET.contextToken, contextToken);
  return writer.finish();
}

/** Throws a ProtobufError, like all decoders. */
export function decodeGetDestination(octets: Uint8Array): GetDestination {
  const message = { scheme: '', path: '', contextToken: '' };
  const reader = new Reader(octets);
  while (reader.next()) {
    if (reader.field === GET.scheme) message.scheme = reader.string();
    else if (reader.field === GET.path) message.path = reader.string();
    else if (reader.field === GET.contextToken) message.contextToken = reader.string();
  }
  return message;
}

export function encodeUpdate(update: Exclude<Update, { kind: 'other' }>): Buffer {
  switch (update.kind) {
    case 'add':
      return encodeAdd(update.endpoints.map((endpoint) => encodeEndpoint(endpoint)));
    case 'remove': {
      const writer = new Writer();
      const begin = writer.begin(UPDATE.remove);
      for (const address of update.addresses) encodeAddress(writer, SET.addrs, address);
      return writer.end(begin).finish();
    }
    case 'none': {
      const writer = new Writer();
      const begin = writer.begin(UPDATE.none);
      if (update.exists) writer.bool(EXISTS, true);
      return writer.end(begin).finish();
    }
    default: {
      const unknown: never = update;
      return unknown;
    }
  }
}

/** An `add` of already encoded endpoints. */
export function encodeAdd(endpoints: readonly Uint8Array[]): Buffer {
  const writer = new Writer();
  const begin = writer.begin(UPDATE.add);
  for (const octets of endpoints) writer.bytes(SET.addrs, octets);
  return writer.end(begin).finish();
}

export function decodeUpdate(octets: Uint8Array): Update {
  let update: Update = { kind: 'other' };
  const reader = new Reader(octets);
  while (reader.next()) {
    if (reader.field === UPDATE.add) update = { kind: 'add', endpoints: decodeAdd(reader.message()) };
    else if (reader.field === UPDATE.remove) update = { kind: 'remove', addresses: decodeRemove(reader.message()) };
    else if (reader.field === UPDATE.none) update = { kind: 'none', exists: decodeExists(reader.message()) };
  }
  return update;
}

function decodeAdd(reader: Reader): readonly Endpoint[] {
  const encoded: Reader[] = [];
  const labels: [string, string][] = [];
  while (reader.next()) {
    if (reader.field === SET.addrs) encoded.push(reader.message());
    else if (reader.field === SET.labels) labels.push(labelOf(reader.message()));
  }
  // Each endpoint gets them all.
  if (labels.length > MAX_SHARED_LABELS) throw new ProtobufError(`a set has more than ${MAX_SHARED_LABELS} labels`);
  return encoded.map((endpoint) => decodeEndpoint(endpoint, labels));
}

function decodeRemove(reader: Reader): readonly Address[] {
  const addresses: Address[] = [];
  while (reader.next()) if (reader.field === SET.addrs) addresses.push(decodeAddress(reader.message()));
  return addresses;
}

function decodeExists(reader: Reader): boolean {
  let exists = false;
  while (reader.next()) if (reader.field === EXISTS) exists = reader.bool();
  return exists;
}

/** An unknown address has an empty profile. */
export function encodeProfile(update: ProfileUpdate): Buffer {
  const writer = new Writer();
  if (update.kind === 'unknown') return writer.finish();
  const { opaque, authority, endpoint, protocol } = update.profile;
  if (opaque) writer.bool(PROFILE.opaque, true);
  const name = authority.slice(0, Math.max(authority.lastIndexOf(':'), 0));
  if (name !== '') writer.string(PROFILE.name, name);
  if (endpoint !== null) writer.bytes(PROFILE.endpoint, encodeEndpoint(endpoint));
  if (protocol !== 'auto') writer.uint32(PROFILE.protocol, PROTOCOLS.indexOf(protocol));
  return writer.finish();
}

/** `port`: the requested address's, because the message only names the Service. */
export function decodeProfile(octets: Uint8Array, port: number): ProfileUpdate {
  let name = '';
  let opaque = false;
  let endpoint: Endpoint | null = null;
  let protocol = PROTOCOLS[0];
  const reader = new Reader(octets);
  while (reader.next()) {
    if (reader.field === PROFILE.opaque) opaque = reader.bool();
    else if (reader.field === PROFILE.name) name = reader.string();
    else if (reader.field === PROFILE.endpoint) endpoint = decodeEndpoint(reader.message(), []);
    else if (reader.field === PROFILE.protocol) protocol = protocolOf(reader.uint32());
  }
  if (name === '' && endpoint === null && !opaque && protocol === 'auto') return { kind: 'unknown' };
  const authority = name === '' ? '' : `${name.replace(/\.$/, '')}:${port}`;
  return { kind: 'profile', profile: { authority, opaque, protocol, endpoint } };
}
