// Linkerd's proxy, which LINKERD2_PROXY names, on the way in to the server behind: `sluice controller` is its control plane, and a rule of
// iptables redirects connections to it, as it knows of no other way to hear where they were going.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isProgram, sluiceCommand, which } from '../paths.js';
import type { Processes, Started } from '../processes.js';
import { ready } from './sluice.js';
import { type Subject, saidVersion, type Work } from './subject.js';

/** The user whose connections are not redirected. */
const PROXY_UID = '2102';
/** Where clients go: the server behind listens there too, and nobody else is redirected. */
const ADDRESS = '127.0.0.2';
const ACCOUNT = 'shop/web';
const MESH = 'sluice';
const nameOf = (account: string, namespace: string): string =>
  `${account}.${namespace}.serviceaccount.identity.${MESH}.cluster.local`;

interface Ports {
  readonly inbound: number;
  readonly outbound: number;
  readonly control: number;
  readonly admin: number;
  readonly identity: number;
  readonly destination: number;
}

function missing(): string | null {
  const named = process.env.LINKERD2_PROXY;
  if (!named) return 'LINKERD2_PROXY names no binary';
  if (!isProgram(named)) return `LINKERD2_PROXY names ${named}, which is no program`;
  if (sluiceCommand() === null) return 'Sluice, its control plane, is not built (make build)';
  if (process.getuid?.() !== 0) return 'its connections are redirected to it, which needs root';
  const lacking = ['iptables', 'setpriv'].find((name) => which(name) === null);
  return lacking === undefined ? null : `${lacking} is not installed, which redirects connections to it`;
}

/** Its environment: what the injector of Linkerd writes into pods. */
export function linkerdEnvironment(
  directory: string,
  ports: Ports,
  work: Pick<Work, 'kind' | 'upstream' | 'workers'>,
): Record<string, string> {
  const at = (port: number): string => `127.0.0.1:${port}`;
  const pod = { ns: 'shop', nodeName: 'bench', pod: 'web' };
  const of: Record<string, string> = {
    LOG: 'warn',
    CORES: String(work.workers),
    INBOUND_LISTEN_ADDR: at(ports.inbound),
    OUTBOUND_LISTEN_ADDR: at(ports.outbound),
    OUTBOUND_LISTEN_ADDRS: at(ports.outbound),
    CONTROL_LISTEN_ADDR: at(ports.control),
    ADMIN_LISTEN_ADDR: at(ports.admin),
    INBOUND_IPS: ADDRESS,
    INBOUND_PORTS: String(work.upstream),
    INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: work.kind === 'tcp' ? String(work.upstream) : '',
    INBOUND_DEFAULT_POLICY: 'all-unauthenticated',
    POLICY_SVC_ADDR: at(ports.destination),
    POLICY_SVC_NAME: nameOf('sluice-destination', MESH),
    POLICY_WORKLOAD: JSON.stringify(pod),
    POLICY_CLUSTER_NETWORKS: '127.0.0.0/8',
    DESTINATION_SVC_ADDR: at(ports.destination),
    DESTINATION_SVC_NAME: nameOf('sluice-destination', MESH),
    DESTINATION_CONTEXT: JSON.stringify(pod),
    IDENTITY_DIR: join(directory, 'linkerd-identity'),
    IDENTITY_TRUST_ANCHORS: readFileSync(join(directory, 'linkerd/anchors.pem'), 'utf8'),
    IDENTITY_TOKEN_FILE: join(directory, 'linkerd/web.shop.token'),
    IDENTITY_LOCAL_NAME: nameOf('web', 'shop'),
    IDENTITY_SERVER_ID: nameOf('web', 'shop'),
    IDENTITY_SERVER_NAME: nameOf('web', 'shop'),
    IDENTITY_SVC_ADDR: at(ports.identity),
    IDENTITY_SVC_NAME: nameOf('sluice-identity', MESH),
  };
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [`LINKERD2_PROXY_${name}`, value]));
}

