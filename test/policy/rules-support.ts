// Authorization rules for tests, and the decisions that a rule set makes about clients and requests.
import type {
  AuthorizationConfig,
  AuthorizationDefault,
  AuthorizationRule,
} from '../../src/config/authorization-model.js';
import { parseNetwork } from '../../src/config/networks.js';
import { methodOf } from '../../src/http/methods.js';
import { ascii } from '../../src/http/octets.js';
import { addressWords, readAddress } from '../../src/policy/network-list.js';
import { type Asked, DECISION, DEPENDS, decisionOf, RuleSet, ruleOf } from '../../src/policy/rules.js';

export const CLUSTER = ['10.0.0.0/8', 'fd00::/8'];
export const IDENTITY = 'web.front.serviceaccount.identity.linkerd.cluster.local';
export const SPIFFE = 'spiffe://example.org/ns/front/sa/web';

export interface Client {
  readonly port?: number;
  readonly address?: string;
  readonly identity?: string;
}
export interface Request {
  readonly method?: string;
  /** null: none, as of CONNECT. */
  readonly target?: string | null;
}

export const rule = (more: Partial<AuthorizationRule>): AuthorizationRule => ({
  name: 'rule',
  action: 'allow',
  ports: null,
  identities: null,
  networks: null,
  methods: null,
  path: null,
  exactPath: false,
  ...more,
});
export const from = (...cidrs: string[]): AuthorizationRule['networks'] =>
  cidrs.map((cidr) => ({ cidr: parseNetwork(cidr), except: [] }));
export const config = (
  policy: AuthorizationDefault,
  rules: readonly AuthorizationRule[] = [],
): AuthorizationConfig => ({
  default: policy,
  clusterNetworks: CLUSTER.map((text) => parseNetwork(text)),
  rules,
});

export function address(text: string | undefined): ReturnType<typeof addressWords> | null {
  const words = addressWords();
  return text !== undefined && readAddress(text, words) ? words : null;
}

export function asked({ method = 'GET', target = '/' }: Request): { bytes: Uint8Array; what: Asked } {
  const name = ascii(method);
  const bytes = ascii(method + (target ?? ''));
  const what = {
    method: methodOf(name, 0, name.length),
    methodStart: 0,
    methodEnd: name.length,
    pathStart: target === null ? -1 : name.length,
    pathEnd: bytes.length,
  };
  return { bytes, what };
}

/** The decision, and the rule that made it (-1: the default), for a request or for bytes (null). */
export function decide(
  of: AuthorizationConfig,
  { port = 80, address: host, identity = '' }: Client,
  request: Request | null,
): readonly [number, number] {
  const set = new RuleSet(of);
  set.connection(port, address(host), identity === '' ? [] : [identity]);
  let code = request === null ? set.forBytes() : set.forRequests();
  if (code === DEPENDS && request !== null) {
    const { bytes, what } = asked(request);
    code = set.forRequest(set.low, set.high, set.fallback, bytes, what);
  }
  const decided = ruleOf(code);
  return [decisionOf(code), decided === of.rules.length ? -1 : decided];
}
export const allows = (of: AuthorizationConfig, client: Client, request: Request | null = {}): boolean =>
  decide(of, client, request)[0] !== DECISION.DENY;

export const NEAR = '10.1.2.3:4567';
export const FAR = '192.0.2.1:4567';
