// Sluice as a contender: its command line, a configuration file, and /ready.
import { certificates } from '../certificates.js';
import { sluiceCommand } from '../paths.js';
import type { Processes, Started } from '../processes.js';
import { clientsSpeakHttp2, endpointSpeaksHttp2, readVersion, type Subject, type Work } from './subject.js';

export interface SluiceOptions {
  readonly name: string;
  readonly io: string;
  readonly workers: number;
  readonly cores: string;
  /** Port of the admin listener in `configuration`. */
  readonly admin: number;
  /** YAML. */
  readonly configuration: string;
  /** Starts another build; this one by default. */
  readonly program?: readonly string[];
  /** Additional flags for node. */
  readonly flags?: readonly string[];
  /** Prefix of the command, such as `stdbuf -oL`. */
  readonly wrapper?: readonly string[];
}

/** Starts Sluice; resolves once /ready answers 200. */
export async function startSluice(session: Processes, options: SluiceOptions): Promise<Started> {
  const { name, io, workers, cores, admin, flags = [], wrapper = [] } = options;
  const [node, ...program] = options.program ?? sluiceCommand() ?? [];
  const file = session.write(`sluice-${admin}.yaml`, options.configuration);
  const run = ['run', '-c', file, '--io', io, '--workers', String(workers)];
  const command = [...wrapper, node, ...flags, ...program, ...run];
  const started = session.start(name, cores, command);
  await session.until(started, 'become ready', () => ready(admin));
  return started;
}

interface Variant {
  /** Another build. */
  readonly program?: readonly string[];
  /** Services in the configuration besides the one in use; 0 by default. */
  readonly idleServices?: number;
  /** Additional top-level configuration as YAML. */
  readonly more?: () => string;
}

export function sluice(name: string, io: 'uring' | 'epoll' | 'auto', variant: Variant = {}): Subject {
  const { program, idleServices = 0, more = () => '' } = variant;
  return {
    name,
    missing: () => ((program ?? sluiceCommand()) === null ? 'Sluice is not built (make build)' : null),
    version() {
      const [node, ...rest] = program ?? sluiceCommand() ?? [];
      return node === undefined ? '' : readVersion(node, [...rest, 'version'], /^sluice (\S+)/m);
    },
    async start(session, work) {
      const port = await session.port();
      const admin = await session.port();
      const { workers, cores } = work;
      const text = configuration(port, admin, work, io, tls(session, work)) + idle(idleServices) + more();
      const options = { name, io, workers, cores, admin, configuration: text };
      const started = await startSluice(session, program ? { ...options, program } : options);
      const check = work.http2 ? { check: () => balancesHttp2(admin, work) } : {};
      return { name, port, admin, started, ready: () => ready(admin), ...check };
    },
    build: (other, otherProgram) => sluice(other, io, { ...variant, program: otherProgram }),
  };
}

/** Relaying HTTP/2 as bytes would be cheap, and not comparable with the others. */
async function balancesHttp2(admin: number, work: Work): Promise<string | null> {
  const response = await fetch(`http://127.0.0.1:${admin}/metrics`);
  const text = await response.text();
  const opened = (role: string) =>
    new RegExp(`^sluice_http2_streams_total\\{[^}]*role="${role}"[^}]*\\} [1-9]`, 'm').test(text);
  if (clientsSpeakHttp2(work) && !opened('server')) return 'HTTP/2 of the clients was relayed as bytes, not balanced';
  return endpointSpeaksHttp2(work) && !opened('client') ? 'the endpoint was not reached over HTTP/2' : null;
}

/** Whether GET /ready on the admin port answers 200. */
export async function ready(admin: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${admin}/ready`, { signal: AbortSignal.timeout(1000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** The endpoint's protocol. */
function protocol(work: Work): string {
  if (work.kind === 'tcp') return 'opaque';
  return endpointSpeaksHttp2(work) ? 'http2' : 'http1';
}

/** The listener's TLS, as YAML in flow style. */
function tls(session: Processes, work: Work): string {
  if (work.tls === undefined) return '';
  const { localhost, anchors } = certificates(session);
  const clients = work.tls === 'mutual' ? `, clientAuthority: "${anchors}", clientCertificate: required` : '';
  return `, tls: { certificates: [{ certificate: "${localhost.certificate}", key: "${localhost.key}" }]${clients} }`;
}

function configuration(port: number, admin: number, work: Work, io: string, listenerTls: string): string {
  return `workers: ${work.workers}
io: ${io}
admin: { listen: "127.0.0.1:${admin}" }
drain: { hold: 0s, grace: 1s }
listeners:
  - { name: edge, listen: "127.0.0.1:${port}", service: endpoints${listenerTls} }
services:
  endpoints:
    protocol: ${protocol(work)}
    endpoints: ["127.0.0.1:${work.upstream}"]
`;
}

const ENDPOINTS_EACH = 10;

/** YAML of services that no listener uses, each with ten endpoints where nobody listens. */
function idle(services: number): string {
  const lines = Array.from({ length: services }, (_, service) => {
    const endpoints = Array.from({ length: ENDPOINTS_EACH }, (_, at) => {
      const number = service * ENDPOINTS_EACH + at;
      return `"127.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}:1"`;
    });
    return `  idle-${service}: { protocol: http1, endpoints: [${endpoints.join(', ')}] }\n`;
  });
  return lines.join('');
}
