// nginx, HAProxy and Envoy as peers in mutual TLS: in front of an application, where they end it, and in front of Sluice, which they dial
// with it. What can't be had throws `Missing`, by name.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, Missing, need, type RealServer, serve, start, temporary } from '../support/servers.js';

const HOST = '127.0.0.1';
const TRIES = 3;
const SCRIPT = fileURLToPath(new URL('../../../test/interop/peers/envoy.sh', import.meta.url));

export type Kind = 'nginx' | 'HAProxy' | 'Envoy';
export const KINDS: readonly Kind[] = ['nginx', 'HAProxy', 'Envoy'];

/** What one shows and whom it believes: paths of PEM files, and the name of the peer. */
export interface Credentials {
  /** Chain and key; null: none. */
  readonly own: { readonly certificate: string; readonly key: string } | null;
  readonly ca: string;
  /** Of the peer, in its certificate: a name in the DNS or a SPIFFE ID; of clients it may be left out. */
  readonly peer?: string;
  /** The server name that is asked for, where it is not `peer`. */
  readonly serverName?: string;
}

/** Where it takes plain text, and goes on in TLS to `to`. */
export interface Front extends Credentials {
  readonly to: number;
  /** What it speaks, on both sides. */
  readonly speaks: 'h1' | 'h2' | 'bytes';
}

/** Where it takes mutual TLS, and goes on in plain text to `to`. HTTP of both versions, or bytes. */
export interface Back extends Credentials {
  readonly to: number;
  readonly speaks: 'http' | 'bytes';
}

export interface TlsProxy {
  /** Of the front or back of this name. */
  port(name: string): number;
  stop(): Promise<void>;
}

type Ports<Of> = readonly (Of & { readonly name: string; readonly port: number })[];
type Sections = { readonly fronts: Ports<Front>; readonly backs: Ports<Back>; readonly directory: string };

/** What answers of a back say, beside those of the application: `x-client` and `x-serial` of the client's certificate, `x-spoke`. */
export async function startTlsProxy(
  kind: Kind,
  { fronts = {}, backs = {} }: { fronts?: Readonly<Record<string, Front>>; backs?: Readonly<Record<string, Back>> },
): Promise<TlsProxy> {
  for (let left = TRIES; ; left--) {
    try {
      return await startOn(kind, fronts, backs);
    } catch (error) {
      // Somebody was quicker to take one of the ports.
      if (left === 1 || !/in use/i.test((error as Error).message)) throw error;
    }
  }
}

async function startOn(
  kind: Kind,
  fronts: Readonly<Record<string, Front>>,
  backs: Readonly<Record<string, Back>>,
): Promise<TlsProxy> {
  const ports = new Map<string, number>();
  for (const name of [...Object.keys(fronts), ...Object.keys(backs)]) ports.set(name, await freePort());
  const at = <Of>(sections: Readonly<Record<string, Of>>): Ports<Of> =>
    Object.entries(sections).map(([name, of]) => ({ ...of, name, port: ports.get(name) ?? 0 }));
  const [program, args, text, suffix] = PROGRAMS[kind];
  const path = kind === 'Envoy' ? envoy() : need(program);
  const directory = temporary(program, null);
  const config = join(directory, `config${suffix}`);
  writeFileSync(config, text({ fronts: at(fronts), backs: at(backs), directory }));
  const [first = 0] = ports.values();
  const started = start(path, args(config, directory), null, directory);
  const server: RealServer = await serve(program, started, first, directory, 'SIGTERM');
  const { stop } = server;
  return { port: (name) => ports.get(name) ?? 0, stop };
}

/** Why `kind` can't be had; false where it can: for `skip`. */
export function lackingProxy(kind: Kind): string | false {
  try {
    if (kind === 'Envoy') envoy();
    else need(PROGRAMS[kind][0]);
    return false;
  } catch (error) {
    if (error instanceof Missing) return error.message;
    throw error;
  }
}

function envoy(): string {
  const folder = execFileSync('bash', [SCRIPT, 'where'], { encoding: 'utf8' }).trim();
  try {
    return need(join(folder, 'envoy'));
  } catch {
    throw new Missing('Envoy is not there (make peers)');
  }
}

