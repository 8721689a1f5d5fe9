// What proxies of a mesh ask, in a lab without an API server: an identity service, as a pod, that knows the tokens which the kubelet gives to
// pods, and a destination service in the test's own process that says what the test says.
import { DESTINATION_LIMITS, DestinationServer } from '../../src/destination/server/server.js';
import { type Endpoint, endpointAt } from '../../src/discovery/endpoint.js';
import { type Installation, installation } from '../../src/inject/installation.js';
import { MadeUpCluster, Told } from './destination.js';
import type { GivenObjects, Kubelet, RunningPod } from './kubelet.js';
import { plainPod } from './meshed-pods.js';
import { Pki } from './pki.js';
import { type LabService, NODE_ADDRESSES } from './pod-lab.js';

const NAMESPACE = 'sluice';
const FOLDER = '/etc/identity';
const PORT = 8080;

export interface LabIdentity {
  readonly mesh: Installation;
  readonly pki: Pki;
  /** What pods find it by. */
  readonly service: LabService;
}

/** `accounts` are those that get certificates, as NAMESPACE/ACCOUNT. */
export async function startLabIdentity(
  kubelet: Kubelet,
  objects: GivenObjects,
  accounts: readonly string[],
): Promise<LabIdentity> {
  const pki = await Pki.make();
  const { chain, key } = await pki.issuer;
  const tokens = accounts.map((account) => `token-of-${account.replace('/', '-')} ${account}\n`).join('');
  objects.configMaps.set('identity', { 'tls.crt': chain, 'tls.key': key, 'ca.crt': pki.anchor, tokens });
  const files = { issuer: 'tls.crt', 'issuer-key': 'tls.key', anchors: 'ca.crt', tokens: 'tokens' };
  const named = Object.entries(files).flatMap(([name, file]) => [`--${name}`, `${FOLDER}/${file}`]);
  const ports = ['--listen', `0.0.0.0:${PORT}`, '--admin', '0.0.0.0:9990'];
  const container = {
    name: 'identity',
    image: 'sluice:test',
    args: ['identity', 'serve', ...named, '--mesh', NAMESPACE, '--tls', ...ports],
    startupProbe: { httpGet: { path: '/ready', port: 9990 }, periodSeconds: 1, failureThreshold: 60 },
    volumeMounts: [{ name: 'identity', mountPath: FOLDER }],
  };
  const volumes = [{ name: 'identity', configMap: { name: 'identity' } }];
  const pod: RunningPod = kubelet.run(plainPod('identity', { namespace: NAMESPACE, volumes, containers: [container] }));
  await pod.untilReady();
  return {
    mesh: installation('test', { namespace: NAMESPACE, trustAnchors: pki.anchor }),
    pki,
    service: {
      name: 'sluice-identity',
      namespace: NAMESPACE,
      addresses: ['10.96.0.8'],
      ports: [{ port: PORT, targets: [{ host: pod.ip, port: PORT }] }],
    },
  };
}

/** The name of an account in this mesh. */
export const nameOf = (account: string, namespace = 'default'): string =>
  `${account}.${namespace}.serviceaccount.identity.${NAMESPACE}.cluster.local`;

export interface Member {
  readonly pod: RunningPod;
  readonly meshed: boolean;
}

/** A Service as the destination service tells of it. */
export interface MeshService {
  readonly name: string;
  readonly addresses: readonly [ipv4: string, ipv6: string];
  /** Their own numbers; those of pods are the same. */
  readonly ports: readonly number[];
  readonly opaque: readonly number[];
  readonly members: readonly Member[];
}

const DESTINATION_PORT = 8086;

export class LabDestinations {
  readonly service: LabService = {
    name: 'sluice-destination',
    namespace: NAMESPACE,
    addresses: ['10.96.0.9'],
    ports: [{ port: DESTINATION_PORT, targets: [{ host: NODE_ADDRESSES[0], port: DESTINATION_PORT }] }],
  };

  private constructor(
    private readonly cluster: MadeUpCluster,
    private readonly server: DestinationServer,
  ) {}

  static async start(pki: Pki): Promise<LabDestinations> {
    const { chain, key } = await pki.leaf({ dns: [nameOf('sluice-destination', NAMESPACE)] });
    const cluster = new MadeUpCluster();
    const options = {
      tls: { cert: chain, key, ca: pki.anchor },
      clusterDomain: 'cluster.local',
      limits: { ...DESTINATION_LIMITS, spreadMs: 50, graceMs: 1000 },
    };
    const server = new DestinationServer(cluster, options, new Told());
    await server.listen({ host: NODE_ADDRESSES[0], port: DESTINATION_PORT });
    return new LabDestinations(cluster, server);
  }

  /** This is the Service from now on, and these are its pods; gives it as the lab has it. */
  tell({ name, addresses, ports, opaque, members }: MeshService): LabService {
    const endpoint = ({ pod, meshed }: Member, host: string, port: number): Endpoint =>
      endpointAt(
        { host, port },
        meshed
          ? {
              identity: nameOf(pod.pod.spec.serviceAccountName ?? 'default'),
              proxy: { port: 4143, http2: true },
              metadata: { pod: pod.name },
            }
          : { metadata: { pod: pod.name } },
      );
    for (const port of ports) {
      const of = { opaque: opaque.includes(port), protocol: 'auto' } as const;
      const authority = `${name}.default.svc.cluster.local:${port}`;
      for (const host of addresses)
        this.cluster.profile({ host, port }, { kind: 'profile', profile: { ...of, authority, endpoint: null } });
      this.cluster.service(
        authority,
        members.map((member) => endpoint(member, member.pod.ip, port)),
      );
      for (const member of members)
        for (const host of [member.pod.ip, member.pod.ipv6]) {
          const profile = { ...of, authority: '', endpoint: endpoint(member, host, port) };
          this.cluster.profile({ host, port }, { kind: 'profile', profile });
        }
    }
    const targets = (port: number) => members.flatMap(({ pod }) => [pod.ip, pod.ipv6].map((host) => ({ host, port })));
    return {
      name,
      namespace: 'default',
      addresses,
      ports: ports.map((port) => ({ port, targets: targets(port) })),
    };
  }

  async stop(): Promise<void> {
    await this.server.close();
  }
}
