// Converts endpoints to and from the destination API's `WeightedAddr`.
import { addressBits, formatBits } from '../config/addresses.js';
import type { Address, PeerProxy, ServiceProtocol } from '../config/model.js';
import { type Endpoint, endpointAt, NO_PROXY } from '../discovery/endpoint.js';
import { ProtobufError, type Reader } from '../protobuf/reader.js';
import { Writer } from '../protobuf/writer.js';

const TCP = { ip: 1, port: 2 } as const;
const IP = { v4: 1, v6: 2 } as const;
const IPV6 = { first: 1, last: 2 } as const;
const ENDPOINT = { addr: 1, weight: 3, labels: 4, identity: 5, hint: 6, protocol: 1000 } as const;
const LABEL = { key: 1, value: 2 } as const;
const IDENTITY = { dns: 1, uri: 3, serverName: 4 } as const;
const NAME = 1;
const HINT = { http2: 1, transport: 2, opaque: 3 } as const;
const INBOUND_PORT = 1;

/** Positions are the enumeration's numbers. */
export const PROTOCOLS: readonly ServiceProtocol[] = ['auto', 'http1', 'http2', 'opaque'];
/** Weight of an endpoint with a normal share. */
const WEIGHT = 10_000;
const MAX_WEIGHT = 65_535;
const MAX_PORT = 65_535;
/** The label that says where an endpoint runs. */
const ZONE = 'zone';

/** Unknown later values. */
export const protocolOf = (value: number): ServiceProtocol => PROTOCOLS[value] ?? 'auto';

export function encodeAddress(writer: Writer, field: number, { host, port }: Address): void {
  const bits = addressBits(host);
  if (bits === null) throw new TypeError(`${host} is not an address`);
  const address = writer.begin(field);
  const ip = writer.begin(TCP.ip);
  if (bits.family === 4) writer.fixed32(IP.v4, Number.parseInt(bits.hex, 16));
  else {
    const halves = writer.begin(IP.v6);
    writer
      .fixed64(IPV6.first, BigInt(`0x${bits.hex.slice(0, 16)}`))
      .fixed64(IPV6.last, BigInt(`0x${bits.hex.slice(16)}`));
    writer.end(halves);
  }
  writer.end(ip).uint32(TCP.port, port).end(address);
}

export function decodeAddress(reader: Reader): Address {
  let host = '';
  let port = 0;
  while (reader.next()) {
    if (reader.field === TCP.ip) host = decodeHost(reader.message());
    else if (reader.field === TCP.port) port = reader.uint32();
  }
  if (host === '') throw new ProtobufError('an address has no IP');
  if (port === 0 || port > MAX_PORT) throw new ProtobufError(`an address has the port ${port}`);
  return { host, port };
}

function decodeHost(reader: Reader): string {
  let host = '';
  while (reader.next()) {
    if (reader.field === IP.v4) host = formatBits({ family: 4, hex: reader.fixed32().toString(16).padStart(8, '0') });
    else if (reader.field === IP.v6) host = decodeIpv6(reader.message());
  }
  return host;
}

function decodeIpv6(reader: Reader): string {
  let first = 0n;
  let last = 0n;
  while (reader.next()) {
    if (reader.field === IPV6.first) first = reader.fixed64();
    else if (reader.field === IPV6.last) last = reader.fixed64();
  }
  return formatBits({ family: 6, hex: ((first << 64n) | last).toString(16).padStart(32, '0') });
}

function writeLabel(writer: Writer, key: string, value: string): void {
  const begin = writer.begin(ENDPOINT.labels);
  writer.string(LABEL.key, key).string(LABEL.value, value).end(begin);
}

/** An entry of a map. */
export function labelOf(reader: Reader): [string, string] {
  const label: [string, string] = ['', ''];
  while (reader.next()) {
    if (reader.field === LABEL.key) label[0] = reader.string();
    else if (reader.field === LABEL.value) label[1] = reader.string();
  }
  return label;
}

function writeIdentity(writer: Writer, identity: string): void {
  const begin = writer.begin(ENDPOINT.identity);
  const uri = /^spiffe:/i.test(identity);
  const strategy = writer.begin(uri ? IDENTITY.uri : IDENTITY.dns);
  writer.string(NAME, identity).end(strategy);
  if (!uri) {
    const serverName = writer.begin(IDENTITY.serverName);
    writer.string(NAME, identity).end(serverName);
  }
  writer.end(begin);
}

