// A node for pods: this test process in a network, mount and process namespace of its own, where pods are network namespaces on wires
// to it. What is made in there is gone with the process. Services have addresses that rules of netfilter lead to their endpoints, as
// kube-proxy does it, and names that a DNS server knows.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DnsServer, startDnsServer } from '../discovery/dns-server.js';
import { Namespace } from './namespaces.js';

const MARK = 'TEST_POD_LAB';
/** Everything ends with the test process: it is the first of its process namespace. */
const OUTSIDE = 'setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc'.split(' ');
/** What has to work inside: mounts over mounts, and the tools. */
const TRIAL =
  'ip link set lo up && ip link add wire0 type veth peer name wire1 && iptables -t nat -L >/dev/null && mount -t tmpfs none /mnt && ' +
  'mkdir /mnt/u /mnt/w /mnt/m && mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m';

/**
 * Runs the test file, whose `import.meta.url` this is, once more as a node for pods, and ends with it: call it before the first test is
 * declared. Inside it gives '', and where there can be no pods the reason.
 */
export function enterLab(url: string): string {
  if (process.env[MARK] !== undefined) return '';
  const [program, ...args] = OUTSIDE;
  const trial = spawnSync(program, [...args, 'sh', '-c', TRIAL], { encoding: 'utf8' });
  if (trial.error !== undefined) return trial.error.message;
  if (trial.status !== 0)
    return `pods need root, network namespaces, iptables and overlay mounts: ${trial.stderr.trim()}`;
  const again = [...args, process.execPath, ...process.execArgv, fileURLToPath(url)];
  const { status } = spawnSync(program, again, { stdio: 'inherit', env: { ...process.env, [MARK]: '1' } });
  process.exit(status ?? 1);
}

/** Addresses of Services are from here, which nobody has. */
export const SERVICE_NETWORKS = ['10.96.0.0/16', 'fd96::/108'] as const;
const POD_NETWORKS = ['10.244.0.', 'fd44::'] as const;
/** The node itself, as pods see it. */
export const NODE_ADDRESSES = [`${POD_NETWORKS[0]}1`, `${POD_NETWORKS[1]}1`] as const;
const ROUTER = 'fe80::1';

export interface LabService {
  readonly name: string;
  readonly namespace: string;
  /** None: a headless Service. */
  readonly addresses: readonly string[];
  readonly ports: readonly { readonly port: number; readonly targets: readonly LabTarget[] }[];
  /** Pods that a headless Service has, and by what name (`''`: none of its own). */
  readonly members?: readonly { readonly hostname: string; readonly address: string }[];
}

export interface LabTarget {
  readonly host: string;
  readonly port: number;
}

/** A wire to a pod. */
export interface Wire {
  readonly namespace: Namespace;
  readonly ips: readonly [ipv4: string, ipv6: string];
  cut(): void;
}

const isIpv6 = (address: string): boolean => address.includes(':');
const atPort = ({ host, port }: LabTarget): string => (isIpv6(host) ? `[${host}]:${port}` : `${host}:${port}`);

function run(program: string, args: readonly string[], input = ''): void {
  try {
    execFileSync(program, args, { input, stdio: 'pipe' });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new Error(`${program} ${args.join(' ')}: ${said}`);
  }
}

/** Rules that share a Service's connections among its endpoints. */
function rulesOf(services: readonly LabService[], ipv6: boolean): string {
  const lines = ['*nat', ':LAB-SERVICES -', ':LAB-HAIRPIN -'];
  const hosts = new Set<string>();
  for (const { addresses, ports } of services)
    for (const address of addresses.filter((one) => isIpv6(one) === ipv6))
      for (const { port, targets } of ports) {
        const own = targets.filter(({ host }) => isIpv6(host) === ipv6);
        for (const [i, target] of own.entries()) {
          const share = `-m statistic --mode random --probability ${(1 / (own.length - i)).toFixed(6)}`;
          const to = `-p tcp -d ${address} --dport ${port} ${i === own.length - 1 ? '' : share}`;
          lines.push(`-A LAB-SERVICES ${to} -j DNAT --to-destination ${atPort(target)}`);
          if (!target.host.startsWith('127.')) hosts.add(target.host);
        }
      }
  // A pod that reaches itself by a Service must not see itself as the client: the answer would not pass here.
  for (const host of hosts)
    lines.push(`-A LAB-HAIRPIN -s ${host} -d ${host} -j SNAT --to-source ${NODE_ADDRESSES[ipv6 ? 1 : 0]}`);
  return `${lines.join('\n')}\nCOMMIT\n`;
}