function nginxConfig({ fronts, backs, directory }: Sections): string {
  const temporaries = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const through =
    'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; proxy_buffering off;';
  const front = ({ port, to, own, ca, peer, serverName = peer }: Ports<Front>[number]): string => `server {
    listen ${HOST}:${port};
    location / {
      proxy_pass https://${HOST}:${to}; ${through}
      proxy_ssl_verify on; proxy_ssl_verify_depth 3; proxy_ssl_trusted_certificate ${ca};
      proxy_ssl_server_name on; proxy_ssl_name ${serverName}; proxy_ssl_protocols TLSv1.3;
      ${own === null ? '' : `proxy_ssl_certificate ${own.certificate}; proxy_ssl_certificate_key ${own.key};`}
    }
  }`;
  const back = ({ port, to, own, ca }: Ports<Back>[number]): string => `server {
    listen ${HOST}:${port} ssl http2;
    ssl_certificate ${own?.certificate}; ssl_certificate_key ${own?.key}; ssl_protocols TLSv1.3;
    ssl_client_certificate ${ca}; ssl_verify_client on; ssl_verify_depth 3;
    add_header x-client "$ssl_client_s_dn" always; add_header x-serial "$ssl_client_serial" always;
    add_header x-spoke "$server_protocol $ssl_protocol $ssl_server_name" always;
    location / { proxy_pass http://${HOST}:${to}; ${through} }
  }`;
  return `daemon off; master_process off; pid ${directory}/pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off; client_max_body_size 0;
  ${temporaries.map((name) => `${name}_temp_path ${directory}/${name};`).join(' ')}
  ${[...fronts.map(front), ...backs.map(back)].join('\n  ')}
}
`;
}

function haproxyConfig({ fronts, backs, directory }: Sections): string {
  /** Chain and key in one file. */
  const pem = (name: string, { certificate, key }: NonNullable<Credentials['own']>): string => {
    const path = join(directory, `${name}.pem`);
    writeFileSync(path, readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'));
    return path;
  };
  const front = ({ name, port, to, own, ca, speaks, peer, serverName = peer }: Ports<Front>[number]): string => {
    const alpn = { h1: 'alpn http/1.1', h2: 'alpn h2 proto h2', bytes: '' }[speaks];
    const crt = own === null ? '' : `crt ${pem(name, own)}`;
    return `listen ${name}
  mode ${speaks === 'bytes' ? 'tcp' : 'http'}
  bind ${HOST}:${port}${speaks === 'h2' ? ' proto h2' : ''}
  server s ${HOST}:${to} ssl verify required ca-file ${ca} ${crt} sni str(${serverName}) verifyhost ${peer} ${alpn} ssl-min-ver TLSv1.3
`;
  };
  const back = ({ name, port, to, own, ca, speaks }: Ports<Back>[number]): string => `listen ${name}
  mode ${speaks === 'bytes' ? 'tcp' : 'http'}
  bind ${HOST}:${port} ssl crt ${own === null ? '' : pem(name, own)} ca-file ${ca} verify required ssl-min-ver TLSv1.3 ${speaks === 'http' ? 'alpn h2,http/1.1' : ''}
  ${
    speaks === 'bytes'
      ? ''
      : `http-response set-header x-client %[ssl_c_s_dn(cn)]
  http-response set-header x-serial %[ssl_c_serial,hex]
  http-response set-header x-spoke "%[fc_http_major] %[ssl_fc_protocol] %[ssl_fc_sni]"`
  }
  server s ${HOST}:${to}
`;
  return `global
  maxconn 500
  nbthread 1
  noreuseport
defaults
  retries 0
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${[...fronts.map(front), ...backs.map(back)].join('')}`;
}

const TYPE = 'type.googleapis.com/envoy.extensions';
const typed = (name: string, type: string, more: object): object => ({
  name,
  typed_config: { '@type': `${TYPE}.${type}`, ...more },
});

/** With a SPIFFE ID as the peer's name it is SPIFFE's rules that hold: one bundle of authorities for each trust domain. */
function envoyTls(type: string, { own, ca, peer }: Credentials, alpn: readonly string[], more: object): object {
  const spiffe = peer?.startsWith('spiffe://');
  const names = peer === undefined ? [] : [{ san_type: spiffe ? 'URI' : 'DNS', matcher: { exact: peer } }];
  const domain = { name: peer?.split('/')[2], trust_bundle: { filename: ca } };
  const validator = typed('envoy.tls.cert_validator.spiffe', 'transport_sockets.tls.v3.SPIFFECertValidatorConfig', {
    trust_domains: [domain],
  });
  const trust = spiffe ? { custom_validator_config: validator } : { trusted_ca: { filename: ca } };
  const shown = {
    certificate_chain: { filename: own?.certificate },
    private_key: { filename: own?.key },
  };
  return typed('envoy.transport_sockets.tls', `transport_sockets.tls.v3.${type}`, {
    common_tls_context: {
      tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
      tls_certificates: own === null ? [] : [shown],
      validation_context: { ...trust, match_typed_subject_alt_names: names },
      alpn_protocols: alpn,
    },
    ...more,
  });
}

const envoyAt = (port: number): object => ({ socket_address: { address: HOST, port_value: port } });

const envoyCluster = (name: string, to: number, more: object): object => ({
  name,
  connect_timeout: '5s',
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: envoyAt(to) } }] }],
  },
  ...more,
});

