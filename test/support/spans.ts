// Spans for tests.
import type { Span } from '../../src/tracing/span.js';

/** A span of a GET that went well, but for `changes`. */
export const spanOf = (changes: Partial<Span> = {}): Span => ({
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  parentId: '',
  inbound: true,
  startMs: 1_700_000_000_000,
  endMs: 1_700_000_000_012.5,
  method: 'GET',
  path: '/',
  authority: 'web.example:8080',
  userAgent: '',
  version: 'HTTP/1.1',
  secure: false,
  client: '10.0.0.1:5000',
  identity: '',
  listener: 'edge',
  grpc: false,
  service: 'web',
  endpoint: '10.0.0.2:80',
  endpointVersion: 'HTTP/2',
  status: 200,
  grpcStatus: -1,
  latencyUs: 1500,
  whole: true,
  attempts: 1,
  received: 0,
  sent: 5,
  reason: '',
  ...changes,
});
