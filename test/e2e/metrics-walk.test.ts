// Each metric that is declared moves: in what happens here, or in a test that is named below and asks for it by its name. A metric that
// nobody counts is worse than none.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FAMILIES } from '../../src/metrics/families.js';
import { client, exchange } from '../support/http.js';
import { http2Endpoint } from '../support/http2.js';
import { eventually, type Sluice, startSluice } from '../support/sluice.js';
import { listening } from './lifecycle-support.js';

/** Tests that show a metric moving which takes more than a moment here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  sluice_service_retries_denied_total: 'e2e/http1-endpoints.test.ts',
  sluice_retries_budget_exhausted_total: 'e2e/http1-endpoints.test.ts',
  sluice_slab_parks_total: 'e2e/opaque-relay.test.ts',
  sluice_slab_queued_buffers: 'e2e/stalled-readers.test.ts',
  sluice_slab_discarded_total: 'e2e/memory-returned.test.ts',
  sluice_accept_errors_total: 'e2e/workers-limits.test.ts',
  sluice_accept_pauses_total: 'e2e/file-descriptors.test.ts',
  sluice_backpressure_total: 'e2e/opaque-relay.test.ts',
  sluice_races_pooled_total: 'e2e/detect-verdicts.test.ts',
  sluice_hedges_total: 'e2e/opaque-hedge.test.ts',
  sluice_hedges_won_total: 'e2e/opaque-hedge.test.ts',
  sluice_access_log_dropped_total: 'e2e/access-log.test.ts',
  sluice_tracing_spans_total: 'e2e/combinations-tracing.test.ts',
  sluice_tracing_spans_dropped_total: 'e2e/tracing-collector.test.ts',
  sluice_tracing_messages_total: 'e2e/tracing-collector.test.ts',
  sluice_otlp_messages_total: 'e2e/metrics-collector.test.ts',
  sluice_otlp_retries_total: 'e2e/metrics-collector.test.ts',
  sluice_otlp_points_total: 'e2e/metrics-collector.test.ts',
  sluice_otlp_rounds_skipped_total: 'e2e/metrics-collector.test.ts',
  sluice_otlp_points_dropped_total: 'otlp/push.test.ts',
  sluice_tap_listeners: 'e2e/tap.test.ts',
  sluice_tap_left_out_total: 'e2e/tap.test.ts',
  sluice_tap_refused_total: 'e2e/tap.test.ts',
  sluice_tap_records_total: 'e2e/tap.test.ts',
  sluice_worker_rests_total: 'e2e/compilers.test.ts',
  sluice_warmup_seconds: 'e2e/warm-up.test.ts',
  sluice_warmup_requests: 'e2e/warm-up.test.ts',
  sluice_destinations: 'e2e/original-destination-inside.ts',
  sluice_destinations_asked_total: 'e2e/original-destination-inside.ts',
  sluice_destinations_evicted_total: 'e2e/original-destination-inside.ts',
  sluice_destination_loops_total: 'e2e/original-destination-inside.ts',
  sluice_destination_missing_total: 'e2e/original-destination-inside.ts',
  sluice_endpoint_http2_streams: 'e2e/http2-conformance-support.ts',
  sluice_http2_resets_sent_total: 'e2e/combinations-tunnels.test.ts',
  sluice_http2_refused_retries_total: 'e2e/http2-ages.test.ts',
  sluice_proxy_headers_total: 'e2e/proxy-protocol.test.ts',
  sluice_proxy_header_refused_total: 'e2e/proxy-protocol.test.ts',
  sluice_proxy_header_strangers_total: 'e2e/proxy-protocol.test.ts',
  sluice_authorization_allowed_total: 'e2e/authorization.test.ts',
  sluice_authorization_denied_total: 'e2e/authorization.test.ts',
  sluice_authorization_terminated_total: 'e2e/authorization.test.ts',
  sluice_tls_open_connections: 'e2e/tls-listeners.test.ts',
  sluice_tls_open_handshakes: 'e2e/tls-handshakes.test.ts',
  sluice_tls_handshakes_waiting: 'e2e/tls-handshakes.test.ts',
  sluice_tls_handshakes_total: 'e2e/tls-listeners.test.ts',
  sluice_tls_handshake_failures_total: 'e2e/tls-listeners.test.ts',
  sluice_tls_handshake_seconds: 'e2e/tls-listeners.test.ts',
  sluice_tls_resumed_total: 'e2e/tls-listeners.test.ts',
  sluice_tls_truncated_total: 'e2e/tls-listeners.test.ts',
  sluice_tls_broken_total: 'e2e/tls-listeners.test.ts',
  sluice_transport_headers_total: 'e2e/mesh-refusals.test.ts',
  sluice_transport_header_refused_total: 'e2e/mesh-refusals.test.ts',
  sluice_hellos_unreadable_total: 'e2e/mesh-refusals.test.ts',
  sluice_listener_tls_total: 'e2e/mesh-refusals.test.ts',
  sluice_tls_sni_total: 'e2e/mesh-refusals.test.ts',
  sluice_tls_passed_total: 'e2e/mesh-pair.test.ts',
  sluice_http2_goaways_received_total: 'e2e/grpc-lifetime.test.ts',
  sluice_certificate_expires_in_seconds: 'e2e/tls-files.test.ts',
  sluice_certificate_loads_total: 'e2e/tls-files.test.ts',
  sluice_certificates_broken: 'e2e/tls-files.test.ts',
  control_identity_cert_expiration_timestamp_seconds: 'e2e/identity-files.test.ts',
  control_identity_cert_refresh_timestamp_seconds: 'e2e/identity-files.test.ts',
  control_identity_cert_refreshes_total: 'e2e/identity-files.test.ts',
  sluice_identity_expires_in_seconds: 'e2e/identity-files.test.ts',
  sluice_identity_anchors: 'e2e/identity-files.test.ts',
  sluice_identity_failures_total: 'e2e/identity-files.test.ts',
  sluice_destination_service_connected: 'e2e/sidecar-destinations-inside.ts',
  sluice_destination_service_state_age_seconds: 'e2e/sidecar-destinations-inside.ts',
  sluice_destination_service_connects_total: 'e2e/sidecar-destinations-inside.ts',
  sluice_destination_service_streams: 'e2e/sidecar-destinations-inside.ts',
  sluice_destination_service_updates_total: 'e2e/sidecar-destinations-inside.ts',
  sluice_destination_service_addresses: 'e2e/sidecar-destinations-inside.ts',
  sluice_destination_service_services: 'e2e/sidecar-destinations-inside.ts',
  sluice_destination_service_failures_total: 'e2e/sidecar-destinations-inside.ts',
};
/** What no test shows, and why. */
const UNMOVED: Readonly<Record<string, string>> = {
  inbound_http_balancer_endpoints: "Linkerd's name: services have no direction yet, and count as outbound",
  sluice_destination_service_refused_total:
    'counts what finds no room among 8,191 services; supervisor/lookup-resolver.test.ts counts the same of few',
  sluice_pipe_limited_total: 'counts what a process without pipes does: two bulk flows at once at limits.maxPipes of 1',
};