const envoyBytes = (cluster: string): object =>
  typed('tcp', 'filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: cluster, cluster });

function envoyHttp(cluster: string, codec: string, headers: Readonly<Record<string, string>>): object {
  return typed('http', 'filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: cluster,
    codec_type: codec,
    route_config: {
      response_headers_to_add: Object.entries(headers).map(([key, value]) => ({ header: { key, value } })),
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster, timeout: '60s' } }] },
      ],
    },
    http_filters: [typed('envoy.filters.http.router', 'filters.http.router.v3.Router', {})],
  });
}

function envoyConfig({ fronts, backs }: Sections): string {
  const listening = (name: string, port: number): object => ({
    name,
    address: envoyAt(port),
    enable_reuse_port: false,
  });
  const listeners: object[] = [];
  const clusters: object[] = [];
  for (const front of fronts) {
    const { name, port, to, speaks, peer, serverName = peer } = front;
    const version = speaks === 'h2' ? 'http2_protocol_options' : 'http_protocol_options';
    const protocol = typed('', 'upstreams.http.v3.HttpProtocolOptions', { explicit_http_config: { [version]: {} } });
    // Without `bytes` it adds the protocol that it is told of to what it offers.
    const options = { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': Reflect.get(protocol, 'typed_config') };
    clusters.push(
      envoyCluster(name, to, {
        transport_socket: envoyTls('UpstreamTlsContext', front, [], { sni: serverName }),
        ...(speaks === 'bytes' ? {} : { typed_extension_protocol_options: options }),
      }),
    );
    const filter = speaks === 'bytes' ? envoyBytes(name) : envoyHttp(name, speaks === 'h2' ? 'HTTP2' : 'HTTP1', {});
    listeners.push({ ...listening(name, port), filter_chains: [{ filters: [filter] }] });
  }
  for (const back of backs) {
    const { name, port, to, speaks } = back;
    clusters.push(envoyCluster(name, to, {}));
    const headers = {
      'x-client': '%DOWNSTREAM_PEER_URI_SAN%',
      'x-serial': '%DOWNSTREAM_PEER_SERIAL%',
      'x-spoke': '%PROTOCOL% %DOWNSTREAM_TLS_VERSION% %REQUESTED_SERVER_NAME%',
    };
    const filter = speaks === 'bytes' ? envoyBytes(name) : envoyHttp(name, 'AUTO', headers);
    const alpn = speaks === 'bytes' ? [] : ['h2', 'http/1.1'];
    const socket = envoyTls('DownstreamTlsContext', back, alpn, { require_client_certificate: true });
    listeners.push({
      ...listening(name, port),
      // It is what knows the server name that was asked for.
      listener_filters: [typed('tls', 'filters.listener.tls_inspector.v3.TlsInspector', {})],
      filter_chains: [{ filters: [filter], transport_socket: socket }],
    });
  }
  return JSON.stringify({ static_resources: { listeners, clusters } });
}

const ENVOY_ARGS = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning', '-c'];

/** By kind: the program, its arguments, what it is told, and how the file is called. */
const PROGRAMS: Readonly<
  Record<
    Kind,
    readonly [string, (config: string, directory: string) => readonly string[], (s: Sections) => string, string]
  >
> = {
  nginx: ['nginx', (config, directory) => ['-e', 'stderr', '-p', directory, '-c', config], nginxConfig, '.conf'],
  HAProxy: ['haproxy', (config) => ['-db', '-f', config], haproxyConfig, '.cfg'],
  Envoy: ['envoy', (config) => [...ENVOY_ARGS, config], envoyConfig, '.json'],
};
