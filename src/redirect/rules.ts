// The rules of netfilter that lead a pod's connections through the proxy: chains, order and comments are those that Linkerd's init
// container lays, so that whatever reads them, tools and people, finds what it knows.
import { formatBits, type Network } from '../config/addresses.js';
import type { PortSpan } from './port-list.js';

export const INBOUND_CHAIN = 'PROXY_INIT_REDIRECT';
export const OUTBOUND_CHAIN = 'PROXY_INIT_OUTPUT';
/** The chains of the kernel that lead to ours. */
export const HOOKS = [
  { from: 'PREROUTING', to: INBOUND_CHAIN, comment: 'proxy-init/install-proxy-init-prerouting' },
  { from: 'OUTPUT', to: OUTBOUND_CHAIN, comment: 'proxy-init/install-proxy-init-output' },
] as const;
/** What one multiport match takes; a range counts twice (xt_multiport.h: XT_MULTI_PORTS). */
const MULTIPORTS = 15;

export type Family = 4 | 6;

export interface Redirect {
  /** Where the proxy takes what comes to the pod, and what its applications dial. */
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** What the proxy dials itself is left alone. */
  readonly proxyUid: number;
  /** Likewise by group; null: not asked. */
  readonly proxyGid: number | null;
  /** Ports of the pod that bypass the proxy, and ports elsewhere. */
  readonly skipInbound: readonly PortSpan[];
  readonly skipOutbound: readonly PortSpan[];
  /** Where connections come from that bypass it. */
  readonly skipSubnets: readonly Network[];
  /** Just these ports of the pod are redirected; empty: all. */
  readonly onlyInbound: readonly PortSpan[];
}

/** A rule of one of our chains, without `-A CHAIN`. */
export type Rule = readonly string[];

const commented = (rule: readonly string[], comment: string): Rule => [
  ...rule,
  '-m',
  'comment',
  '--comment',
  `proxy-init/${comment}`,
];

/** `25,587,4000:4010`, several of them where one rule does not take all. */
export function multiports(spans: readonly PortSpan[]): string[] {
  const lists: string[][] = [];
  let room = 0;
  for (const { first, last } of spans) {
    const counts = first === last ? 1 : 2;
    if (counts > room) {
      lists.push([]);
      room = MULTIPORTS;
    }
    lists[lists.length - 1].push(first === last ? `${first}` : `${first}:${last}`);
    room -= counts;
  }
  return lists.map((list) => list.join(','));
}

const skipped = (spans: readonly PortSpan[]): Rule[] =>
  multiports(spans).map((ports) =>
    commented(['-p', 'tcp', '-m', 'multiport', '--dports', ports, '-j', 'RETURN'], `ignore-port-${ports}`),
  );

/** A network in the words of its own family: IPv4 may have been written as IPv6. */
function networkText({ text, family, first, last }: Network): string {
  if (family === 6 || !text.includes(':')) return text;
  const size = BigInt(`0x${last}`) - BigInt(`0x${first}`) + 1n;
  return `${formatBits({ family, hex: first })}/${32 - (size.toString(2).length - 1)}`;
}

/** What comes to the pod: what is left alone, then the rest to the proxy. */
export function inboundRules(redirect: Redirect, family: Family): Rule[] {
  const { inboundPort, skipInbound, skipSubnets, onlyInbound } = redirect;
  const to = ['-j', 'REDIRECT', '--to-ports', `${inboundPort}`];
  const subnets = skipSubnets.filter((subnet) => subnet.family === family);
  const redirected =
    onlyInbound.length === 0
      ? [commented(['-p', 'tcp', ...to], 'redirect-all-incoming-to-proxy-port')]
      : multiports(onlyInbound).map((ports) =>
          commented(['-p', 'tcp', '-m', 'multiport', '--dports', ports, ...to], `redirect-port-${ports}`),
        );
  return [
    ...skipped(skipInbound),
    ...subnets.map(networkText).map((text) => commented(['-s', text, '-j', 'RETURN'], `ignore-subnet-${text}`)),
    ...redirected,
  ];
}

/** What the pod's processes dial: not what the proxy dials, not what stays in the pod. */
export function outboundRules({ outboundPort, proxyUid, proxyGid, skipOutbound }: Redirect): Rule[] {
  const own = (what: 'uid' | 'gid', id: number): Rule =>
    commented(['-m', 'owner', `--${what}-owner`, `${id}`, '-j', 'RETURN'], `ignore-proxy-${what}`);
  return [
    own('uid', proxyUid),
    ...(proxyGid === null ? [] : [own('gid', proxyGid)]),
    commented(['-o', 'lo', '-j', 'RETURN'], 'ignore-loopback'),
    ...skipped(skipOutbound),
    commented(['-p', 'tcp', '-j', 'REDIRECT', '--to-ports', `${outboundPort}`], 'redirect-all-outgoing-to-proxy-port'),
  ];
}

/**
 * Input of `iptables-restore --noflush`: all rules of a family, which come into force at once. A chain that is there already is emptied
 * first, so that running it again leaves what running it once does. `hooked` are the hooks that are there already.
 */
export function restoreInput(redirect: Redirect, family: Family, hooked: ReadonlySet<string>): string {
  const line = (chain: string, rule: Rule): string => `-A ${chain} ${rule.join(' ')}`;
  return [
    '*nat',
    `:${INBOUND_CHAIN} - [0:0]`,
    `:${OUTBOUND_CHAIN} - [0:0]`,
    ...inboundRules(redirect, family).map((rule) => line(INBOUND_CHAIN, rule)),
    ...outboundRules(redirect).map((rule) => line(OUTBOUND_CHAIN, rule)),
    ...HOOKS.filter(({ from }) => !hooked.has(from)).map(({ from, to, comment }) =>
      line(from, ['-j', to, '-m', 'comment', '--comment', comment]),
    ),
    'COMMIT',
    '',
  ].join('\n');
}