const started: Sluice[] = [];
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
});

/** Names of the families of which a series is not 0. */
async function moved(sluice: Sluice, into: Set<string>): Promise<void> {
  for (const line of (await sluice.admin('/metrics')).split('\n')) {
    const match = /^([a-z_0-9]+?)(?:_bucket|_sum|_count)?(?:\{.*\})? (\S+)$/.exec(line);
    if (match !== null && Number(match[2]) !== 0) into.add(match[1]);
    const plain = /^([a-z_0-9]+)(?:\{.*\})? (\S+)$/.exec(line);
    if (plain !== null && Number(plain[2]) !== 0) into.add(plain[1]);
  }
}

/** Says `text`, or waits for the server to speak, and leaves. */
async function opaque(port: number, text: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  if (text !== '') socket.write(text);
  await once(socket, 'data');
  socket.destroy();
}

/** Calls that end well, one that is cancelled, and one that nobody reads, while `look` looks. */
async function http2(port: number, look: () => Promise<void>): Promise<void> {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 60_000 } });
  const fields = { ':path': '/', ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers', 'x-own': 'a' };
  for (let i = 0; i < 5; i++) {
    const call = session.request(i < 3 ? { ':path': '/', 'x-own': `${i % 2}` } : fields).resume();
    call.on('error', () => undefined);
    call.end();
    await new Promise((resolve) => call.once('close', resolve));
  }
  const unread = [1, 2, 3].map(() => session.request({ ':path': '/' }));
  for (const call of unread) call.on('error', () => undefined);
  await Promise.all(unread.map((call) => once(call, 'response')));
  await new Promise((resolve) => session.ping(resolve));
  await look();
  for (const call of unread) call.close(constants.NGHTTP2_CANCEL);
  session.destroy();
}

