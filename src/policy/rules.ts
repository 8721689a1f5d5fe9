// The rules of a listener, compiled. What holds of a connection (its port, its peer's address and identity) is found once, as a set of
// bits: the rules that may still match. What holds of a request (its method and path) is compared with those that ask for it.
//
// A rule that allows matches only what is certain to be meant; one that denies matches whatever might be.
import type { AuthorizationConfig, AuthorizationRule, PortRange } from '../config/model.js';
import { METHOD, methodOf } from '../http/methods.js';
import { ascii } from '../http/octets.js';
import { matchesIdentity } from './identities.js';
import { type AddressWords, NetworkList } from './network-list.js';
import { folded, isAmbiguous, matchesPath, pathEnd, resemblesPath } from './request-path.js';

/** What is decided. With the rule that has decided it is a code: `rule << 2 | DECISION`. */
export const DECISION = { ALLOW: 0, DENY: 1, AUDIT: 2 } as const;
/** In place of a code: it depends on the request. */
export const DEPENDS = -1;

/** In place of a port: the client has not said yet where it is going. */
export const ANY_PORT = -1;

/** What a request asks for. Reused. */
export interface Asked {
  /** METHOD as HTTP/1 has it, and its octets. */
  method: number;
  methodStart: number;
  methodEnd: number;
  /** Its target from the path on; -1 where it has none. */
  pathStart: number;
  pathEnd: number;
}

const ASTERISK = 0x2a;
const SLASH = 0x2f;
const ROOT = ascii('/');
const BITS = 32;
const UNKNOWN = -1;

const actionOf = ({ action }: AuthorizationRule): number =>
  action === 'allow' ? DECISION.ALLOW : action === 'deny' ? DECISION.DENY : DECISION.AUDIT;

export const ruleOf = (code: number): number => code >> 2;
export const decisionOf = (code: number): number => code & 3;

/** A rule that asks for a method or a path. */
interface RequestConditions {
  /** Bits by METHOD, and names that have none; null: any method. */
  readonly methods: number | null;
  readonly others: readonly Uint8Array[];
  /** All names, in lower case. */
  readonly lowerNames: readonly Uint8Array[];
  /** Null: any path. */
  readonly path: Uint8Array | null;
  readonly lower: Uint8Array;
  readonly exact: boolean;
}

function conditionsOf({ methods, path, exactPath }: AuthorizationRule): RequestConditions | null {
  if (methods === null && path === null) return null;
  const names = (methods ?? []).map(ascii);
  const numbers = names.map((name) => methodOf(name, 0, name.length));
  return {
    methods: methods === null ? null : numbers.reduce((bits, number) => bits | (1 << number), 0) & ~(1 << METHOD.OTHER),
    others: names.filter((_, i) => numbers[i] === METHOD.OTHER),
    lowerNames: (methods ?? []).map((name) => ascii(name.toLowerCase())),
    path: path === null ? null : ascii(path),
    lower: ascii((path ?? '').toLowerCase()),
    exact: exactPath,
  };
}

export class RuleSet {
  /** Of the connection that was looked at last: the rules that may match, as two sets of bits; and the code of the default. */
  low = 0;
  high = 0;
  fallback = 0;
  /** Whether anything asks for the address. */
  readonly asksForAddress: boolean;
  /** Number of rules, and so that of the default. */
  readonly size: number;
  // Of the path of the request at hand, once a rule has asked for it.
  private end = UNKNOWN;
  private ambiguous = false;
  private readonly decisions: readonly number[];
  private readonly networks: readonly (NetworkList | null)[];
  private readonly requests: readonly (RequestConditions | null)[];
  private readonly cluster: NetworkList;
  private readonly ofCluster: boolean;

  constructor(private readonly config: AuthorizationConfig) {
    const { rules, clusterNetworks } = config;
    this.size = rules.length;
    this.decisions = rules.map(actionOf);
    this.networks = rules.map(({ networks }) => (networks === null ? null : new NetworkList(networks)));
    this.requests = rules.map(conditionsOf);
    this.cluster = new NetworkList(clusterNetworks.map((cidr) => ({ cidr, except: [] })));
    this.ofCluster = config.default === 'cluster-authenticated' || config.default === 'cluster-unauthenticated';
    this.asksForAddress = this.ofCluster || this.networks.some((list) => list !== null);
  }

  /** Looks at a connection. `address` is null where it can't be told; `names` are those of its certificate, none where nothing was verified. */
  connection(port: number, address: AddressWords | null, names: readonly string[]): void {
    const { rules } = this.config;
    this.low = 0;
    this.high = 0;
    for (let i = 0; i < rules.length; i++) {
      const { identities } = rules[i];
      if (!this.mayCome(i, port, address)) continue;
      if (identities !== null && !identities.some((pattern) => names.some((name) => matchesIdentity(pattern, name))))
        continue;
      if (i < BITS) this.low |= 1 << i;
      else this.high |= 1 << (i - BITS);
    }
    this.fallback = (this.size << 2) | this.byDefault(address, names.length > 0);
  }

  /** The code for every request of the connection that was looked at last; DEPENDS where they are not all alike. */
  forRequests(): number {
    const first = this.next(0, this.low, this.high);
    if (first === this.size) return this.fallback;
    return this.requests[first] === null ? (first << 2) | this.decisions[first] : DEPENDS;
  }

