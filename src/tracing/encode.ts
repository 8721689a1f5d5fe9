// Encodes spans as OTLP's ExportTraceServiceRequest (opentelemetry-proto v1), with attributes by OpenTelemetry's semantic conventions for HTTP
// and gRPC. Queries are left out: spans leave this machine, and queries may contain secrets.
import { Writer } from '../protobuf/writer.js';
import type { Span } from './span.js';

// SpanKind and StatusCode.
const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;
/** Field numbers of Span, KeyValue and AnyValue. */
const SPAN = {
  TRACE: 1,
  ID: 2,
  PARENT: 4,
  NAME: 5,
  KIND: 6,
  START: 7,
  END: 8,
  ATTRIBUTES: 9,
  STATUS: 15,
  FLAGS: 16,
} as const;
const SAMPLED = 1;
const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);
/** gRPC status codes that are errors for a server. For a client, all but OK are. */
const SERVER_ERRORS = new Set([2, 4, 12, 13, 14, 15]);

export type Attributes = Readonly<Record<string, string>>;

/** One message with all `spans`. `resource`: attributes of their source, such as `service.name`. */
export function encodeSpans(spans: readonly Span[], resource: Attributes, version: string): Buffer {
  const writer = new Writer();
  const resourceSpans = writer.begin(1);
  const described = writer.begin(1);
  for (const [key, value] of Object.entries(resource)) attribute(writer, 1, key, value);
  writer.end(described);
  const scopeSpans = writer.begin(2);
  const scope = writer.begin(1);
  writer.string(1, 'sluice').string(2, version).end(scope);
  for (const span of spans) writeSpan(writer, span);
  return writer.end(scopeSpans).end(resourceSpans).finish();
}

function writeSpan(writer: Writer, span: Span): void {
  const error = errorOf(span);
  const begin = writer.begin(2);
  writer.bytes(SPAN.TRACE, Buffer.from(span.traceId, 'hex')).bytes(SPAN.ID, Buffer.from(span.spanId, 'hex'));
  if (span.parentId !== '') writer.bytes(SPAN.PARENT, Buffer.from(span.parentId, 'hex'));
  writer.string(SPAN.NAME, nameOf(span)).uint32(SPAN.KIND, span.inbound ? SERVER : CLIENT);
  writer.fixed64(SPAN.START, nanoseconds(span.startMs)).fixed64(SPAN.END, nanoseconds(span.endMs));
  for (const [key, value] of Object.entries(attributesOf(span, error)))
    if (value !== '' && value !== null) attribute(writer, SPAN.ATTRIBUTES, key, value);
  if (error !== '') {
    const status = writer.begin(SPAN.STATUS);
    writer.uint32(3, ERROR).end(status);
  }
  writer.fixed32(SPAN.FLAGS, SAMPLED).end(begin);
}

/** Of low cardinality, as the conventions require: routes are unknown here, but a gRPC method is one. */
function nameOf({ method, grpc, path }: Span): string {
  if (grpc) return pathOf(path).slice(1) || 'grpc';
  return KNOWN_METHODS.has(method) ? method : 'HTTP';
}

/** The error type; '' if there was no error. */
function errorOf({ reason, grpc, grpcStatus, status, inbound }: Span): string {
  if (reason !== '') return reason;
  if (grpc && grpcStatus >= 0) {
    const failed = inbound ? SERVER_ERRORS.has(grpcStatus) : grpcStatus !== 0;
    return failed ? String(grpcStatus) : '';
  }
  return status >= (inbound ? 500 : 400) ? String(status) : '';
}

function attributesOf(span: Span, error: string): Record<string, string | number | null> {
  const [clientHost, clientPort] = split(span.client);
  const [endpointHost, endpointPort] = split(span.endpoint);
  const [serverHost, serverPort] = split(span.authority);
  const known = KNOWN_METHODS.has(span.method);
  return {
    'http.request.method': known ? span.method : '_OTHER',
    'http.request.method_original': known ? null : span.method,
    'url.scheme': span.secure ? 'https' : 'http',
    'url.path': pathOf(span.path),
    'server.address': serverHost,
    'server.port': serverPort,
    'http.response.status_code': span.status === 0 ? null : span.status,
    'network.protocol.name': 'http',
    'network.protocol.version': (span.inbound ? span.version : span.endpointVersion || span.version).replace(
      'HTTP/',
      '',
    ),
    'client.address': clientHost,
    'client.port': clientPort,
    // The peer: the client of a server, or the endpoint of a client.
    'network.peer.address': span.inbound ? clientHost : endpointHost,
    'network.peer.port': span.inbound ? clientPort : endpointPort,
    'user_agent.original': span.userAgent,
    'http.request.body.size': span.received,
    'http.response.body.size': span.sent,
    'http.request.resend_count': span.attempts > 1 ? span.attempts - 1 : null,
    'error.type': error,
    ...(span.grpc ? grpcAttributes(span) : {}),
    'sluice.listener': span.listener,
    'sluice.service': span.service,
    'sluice.endpoint': span.endpoint,
    'sluice.client.identity': span.identity,
  };
}

function grpcAttributes({ path, grpcStatus }: Span): Record<string, string | number | null> {
  const [, service = '', method = ''] = pathOf(path).split('/');
  return {
    'rpc.system': 'grpc',
    'rpc.service': service,
    'rpc.method': method,
    'rpc.grpc.status_code': grpcStatus < 0 ? null : grpcStatus,
  };
}

const pathOf = (target: string): string => target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/\?.*$/s, '');

/** Host and port of an address, as far as it has them. */
function split(address: string): [host: string, port: number | null] {
  const [, host = address, port] = /^(.*?)(?::(\d{1,5}))?$/s.exec(address) ?? [];
  return [host.replace(/^\[(.*)\]$/, '$1'), port === undefined ? null : Number(port)];
}

function attribute(writer: Writer, field: number, key: string, value: string | number): void {
  const pair = writer.begin(field);
  writer.string(1, key);
  const any = writer.begin(2);
  if (typeof value === 'string') writer.string(1, value);
  else writer.uint64(3, value);
  writer.end(any).end(pair);
}

/** Nanoseconds since 1970. A number of ms is too imprecise for single ns, so the result is exact to microseconds. */
const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms * 1000)) * 1000n;