test('every metric that is declared moves', async (t) => {
  const seen = new Set<string>();
  const origin = createServer((request, response) => {
    if (request.url === '/break') request.socket.destroy();
    else if (request.url === '/large') response.end(Buffer.alloc(4 << 20));
    else if (request.url !== '/hold') response.writeHead(request.url === '/500' ? 500 : 200).end('x'.repeat(100_000));
  });
  const port = await listening(origin);
  const h2 = await http2Endpoint();
  const echo: Server = createTcpServer((socket) => socket.pipe(socket));
  const echoPort = await listening(echo);
  const mail: Server = createTcpServer((socket) => socket.write('220 hello\r\n'));
  const mailPort = await listening(mail);
  const directory = mkdtempSync(join(tmpdir(), 'sluice-walk-'));
  t.after(async () => {
    origin.closeAllConnections();
    origin.close();
    echo.close();
    mail.close();
    rmSync(directory, { recursive: true, force: true });
    await h2.close();
  });
  writeFileSync(join(directory, 'good.yaml'), `["127.0.0.1:${port}"]`);
  const sluice = await startSluice(
    `drain: { hold: 0 }
workers: 2
log: { access: true }
listeners:
  - { name: edge, listen: "127.0.0.1:0", service: web }
  - { name: out, listen: "127.0.0.1:0", service: web, direction: outbound }
  - { name: calls, listen: "127.0.0.1:0", service: h2 }
  - { name: bytes, listen: "127.0.0.1:0", protocol: opaque, service: bytes }
  - { name: dead, listen: "127.0.0.1:0", service: dead }
  - { name: mail, listen: "127.0.0.1:0", service: mail, detect: { race: 10ms } }
  - { name: unready, listen: "127.0.0.1:0", service: unready }
services:
  web: { protocol: http1, endpoints: ["127.0.0.1:${port}"] }
  h2: { protocol: http2, endpoints: ["${h2.address}"] }
  bytes: { endpoints: ["127.0.0.1:${echoPort}"] }
  dead: { endpoints: ["127.0.0.1:9"], protocol: http1 }
  mail: { endpoints: ["127.0.0.1:${mailPort}"] }
  filed: { endpoints: { file: "${directory}/good.yaml" } }
  broken: { endpoints: { file: "${directory}/none.yaml" } }
  named: { endpoints: ["localhost:1"] }
  unready: { protocol: http1, endpoints: ["no-such-name.invalid:80"] }
limits: { http2: { keepAlive: 1s, idleTimeout: 1s } }
metrics: { maxServices: 6 }
`,
    'epoll',
  );
  started.push(sluice);
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const look = async (name: string): Promise<void> => {
    await eventually(async () => {
      await moved(sluice, seen);
      return seen.has(name);
    }, name);
  };
  for (const name of ['edge', 'out', 'calls'])
    for (const path of ['/', '/500']) await exchange(sluice.port(name), get(path));
  // What breaks on a kept connection is tried again: one client's requests go by the same worker, and its pool.
  const again = await client(sluice.port('edge'));
  for (const path of ['/', '/break']) {
    again.write(get(path));
    await again.message();
  }
  again.destroy();
  await exchange(sluice.port('unready'), get('/'));
  for (let i = 0; i < 12; i++) await exchange(sluice.port('dead'), get('/'));
  // More connections than one worker keeps.
  const crowd = await Promise.all(Array.from({ length: 40 }, () => client(sluice.port('edge'))));
  await look('sluice_handed_in_total');
  for (const wire of crowd) wire.destroy();
  await exchange(sluice.port('edge'), get('/large'));
  await opaque(sluice.port('bytes'), 'hello');
  // A client that waits for a server which speaks first.
  for (let i = 0; i < 2; i++) await opaque(sluice.port('mail'), '');
  const leaver = await client(sluice.port('edge'));
  leaver.write(get('/hold'));
  await look('sluice_service_in_flight');
  leaver.reset();
  await look('sluice_service_unanswered_total');
  await http2(sluice.port('edge'), () => look('sluice_http2_pings_sent_total'));
  await look('sluice_http2_connection_streams');
  await moved(sluice, seen);
  const still = FAMILIES.map(({ name }) => name).filter((name) => !seen.has(name));
  for (const [name, file] of Object.entries(ELSEWHERE))
    assert.ok(
      readFileSync(new URL(`../../../test/${file}`, import.meta.url), 'utf8').includes(name),
      `${file} does not ask for ${name}`,
    );
  const missing = still.filter((name) => !(name in ELSEWHERE) && !(name in UNMOVED));
  assert.deepEqual(missing, [], 'never moved: add what moves it to this test, or name the test that does in ELSEWHERE');
  await sluice.stop();
});