  /** The code for bytes that nobody reads. They may be a request, so that what denies some denies them, and what allows some does not. */
  forBytes(): number {
    const { low, high, size, requests, decisions } = this;
    for (let i = this.next(0, low, high); i < size; i = this.next(i + 1, low, high)) {
      if (requests[i] === null || decisions[i] === DECISION.DENY) return (i << 2) | decisions[i];
    }
    return this.fallback;
  }

  /** The code for a request of a connection that was found to have `low`, `high` and `fallback`. */
  forRequest(low: number, high: number, fallback: number, bytes: Uint8Array, asked: Asked): number {
    const { size, requests, decisions } = this;
    this.end = UNKNOWN;
    for (let i = this.next(0, low, high); i < size; i = this.next(i + 1, low, high)) {
      const conditions = requests[i];
      if (conditions === null || this.matches(conditions, decisions[i] === DECISION.DENY, bytes, asked))
        return (i << 2) | decisions[i];
    }
    return fallback;
  }

  /**
   * The code that refuses whoever comes from `address` to `port`, whatever identity they turn out to have and whatever they ask for;
   * DEPENDS where somebody may be let in. `port` is ANY_PORT where it is not known yet.
   */
  forAnybody(port: number, address: AddressWords | null): number {
    const { rules } = this.config;
    for (let i = 0; i < rules.length; i++) {
      if (!this.mayCome(i, port, address)) continue;
      if (this.decisions[i] !== DECISION.DENY) return DEPENDS;
      const { ports, identities } = rules[i];
      const certain = identities === null && this.requests[i] === null && (ports === null || port !== ANY_PORT);
      if (certain) return (i << 2) | DECISION.DENY;
    }
    return this.byDefault(address, true) === DECISION.DENY ? (this.size << 2) | DECISION.DENY : DEPENDS;
  }

  /** The rules that may decide of requests of the connection that was looked at last; `size` is the default. */
  candidates(): number[] {
    const found: number[] = [];
    const { low, high, size, requests } = this;
    for (let i = this.next(0, low, high); i < size; i = this.next(i + 1, low, high)) {
      found.push(i);
      if (requests[i] === null) return found;
    }
    return [...found, size];
  }

  private mayCome(rule: number, port: number, address: AddressWords | null): boolean {
    const { ports } = this.config.rules[rule];
    const networks = this.networks[rule];
    if (ports !== null && port !== ANY_PORT && !inPorts(ports, port)) return false;
    if (networks === null) return true;
    // Whoever can't be told where they come from are not let in, and not let past what keeps some out.
    return address === null ? this.decisions[rule] === DECISION.DENY : networks.has(address);
  }

  private byDefault(address: AddressWords | null, authenticated: boolean): number {
    const { default: policy } = this.config;
    const near = !this.ofCluster || (address !== null && this.cluster.has(address));
    switch (policy) {
      case 'all-unauthenticated':
        return DECISION.ALLOW;
      case 'audit':
        return DECISION.AUDIT;
      case 'all-authenticated':
        return authenticated ? DECISION.ALLOW : DECISION.DENY;
      case 'cluster-unauthenticated':
        return near ? DECISION.ALLOW : DECISION.DENY;
      case 'cluster-authenticated':
        return near && authenticated ? DECISION.ALLOW : DECISION.DENY;
      default:
        return DECISION.DENY;
    }
  }

  /** The first rule from `from` on that is in the set; `size` where there is none. */
  private next(from: number, low: number, high: number): number {
    let i = from;
    while (i < this.size && ((i < BITS ? low >> i : high >> (i - BITS)) & 1) === 0) i++;
    return i;
  }

  private matches(conditions: RequestConditions, denies: boolean, bytes: Uint8Array, asked: Asked): boolean {
    const { methods, path, lower, exact } = conditions;
    if (methods !== null && !hasMethod(methods, conditions, denies, bytes, asked)) return false;
    if (path === null) return true;
    const { pathStart: start } = asked;
    // A tunnel goes anywhere.
    if (start < 0) return denies;
    if (this.end === UNKNOWN) {
      this.end = pathEnd(bytes, start, asked.pathEnd);
      this.ambiguous = isAmbiguous(bytes, start, this.end);
    }
    const { end, ambiguous } = this;
    if (start === end) return denies ? resemblesPath(ROOT, 0, 1, lower, exact) : matchesPath(ROOT, 0, 1, path, exact);
    if (bytes[start] === ASTERISK) return false;
    // All paths begin with the root.
    if (path.length === 1 && !exact) return bytes[start] === SLASH || denies;
    if (ambiguous) return denies;
    return denies ? resemblesPath(bytes, start, end, lower, exact) : matchesPath(bytes, start, end, path, exact);
  }
}

function inPorts(ports: readonly PortRange[], port: number): boolean {
  for (const { first, last } of ports) if (port >= first && port <= last) return true;
  return false;
}

/** Methods have a case (RFC 9110 section 9.1), which not every application knows: what is denied has none. */
function hasMethod(
  methods: number,
  { others, lowerNames }: RequestConditions,
  denies: boolean,
  bytes: Uint8Array,
  asked: Asked,
): boolean {
  if (((methods >> asked.method) & 1) !== 0) return true;
  if (asked.method !== METHOD.OTHER) return false;
  const { methodStart: start, methodEnd: end } = asked;
  for (const name of denies ? lowerNames : others) {
    let i = name.length === end - start ? 0 : -1;
    while (i >= 0 && i < name.length && (denies ? folded(bytes[start + i]) : bytes[start + i]) === name[i]) i++;
    if (i === name.length) return true;
  }
  return false;
}