function decodeIdentity(reader: Reader): string {
  let identity = '';
  while (reader.next())
    if (reader.field === IDENTITY.dns || reader.field === IDENTITY.uri) identity = decodeName(reader.message());
  return identity;
}

function decodeName(reader: Reader): string {
  let name = '';
  while (reader.next()) if (reader.field === NAME) name = reader.string();
  return name;
}

/** HTTP hints do not apply to opaque endpoints: the hint names one of the two. */
function writeHint(writer: Writer, { port, http2 }: PeerProxy, opaque: boolean): void {
  if (port === 0 && !http2 && !opaque) return;
  const begin = writer.begin(ENDPOINT.hint);
  if (opaque) writer.empty(HINT.opaque);
  else if (http2) writer.empty(HINT.http2);
  if (port !== 0) {
    const transport = writer.begin(HINT.transport);
    writer.uint32(INBOUND_PORT, port).end(transport);
  }
  writer.end(begin);
}

function decodeHint(reader: Reader): { readonly proxy: PeerProxy; readonly opaque: boolean } {
  let protocol = 0;
  let port = 0;
  while (reader.next()) {
    if (reader.field === HINT.transport) port = decodeInboundPort(reader.message());
    else if (reader.field === HINT.http2 || reader.field === HINT.opaque) protocol = reader.field;
  }
  const http2 = protocol === HINT.http2;
  return { proxy: port === 0 && !http2 ? NO_PROXY : { port, http2 }, opaque: protocol === HINT.opaque };
}

function decodeInboundPort(reader: Reader): number {
  let port = 0;
  while (reader.next()) if (reader.field === INBOUND_PORT) port = reader.uint32();
  if (port > MAX_PORT) throw new ProtobufError(`a proxy has the port ${port}`);
  return port;
}

/** The fields of a `WeightedAddr`. Throws a TypeError if the endpoint's host is not an address. */
export function encodeEndpoint({ address, zone, weight, protocol, identity, proxy, metadata }: Endpoint): Buffer {
  const writer = new Writer();
  encodeAddress(writer, ENDPOINT.addr, address);
  writer.uint32(ENDPOINT.weight, Math.max(1, Math.round(weight * WEIGHT)));
  for (const [key, value] of Object.entries(metadata)) if (key !== ZONE) writeLabel(writer, key, value);
  if (zone !== '') writeLabel(writer, ZONE, zone);
  if (identity !== '') writeIdentity(writer, identity);
  writeHint(writer, proxy, protocol === 'opaque');
  if (protocol !== 'auto') writer.uint32(ENDPOINT.protocol, PROTOCOLS.indexOf(protocol));
  return writer.finish();
}

/** `shared`: labels of the whole set; its own come first. */
export function decodeEndpoint(reader: Reader, shared: readonly [string, string][]): Endpoint {
  let address: Address | null = null;
  let weight = 1;
  let protocol = PROTOCOLS[0];
  let identity = '';
  let hint: ReturnType<typeof decodeHint> = { proxy: NO_PROXY, opaque: false };
  const labels = new Map(shared);
  while (reader.next()) {
    if (reader.field === ENDPOINT.addr) address = decodeAddress(reader.message());
    else if (reader.field === ENDPOINT.weight) weight = weightOf(reader.uint32());
    else if (reader.field === ENDPOINT.labels) labels.set(...labelOf(reader.message()));
    else if (reader.field === ENDPOINT.identity) identity = decodeIdentity(reader.message());
    else if (reader.field === ENDPOINT.hint) hint = decodeHint(reader.message());
    else if (reader.field === ENDPOINT.protocol) protocol = protocolOf(reader.uint32());
  }
  if (address === null) throw new ProtobufError('an endpoint has no address');
  const zone = labels.get(ZONE) ?? '';
  labels.delete(ZONE);
  const metadata = labels.size === 0 ? undefined : Object.freeze(Object.fromEntries(labels));
  if (hint.opaque) protocol = 'opaque';
  return endpointAt(address, { zone, weight, protocol, identity, proxy: hint.proxy, metadata });
}

/** Zero, and values out of range, mean the default share. */
const weightOf = (value: number): number => (value === 0 ? 1 : Math.min(value / WEIGHT, MAX_WEIGHT));
