// `sluice init`: redirects a pod's connections to the proxy, before anything else in the pod runs.
import { writeFileSync } from 'node:fs';
import { parseNetwork } from '../config/networks.js';
import { isReachedByIpv6, SIDECAR_PORTS, speaksIpv6 } from '../config/sidecar.js';
import { nearest } from '../config/suggest.js';
import { ValueError } from '../config/values.js';
import { applyRules, hookedChains, MODES, type Mode, RedirectError } from '../redirect/apply.js';
import { formatSpans, type PortSpan, parsePortList } from '../redirect/port-list.js';
import { type Family, type Redirect, restoreInput } from '../redirect/rules.js';
import { redirectProblem } from '../redirect/validate.js';
import type { Arguments, Command } from './usage.js';
import { EXIT_FAILURE, parseArguments, print, printError, UsageError } from './usage.js';

/** The proxy's own ports: admin and tap. */
const ALWAYS_SKIPPED = '4190,4191';
const CLOSE_WAIT = '/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait';

const options = {
  'incoming-proxy-port': { type: 'string' },
  'outgoing-proxy-port': { type: 'string' },
  'proxy-uid': { type: 'string' },
  'proxy-gid': { type: 'string' },
  'inbound-ports-to-ignore': { type: 'string' },
  'outbound-ports-to-ignore': { type: 'string' },
  'subnets-to-ignore': { type: 'string' },
  'ports-to-redirect': { type: 'string' },
  'iptables-mode': { type: 'string' },
  ipv6: { type: 'string' },
  wait: { type: 'string' },
  'timeout-close-wait-secs': { type: 'string' },
  simulate: { type: 'boolean' },
  validate: { type: 'boolean' },
  'validate-address': { type: 'string' },
} as const;

type Values = Arguments['values'];

/** An integer between bounds; `fallback` if the option is missing. */
function number<T>(values: Values, name: keyof typeof options, fallback: T, least: number, most: number): number | T {
  const text = values[name];
  if (text === undefined) return fallback;
  const value = /^\d+$/.test(String(text)) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`--${name}: ${JSON.stringify(text)} is not a whole number from ${least} to ${most}`);
}

function ports(values: Values, name: keyof typeof options, always = ''): readonly PortSpan[] {
  const { spans, names, problems } = parsePortList(`${always},${values[name] ?? ''}`);
  if (problems.length > 0) throw new UsageError(`--${name}: ${problems.join('; ')}`);
  if (names.length > 0)
    throw new UsageError(
      `--${name}: ${names.join(', ')}: names of ports are known to the injector only; write numbers`,
    );
  return spans;
}

function oneOf<T extends string>(values: Values, name: keyof typeof options, known: readonly T[], fallback: T): T {
  const text = values[name];
  if (text === undefined) return fallback;
  const found = known.find((word) => word === text);
  if (found !== undefined) return found;
  const near = nearest(String(text), known);
  const help = near === undefined ? `expected one of ${known.join(', ')}` : `did you mean ${near}?`;
  throw new UsageError(`--${name}: ${JSON.stringify(text)} is not known; ${help}`);
}

function redirectOf(values: Values): Redirect {
  const subnets = String(values['subnets-to-ignore'] ?? '').split(',');
  const inboundPort = number(values, 'incoming-proxy-port', SIDECAR_PORTS.inbound, 1, 65_535);
  const outboundPort = number(values, 'outgoing-proxy-port', SIDECAR_PORTS.outbound, 1, 65_535);
  if (inboundPort === outboundPort)
    throw new UsageError(
      `--outgoing-proxy-port: ${outboundPort} is the proxy's port for inbound connections; write another`,
    );
  return {
    inboundPort,
    outboundPort,
    proxyUid: number(values, 'proxy-uid', 2102, 0, 4_294_967_294),
    // Linkerd's chart writes 0 if there is none.
    proxyGid: number(values, 'proxy-gid', 0, 0, 4_294_967_294) || null,
    skipInbound: ports(values, 'inbound-ports-to-ignore', ALWAYS_SKIPPED),
    skipOutbound: ports(values, 'outbound-ports-to-ignore'),
    onlyInbound: ports(values, 'ports-to-redirect'),
    skipSubnets: subnets
      .map((text) => text.trim())
      .filter((text) => text !== '')
      .map((text) => {
        try {
          return parseNetwork(text);
        } catch (error) {
          if (error instanceof ValueError) throw new UsageError(`--subnets-to-ignore: ${error.message}`);
          throw error;
        }
      }),
  };
}

