// The netfilter rules that lead a pod's connections through the proxy. Chains, order and comments are those of Linkerd's init container, so
// that tools and people that know these find what they expect.
import { formatBits, type Network } from '../config/addresses.js';
import type { PortSpan } from './port-list.js';

export const INBOUND_CHAIN = 'PROXY_INIT_REDIRECT';
export const OUTBOUND_CHAIN = 'PROXY_INIT_OUTPUT';
/** The kernel's chains that lead to ours. */
export const HOOKS = [
  { from: 'PREROUTING', to: INBOUND_CHAIN, comment: 'proxy-init/install-proxy-init-prerouting' },
  { from: 'OUTPUT', to: OUTBOUND_CHAIN, comment: 'proxy-init/install-proxy-init-output' },
] as const;
/** Limit of one multiport match; a range counts twice (xt_multiport.h: XT_MULTI_PORTS). */
const MULTIPORTS = 15;

export type Family = 4 | 6;

export interface Redirect {
  /** The proxy's ports for inbound and outbound connections. */
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** The user whose own connections are left alone. */
  readonly proxyUid: number;
  /** The same by group; null: unused. */
  readonly proxyGid: number | null;
  /** Ports of the pod, and ports elsewhere, that bypass the proxy. */
  readonly skipInbound: readonly PortSpan[];
  readonly skipOutbound: readonly PortSpan[];
  /** Networks whose connections bypass it. */
  readonly skipSubnets: readonly Network[];
  /** Redirect only these ports of the pod; empty: all. */
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

/** `25,587,4000:4010`, several if one rule does not hold all. */
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

/** A network in the notation of its family: IPv4 may have been written as IPv6. */
function networkText({ text, family, first, last }: Network): string {
  if (family === 6 || !text.includes(':')) return text;
  const size = BigInt(`0x${last}`) - BigInt(`0x${first}`) + 1n;
  return `${formatBits({ family, hex: first })}/${32 - (size.toString(2).length - 1)}`;
}

/** Inbound: exceptions, then everything else to the proxy. */
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

/** Outbound connections of the pod's processes, except the proxy's own, and those that stay in the pod. */
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
 * Input of `iptables-restore --noflush`: all rules of an address family, which take effect at once. Existing chains are emptied first, so
 * that a repeated run gives the same result. `hooked`: existing hooks.
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
