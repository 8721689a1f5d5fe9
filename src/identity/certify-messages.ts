// Messages of Linkerd's identity protocol (proto/identity.proto has the fields).
import { Reader } from '../protobuf/reader.js';
import { Writer } from '../protobuf/writer.js';

export interface CertifyRequest {
  readonly identity: string;
  readonly token: Uint8Array;
  /** PKCS#10, DER. */
  readonly request: Uint8Array;
}

export interface CertifyResponse {
  /** DER. */
  readonly leaf: Uint8Array;
  readonly intermediates: readonly Uint8Array[];
  /** Ms since 1970; infinite if not given. */
  readonly validUntilMs: number;
}

const REQUEST = { identity: 1, token: 2, request: 3 } as const;
const RESPONSE = { leaf: 1, intermediates: 2, validUntil: 3 } as const;
const SECONDS = 1;

export const encodeRequest = ({ identity, token, request }: CertifyRequest): Buffer =>
  new Writer().string(REQUEST.identity, identity).bytes(REQUEST.token, token).bytes(REQUEST.request, request).finish();

/** Throws a ProtobufError. */
export function decodeResponse(octets: Uint8Array): CertifyResponse {
  let leaf: Uint8Array = new Uint8Array(0);
  const intermediates: Uint8Array[] = [];
  let validUntilMs = Number.POSITIVE_INFINITY;
  const reader = new Reader(octets);
  while (reader.next()) {
    if (reader.field === RESPONSE.leaf) leaf = reader.bytes();
    else if (reader.field === RESPONSE.intermediates) intermediates.push(reader.bytes());
    else if (reader.field === RESPONSE.validUntil) validUntilMs = secondsOf(reader.message()) * 1000;
  }
  return { leaf, intermediates, validUntilMs };
}

function secondsOf(reader: Reader): number {
  let seconds = 0;
  while (reader.next()) if (reader.field === SECONDS) seconds = Number(reader.uint64());
  return seconds;
}
