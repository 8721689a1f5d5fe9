// A listener's rules, compiled. The conditions on a connection (port, peer address, identity) are evaluated once, as a bit set of the rules
// that may still match. The conditions on a request (method, path) are evaluated only for those rules.
//
// A rule that allows matches only what is certain; one that denies matches whatever is possible.
import type { AuthorizationConfig, AuthorizationRule, PortRange } from '../config/authorization-model.js';
import { METHOD, methodOf } from '../http/methods.js';
import { ascii } from '../http/octets.js';
import { matchesIdentity } from './identities.js';
import { type AddressWords, NetworkList } from './network-list.js';
import { folded, isAmbiguous, matchesPath, pathEnd, resemblesPath } from './request-path.js';

/** The decision. Together with the deciding rule it is a code: `rule << 2 | DECISION`. */
export const DECISION = { ALLOW: 0, DENY: 1, AUDIT: 2 } as const;
/** In place of a code: it depends on the request. */
export const DEPENDS = -1;

/** In place of a port: the client has not named its destination yet. */
export const ANY_PORT = -1;

/** A request's properties. Reused. */
export interface Asked {
  /** METHOD in HTTP/1 terms, and its bytes. */
  method: number;
  methodStart: number;
  methodEnd: number;
  /** Its target from the path on; -1 for none. */
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

/** A rule with conditions on the method or path. */
interface RequestConditions {
  /** Bits by METHOD, and names of other methods; null: any method. */
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
  /** For the last connection evaluated: the rules that may match, as two bit sets; and the code of the default. */
  low = 0;
  high = 0;
  fallback = 0;
  /** Whether any rule needs the address. */
  readonly asksForAddress: boolean;
  /** Number of rules, and so the number of the default. */
  readonly size: number;
  // End of the current request's path, once a rule needs it.
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

  /** Evaluates a connection. `address` is null if unknown; `names` are those of its verified certificate, empty without one. */
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

  /** The code for every request of the last connection evaluated; DEPENDS if they differ. */
  forRequests(): number {
    const first = this.next(0, this.low, this.high);
    if (first === this.size) return this.fallback;
    return this.requests[first] === null ? (first << 2) | this.decisions[first] : DEPENDS;
  }

  /**
   * The code for unread bytes. They may be any request, so a rule that denies some denies them, and a rule that allows some does not allow
   * them.
   */
  forBytes(): number {
    const { low, high, size, requests, decisions } = this;
    for (let i = this.next(0, low, high); i < size; i = this.next(i + 1, low, high)) {
      if (requests[i] === null || decisions[i] === DECISION.DENY) return (i << 2) | decisions[i];
    }
    return this.fallback;
  }

  /** The code for a request of a connection that was evaluated to `low`, `high` and `fallback`. */
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
   * The code that refuses everybody from `address` to `port`, whatever their identity or request; DEPENDS if somebody may be admitted.
   * `port` is ANY_PORT if unknown.
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

  /** The rules that may decide on requests of the last connection evaluated; `size` is the default. */
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
    // A client with an unknown address is not admitted by a network, and not exempt from a rule that denies one.
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

  /** The first rule in the set from `from` on; `size` if there is none. */
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

/** Methods are case-sensitive (RFC 9110 section 9.1), but not in every application: rules that deny ignore case. */
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
