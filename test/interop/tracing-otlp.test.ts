// Spans as OpenTelemetry's own messages (opentelemetry-proto for Python) read them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeSpans } from '../../src/tracing/encode.js';
import { spanOf } from '../support/spans.js';
import { lacking, peerClient } from './peers.js';

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}
interface Decoded {
  readonly unknown: number;
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string; readonly version: string };
      readonly spans: readonly Record<string, unknown>[];
    }[];
  }[];
}

const valuesOf = (attributes: unknown): Record<string, unknown> =>
  Object.fromEntries(
    (attributes as Attribute[]).map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
  );
const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64');

test('spans are understood by OpenTelemetry', { skip: lacking('python') }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-spans-'));
  const call = spanOf({
    inbound: false,
    parentId: '00f067aa0ba902b7',
    grpc: true,
    grpcStatus: 14,
    method: 'POST',
    path: '/shop.Cart/Add',
    attempts: 3,
    secure: true,
    client: '[::1]:5000',
    received: 300,
    reason: 'upstream-reset',
    userAgent: 'grpc-go/1 é',
  });
  const file = join(directory, 'spans');
  writeFileSync(file, encodeSpans([spanOf({ path: '/a?b=secret' }), call], { 'service.name': 'shop' }, '1.2.3'));
  const { unknown, resourceSpans } = await peerClient<Decoded>('python', 'spans', file);
  rmSync(directory, { recursive: true });
  assert.equal(unknown, 0, 'octets that the schema does not know');
  const [{ resource, scopeSpans }] = resourceSpans;
  assert.deepEqual(valuesOf(resource.attributes), { 'service.name': 'shop' });
  const [{ scope, spans }] = scopeSpans;
  assert.deepEqual(scope, { name: 'sluice', version: '1.2.3' });
  const [first, second] = spans;
  assert.deepEqual(
    { ...first, attributes: valuesOf(first.attributes) },
    {
      traceId: base64('0af7651916cd43dd8448eb211c80319c'),
      spanId: base64('b7ad6b7169203331'),
      flags: 1,
      name: 'GET',
      kind: 'SPAN_KIND_SERVER',
      startTimeUnixNano: '1700000000000000000',
      endTimeUnixNano: '1700000000012500000',
      attributes: {
        'http.request.method': 'GET',
        'url.scheme': 'http',
        'url.path': '/a',
        'server.address': 'web.example',
        'server.port': 8080,
        'http.response.status_code': 200,
        'network.protocol.name': 'http',
        'network.protocol.version': '1.1',
        'client.address': '10.0.0.1',
        'client.port': 5000,
        'network.peer.address': '10.0.0.1',
        'network.peer.port': 5000,
        'http.request.body.size': 0,
        'http.response.body.size': 5,
        'sluice.listener': 'edge',
        'sluice.service': 'web',
        'sluice.endpoint': '10.0.0.2:80',
      },
    },
  );
  assert.deepEqual(
    [second.name, second.kind, second.parentSpanId, second.status],
    ['shop.Cart/Add', 'SPAN_KIND_CLIENT', base64('00f067aa0ba902b7'), { code: 'STATUS_CODE_ERROR' }],
  );
  const attributes = valuesOf(second.attributes);
  assert.deepEqual(
    [attributes['rpc.service'], attributes['rpc.method'], attributes['rpc.grpc.status_code'], attributes['error.type']],
    ['shop.Cart', 'Add', 14, 'upstream-reset'],
  );
  assert.deepEqual(
    [attributes['http.request.resend_count'], attributes['network.peer.address'], attributes['client.address']],
    [2, '10.0.0.2', '::1'],
  );
  assert.equal(attributes['user_agent.original'], 'grpc-go/1 é');
});