function probeAt(values: Values): { host: string; target: number } {
  const text = String(values['validate-address'] ?? '1.1.1.1:20001');
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  if (match === null) throw new UsageError(`--validate-address: ${JSON.stringify(text)} is not an address with a port`);
  return { host: match[1] ?? match[2], target: Number(match[3]) };
}

function told(redirect: Redirect): string {
  const { inboundPort, outboundPort, proxyUid, skipInbound, skipOutbound } = redirect;
  const without = (spans: readonly PortSpan[]): string => (spans.length === 0 ? '' : ` but ${formatSpans(spans)}`);
  return `what comes in${without(skipInbound)} goes to port ${inboundPort}, what goes out${without(skipOutbound)} to port ${outboundPort}, apart from user ${proxyUid}`;
}

export const initCommand: Command = {
  help: `Usage: sluice init [OPTIONS]

Installs netfilter rules in this network namespace that send a pod's connections through its proxy. It is meant for a
pod's init container, with the capabilities NET_ADMIN and NET_RAW. Running it again gives the same rules. Ports are
separated by commas and may be ranges: 25,4000-4010.

Options:
      --incoming-proxy-port PORT       the proxy's port for inbound connections (default 4143)
      --outgoing-proxy-port PORT       the proxy's port for outbound connections (default 4140)
      --proxy-uid UID                  the proxy's user, whose connections are not redirected (default 2102)
      --proxy-gid GID                  the same for its group; 0, the default, means none
      --inbound-ports-to-ignore LIST   ports of the pod that bypass the proxy; ${ALWAYS_SKIPPED} always do
      --outbound-ports-to-ignore LIST  ports of others that are dialled directly
      --subnets-to-ignore LIST         networks whose connections bypass the proxy: 10.0.0.0/8,fd00::/8
      --ports-to-redirect LIST         only these ports of the pod
      --iptables-mode MODE             nft, legacy, plain, or auto (default): whichever works
      --ipv6 on|off|auto               auto (default): if this namespace has IPv6 addresses
      --wait SECONDS                   how long to wait for others who are changing rules (default 30)
      --timeout-close-wait-secs N      how long the kernel remembers connections that one side has closed
      --simulate                       print what would be done, and do nothing
      --validate                       install nothing, but test whether the rules work; nothing may be listening yet
      --validate-address ADDRESS       the address dialled for that test (default 1.1.1.1:20001); it is not reached
  -h, --help                           this text

Examples:
  sluice init --outbound-ports-to-ignore 4567,4568 --simulate
  sluice init --inbound-ports-to-ignore 9000-9010

Exit codes: 0 done, 1 rules could not be installed or don't work, 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, options, 0);
    const redirect = redirectOf(values);
    const mode: Mode = oneOf(values, 'iptables-mode', MODES, 'auto');
    const ipv6 = oneOf(values, 'ipv6', ['on', 'off', 'auto'], 'auto');
    const waitSeconds = number(values, 'wait', 30, 0, 3600);
    const closeWait = number(values, 'timeout-close-wait-secs', 0, 0, 1_000_000);
    const probe = probeAt(values);
    if (values.validate === true) {
      const problem = await redirectProblem({ ...probe, port: redirect.outboundPort, timeoutMs: 10_000 });
      if (problem === null) print(`connections are redirected to port ${redirect.outboundPort}`);
      else printError(`sluice init: ${problem}`);
      return problem === null ? 0 : EXIT_FAILURE;
    }
    const families: Family[] = ipv6 === 'on' || (ipv6 === 'auto' && speaksIpv6()) ? [4, 6] : [4];
    if (values.simulate === true) {
      for (const family of families)
        print(
          `# IPv${family}: iptables-restore --noflush\n${restoreInput(redirect, family, hookedChains(''))}`.trimEnd(),
        );
      return 0;
    }
    for (const family of families) {
      try {
        const { command } = applyRules(redirect, family, { mode, waitSeconds });
        print(`IPv${family} (${command}): ${told(redirect)}`);
      } catch (error) {
        // Many pods have IPv6 on the loopback interface only, on nodes without ip6tables. No connection can bypass the proxy that way.
        const needed = family === 4 || ipv6 === 'on' || isReachedByIpv6();
        if (needed || !(error instanceof RedirectError)) throw error;
        printError(`sluice init: ${error.message}. This namespace has no IPv6 address that leads out of it: going on`);
      }
    }
    if (closeWait > 0) writeFileSync(CLOSE_WAIT, `${closeWait}\n`);
    return 0;
  },
};
