// Linkerd's proxy (named by LINKERD2_PROXY), inbound in front of the server. Sluice is its control plane, and an iptables rule redirects
// connections to it, because that is its only way to learn original destinations.
import { execFileSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeSigningRequest } from '../../identity/signing-request.js';
import { isProgram, sluiceCommand, which } from '../paths.js';
import type { Processes, Started } from '../processes.js';
import { ready } from './sluice.js';
import { readVersion, type Subject, type Work } from './subject.js';

/** The user whose connections are not redirected. */
const PROXY_UID = '2102';
/** Address used by clients: the server listens there too, and only connections to it are redirected. */
const ADDRESS = '127.0.0.2';
/** Who the proxy is; and a client, for who wants to meet it in mutual TLS. */
const ACCOUNTS = 'shop/web,shop/client';
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
  if (!isProgram(named)) return `LINKERD2_PROXY names ${named}, which is not a program`;
  if (sluiceCommand() === null) return 'Sluice, its control plane, is not built (make build)';
  if (process.getuid?.() !== 0) return 'its connections are redirected to it, which needs root';
  const lacking = ['iptables', 'setpriv'].find((name) => which(name) === null);
  return lacking === undefined ? null : `${lacking} is not installed, which redirects connections to it`;
}

/** Its environment, as Linkerd's injector writes it into pods. `directory` has the folders `identity` and `issued`. */
export function linkerdEnvironment(
  directory: string,
  ports: Ports,
  work: Pick<Work, 'kind' | 'upstream' | 'workers'>,
): Record<string, string> {
  const at = (port: number): string => `127.0.0.1:${port}`;
  const pod = { ns: 'shop', nodeName: 'bench', pod: 'web' };
  const of: Record<string, string> = {
    LOG: 'error',
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
    IDENTITY_DIR: join(directory, 'identity'),
    IDENTITY_TRUST_ANCHORS: readFileSync(join(directory, 'issued/anchors.pem'), 'utf8'),
    IDENTITY_TOKEN_FILE: join(directory, 'issued/web.shop.token'),
    IDENTITY_LOCAL_NAME: nameOf('web', 'shop'),
    IDENTITY_SERVER_ID: nameOf('web', 'shop'),
    IDENTITY_SERVER_NAME: nameOf('web', 'shop'),
    IDENTITY_SVC_ADDR: at(ports.identity),
    IDENTITY_SVC_NAME: nameOf('sluice-identity', MESH),
  };
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [`LINKERD2_PROXY_${name}`, value]));
}

/** The key and certificate request that the proxy expects to find: in a pod another program writes them beforehand. */
export async function writeIdentity(directory: string): Promise<void> {
  const { request, key } = await makeSigningRequest(nameOf('web', 'shop'));
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'csr.der'), request);
  writeFileSync(join(directory, 'key.p8'), createPrivateKey(key).export({ type: 'pkcs8', format: 'der' }));
}

/**
 * Starts the control plane in a directory that the proxy may read: an identity service with its own issuer, and a destination service. Both
 * use plain text, as the proxy does with loopback addresses. The proxy's policy queries are refused, so the defaults in its environment
 * apply. The control plane's cost does not count.
 */
async function startControlPlane(
  session: Processes,
  directory: string,
  cores: string,
  ports: Ports,
): Promise<Started[]> {
  const [node, ...program] = sluiceCommand() ?? [];
  const issued = join(directory, 'issued');
  execFileSync(node, [...program, 'identity', 'dev', issued, '--names', ACCOUNTS], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await writeIdentity(join(directory, 'identity'));
  for (const path of [session.directory, directory, issued, join(issued, 'web.shop.token')]) chmodSync(path, 0o755);
  execFileSync('chown', ['-R', PROXY_UID, join(directory, 'identity')]);
  const issuing = ['--tokens', join(issued, 'tokens'), '--anchors', join(issued, 'anchors.pem')];
  const key = ['--issuer-key', join(issued, 'issuer-key.pem')];
  const listening = (address: number, admin: number): string[] => [
    `127.0.0.1:${address}`,
    '--admin',
    `127.0.0.1:${admin}`,
  ];
  const [identityAdmin, controllerAdmin, unusedIdentity, injector] = await session.ports(4);
  const identity = session.start('sluice-identity', cores, [
    ...[node, ...program, 'identity', 'serve', ...issuing, '--issuer', join(issued, 'issuer.pem'), ...key],
    ...['--listen', ...listening(ports.identity, identityAdmin)],
  ]);
  const controller = session.start('sluice-controller', cores, [
    ...[
      node,
      ...program,
      'controller',
      '--plain',
      '--cluster',
      session.write('linkerd-cluster.yaml', '{}'),
      ...issuing,
    ],
    ...['--issuer-certificate', join(issued, 'issuer.pem'), ...key],
    ...['--identity-listen', `127.0.0.1:${unusedIdentity}`, '--injector-listen', `127.0.0.1:${injector}`],
    ...['--destination-listen', ...listening(ports.destination, controllerAdmin)],
  ]);
  await session.until(identity, 'become ready', () => ready(identityAdmin));
  await session.until(controller, 'become ready', () => ready(controllerAdmin));
  return [identity, controller];
}

const rule = (work: Work, inbound: number): string[] => [
  ...['OUTPUT', '-p', 'tcp', '-d', ADDRESS, '--dport', String(work.upstream)],
  ...['-m', 'owner', '!', '--uid-owner', PROXY_UID, '-j', 'REDIRECT', '--to-ports', String(inbound)],
];

/** Returns a function that removes it again. */
function redirect(work: Work, inbound: number): () => void {
  execFileSync('iptables', ['-w', '-t', 'nat', '-A', ...rule(work, inbound)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const remove = (): void => {
    process.off('exit', remove);
    try {
      execFileSync('iptables', ['-w', '-t', 'nat', '-D', ...rule(work, inbound)], { stdio: 'ignore' });
    } catch {
      // somebody else has removed it
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
    version: () => readVersion(process.env.LINKERD2_PROXY ?? '', ['--version'], /(\d+\.\d+\.\d+\S*)/),
    async start(session, work) {
      const [inbound, outbound, control, admin, identity, destination] = await session.ports(6);
      const ports = { inbound, outbound, control, admin, identity, destination };
      const directory = mkdtempSync(join(session.directory, 'linkerd-'));
      const controlPlane = await startControlPlane(session, directory, work.cores, ports);
      const user = ['setpriv', `--reuid=${PROXY_UID}`, `--regid=${PROXY_UID}`, '--clear-groups', '--'];
      const env = linkerdEnvironment(directory, ports, work);
      const started = session.start(name, work.cores, [...user, process.env.LINKERD2_PROXY ?? ''], {
        env,
        stdout: 'ignore',
      });
      const close = redirect(work, inbound);
      const stop = async (): Promise<void> => {
        close();
        for (const part of controlPlane) await session.stop(part);
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