/** Records of Services in `cluster.local`. */
function zoneOf(services: readonly LabService[]): DnsServer['zone'] {
  const zone: DnsServer['zone'] = {};
  const add = (name: string, addresses: readonly string[]): void => {
    const a = addresses.filter((address) => !isIpv6(address));
    zone[name] = { ttl: 1, a, aaaa: addresses.filter(isIpv6) };
  };
  for (const { name, namespace, addresses, members = [] } of services) {
    const domain = `${name}.${namespace}.svc.cluster.local`;
    add(domain, addresses.length > 0 ? addresses : members.map(({ address }) => address));
    for (const hostname of new Set(members.map((member) => member.hostname)))
      if (hostname !== '')
        add(
          `${hostname}.${domain}`,
          members.filter((member) => member.hostname === hostname).map(({ address }) => address),
        );
  }
  return zone;
}

export class PodLab {
  /** Pods are numbered from here; the node has 1. */
  #next = 2;

  private constructor(
    /** Files of pods; in memory. */
    readonly directory: string,
    readonly dns: DnsServer,
  ) {}

  static async start(): Promise<PodLab> {
    if (process.env[MARK] === undefined) throw new Error('call enterLab first');
    const directory = mkdtempSync(join(tmpdir(), 'sluice-pods-'));
    run('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'none', directory]);
    mkdirSync('/run/netns', { recursive: true });
    run('mount', ['-t', 'tmpfs', 'none', '/run/netns']);
    for (const [name, value] of [
      ['ipv4/ip_forward', 1],
      ['ipv6/conf/all/forwarding', 1],
      ['ipv6/conf/all/accept_dad', 0],
      ['ipv6/conf/default/accept_dad', 0],
      // Services whose endpoint is a process of the node, such as the API server.
      ['ipv4/conf/all/route_localnet', 1],
    ])
      writeFileSync(`/proc/sys/net/${name}`, String(value));
    const lines = ['link set lo up'];
    for (const address of NODE_ADDRESSES) lines.push(`addr add ${address} dev lo`);
    // What the node itself sends there needs a route before it is led elsewhere, and must not come from the loopback address.
    lines.push(
      `route add ${SERVICE_NETWORKS[0]} dev lo src ${NODE_ADDRESSES[0]}`,
      `route add ${SERVICE_NETWORKS[1]} dev lo`,
    );
    run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
    const jumps = ['PREROUTING -j LAB-SERVICES', 'OUTPUT -j LAB-SERVICES', 'POSTROUTING -j LAB-HAIRPIN'];
    const hooks = ['*nat', ':LAB-SERVICES -', ':LAB-HAIRPIN -', ...jumps.map((jump) => `-A ${jump}`), 'COMMIT', ''];
    for (const command of ['iptables-restore', 'ip6tables-restore']) run(command, ['--noflush'], hooks.join('\n'));
    return new PodLab(directory, await startDnsServer({}, NODE_ADDRESSES[0], 53));
  }

  /** A network namespace with an address of each family, and routes to all others. */
  connect(): Wire {
    const number = this.#next++;
    const namespace = Namespace.make(`pod${number}`);
    if (typeof namespace === 'string') throw new Error(namespace);
    const ips = [`${POD_NETWORKS[0]}${number}`, `${POD_NETWORKS[1]}${number.toString(16)}`] as const;
    const wire = `wire${number}`;
    namespace.run('sh', '-c', 'cd /proc/sys/net/ipv6/conf && echo 0 >all/accept_dad && echo 0 >default/accept_dad');
    const here = [
      `link add ${wire} type veth peer name eth0 netns ${namespace.name}`,
      `addr add ${ROUTER}/64 dev ${wire} nodad`,
      `link set ${wire} up`,
      ...ips.map((ip) => `route add ${ip} dev ${wire}`),
    ];
    const there = [
      ...ips.map((ip) => `addr add ${ip} dev eth0`),
      'link set eth0 up',
      `route add ${NODE_ADDRESSES[0]} dev eth0`,
      `route add default via ${NODE_ADDRESSES[0]}`,
      `route add default via ${ROUTER} dev eth0`,
    ];
    run('ip', ['-batch', '-'], `${here.join('\n')}\n`);
    run('ip', ['-n', namespace.name, '-batch', '-'], `${there.join('\n')}\n`);
    return { namespace, ips, cut: () => namespace.remove() };
  }

  /** These Services and no others. */
  setServices(services: readonly LabService[]): void {
    run('iptables-restore', ['--noflush'], rulesOf(services, false));
    run('ip6tables-restore', ['--noflush'], rulesOf(services, true));
    this.dns.zone = zoneOf(services);
  }

  stop(): void {
    this.dns.close();
  }
}