/** Starts the control plane, with an issuer of its own. Its cost does not count. */
async function startController(session: Processes, cores: string, ports: Ports): Promise<Started> {
  const [node, ...program] = sluiceCommand() ?? [];
  const made = join(session.directory, 'linkerd');
  execFileSync(node, [...program, 'identity', 'dev', made, '--names', ACCOUNT], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const user = [`--reuid=${PROXY_UID}`, `--regid=${PROXY_UID}`, '--clear-groups'];
  execFileSync('setpriv', [...user, 'true']);
  execFileSync('mkdir', ['-p', join(session.directory, 'linkerd-identity')]);
  for (const path of ['linkerd-identity', 'linkerd', 'linkerd/web.shop.token', '.'])
    chmodSync(join(session.directory, path), 0o755);
  execFileSync('chown', [PROXY_UID, join(session.directory, 'linkerd-identity')]);
  const admin = await session.port();
  const started = session.start('sluice-controller', cores, [
    ...[node, ...program, 'controller', '--cluster', session.write('linkerd-cluster.yaml', '{}')],
    ...['--tokens', join(made, 'tokens'), '--anchors', join(made, 'anchors.pem')],
    ...['--issuer-certificate', join(made, 'issuer.pem'), '--issuer-key', join(made, 'issuer-key.pem')],
    ...['--identity-listen', `127.0.0.1:${ports.identity}`, '--destination-listen', `127.0.0.1:${ports.destination}`],
    ...['--injector-listen', `127.0.0.1:${await session.port()}`, '--admin', `127.0.0.1:${admin}`],
  ]);
  await session.until(started, 'become ready', () => ready(admin));
  return started;
}

const rule = (work: Work, inbound: number): string[] => [
  ...['OUTPUT', '-p', 'tcp', '-d', ADDRESS, '--dport', String(work.upstream)],
  ...['-m', 'owner', '!', '--uid-owner', PROXY_UID, '-j', 'REDIRECT', '--to-ports', String(inbound)],
];

/** Returns what takes it away again. */
function redirect(work: Work, inbound: number): () => void {
  execFileSync('iptables', ['-w', '-t', 'nat', '-A', ...rule(work, inbound)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const remove = (): void => {
    process.off('exit', remove);
    try {
      execFileSync('iptables', ['-w', '-t', 'nat', '-D', ...rule(work, inbound)], { stdio: 'ignore' });
    } catch {
      // somebody else has taken it away
    }
  };
  process.once('exit', remove);
  return remove;
}

export function linkerd2Proxy(name = 'linkerd2-proxy'): Subject {
  return {
    name,
    missing,
    unsupported: ({ tls }) => (tls === undefined ? null : 'linkerd2-proxy ends no TLS of clients'),
    version: () => saidVersion(process.env.LINKERD2_PROXY ?? '', ['--version'], /(\d+\.\d+\.\d+\S*)/),
    async start(session, work) {
      const [inbound, outbound, control, admin, identity, destination] = await session.ports(6);
      const ports = { inbound, outbound, control, admin, identity, destination };
      const controller = await startController(session, work.cores, ports);
      const user = ['setpriv', `--reuid=${PROXY_UID}`, `--regid=${PROXY_UID}`, '--clear-groups', '--'];
      const env = linkerdEnvironment(session.directory, ports, work);
      const started = session.start(name, work.cores, [...user, process.env.LINKERD2_PROXY ?? ''], {
        env,
        stdout: 'ignore',
      });
      const close = redirect(work, inbound);
      const stop = async (): Promise<void> => {
        close();
        await session.stop(controller);
      };
      try {
        await session.until(started, 'become ready', () => ready(admin));
      } catch (error) {
        await stop();
        throw error;
      }
      return { name, port: work.upstream, address: ADDRESS, started, ready: () => ready(admin), stop };
    },
  };
}
