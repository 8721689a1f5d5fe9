// Checks well-formed but impossible content from a server. Names end up in labels, logs and requests.
import type { Endpoint } from '../../discovery/endpoint.js';
import { ProtobufError } from '../../protobuf/reader.js';
import type { Profile } from '../lookup.js';

/** `name.namespace.svc.cluster.local:port`, within the length of a DNS name. */
const AUTHORITY = /^(?=.{1,259}$)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?:\d{1,5}$/i;
/** A DNS name, or a SPIFFE ID (SPIFFE-ID section 2.3). */
const IDENTITY = /^[\x21-\x7e]{0,2048}$/;

/** Throws a ProtobufError. */
export function validateEndpoints(endpoints: readonly Endpoint[]): void {
  for (const { identity } of endpoints)
    if (!IDENTITY.test(identity)) throw new ProtobufError('an endpoint has an identity that is not a valid name');
}

/** Throws a ProtobufError. */
export function validateProfile({ authority, endpoint }: Profile): void {
  if (authority !== '' && !AUTHORITY.test(authority)) throw new ProtobufError('a Service has an invalid name');
  if (endpoint !== null) validateEndpoints([endpoint]);
}
