// `authorization`: who may connect and what they may request. The shape of rules, and contradictions in them. An error never weakens a
// rule: it is refused.
import * as v from 'valibot';
import type { AuthorizationConfig, AuthorizationRule } from './authorization-model.js';
import { AUTHORIZATION_DEFAULTS, DEFAULT_RULE } from './authorization-model.js';
import type { Finding } from './finding.js';
import type { Direction } from './model.js';
import { parseNetwork } from './networks.js';
import type { KeyPath } from './problem.js';
import { choice, found, section, value } from './schema-parts.js';
import { describe, parseName, parsePorts, ValueError } from './values.js';

/** Rules per listener: those that match a connection are bits of two numbers. */
export const MAX_RULES = 64;
/** Default networks of clusters: private ones, those of carriers (RFC 6598), and unique local ones of IPv6. */
export const CLUSTER_NETWORKS = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fd00::/8'];

const MAX_PATH_LENGTH = 1024;
/** tchar of RFC 9110 section 5.6.2. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)*(\/\*)?$/;
const SEGMENT = /^[A-Za-z0-9\-._~!$&'()*+,=:@]+$/;

function parseRuleName(input: unknown): string {
  const name = parseName(input);
  if (name !== DEFAULT_RULE) return name;
  throw new ValueError(`"${DEFAULT_RULE}" is the name of a listener's default; use another name`);
}

/** `*`, a DNS name, `*.` and a suffix, a SPIFFE ID, or a SPIFFE ID prefix with `/*`. */
export function parseIdentity(input: unknown): string {
  const what = describe(input);
  const forms =
    'write a name such as "web.shop.serviceaccount.identity.linkerd.cluster.local", "*.shop.serviceaccount.…", "spiffe://example.org/ns/shop/*", or "*" for any';
  if (typeof input !== 'string' || input === '') throw new ValueError(`found ${what}; ${forms}`);
  if (input === '*') return input;
  if (input.includes('://')) {
    const segments = input.slice('spiffe://'.length).split('/');
    if (SPIFFE.test(input) && segments.every((segment) => segment !== '.' && segment !== '..')) return input;
    throw new ValueError(`${what} is neither a SPIFFE ID nor the beginning of one followed by /*; ${forms}`);
  }
  const name = input.toLowerCase();
  const labels = (name.startsWith('*.') ? name.slice(2) : name).split('.');
  if (name.length <= 253 && labels.every((label) => LABEL.test(label))) return name;
  throw new ValueError(`${what} is not the name of an identity; ${forms}`);
}

function parseMethod(input: unknown): string {
  if (typeof input !== 'string' || !METHOD.test(input))
    throw new ValueError(`found ${describe(input)}; write a method, such as GET`);
  const upper = input.toUpperCase();
  if (input !== upper && /^[a-z]+$/i.test(input))
    throw new ValueError(`${describe(input)}: methods are case-sensitive; write ${upper}`);
  return input;
}

/** A path that every application interprets in the same way. */
export function parsePath(input: unknown): string {
  const what = describe(input);
  if (typeof input !== 'string' || !input.startsWith('/'))
    throw new ValueError(`found ${what}; write a path that begins with a slash, such as "/api"`);
  if (input.length > MAX_PATH_LENGTH)
    throw new ValueError(`${what} is too long; write at most ${MAX_PATH_LENGTH} characters`);
  if (input === '/') return input;
  const segments = (input.endsWith('/') ? input.slice(1, -1) : input.slice(1)).split('/');
  for (const segment of segments) {
    if (segment === '') throw new ValueError(`${what} has consecutive slashes; write one`);
    if (segment === '.' || segment === '..')
      throw new ValueError(`${what} has a segment . or ..; write the resulting path`);
    if (!SEGMENT.test(segment))
      throw new ValueError(
        `${what}: ${describe(segment)} is not interpreted alike by all applications; use letters, digits and -._~!$&'()*+,=:@`,
      );
  }
  return input;
}

/** With a trailing slash it is a prefix of the same segments. */
const parsePrefix = (input: unknown): string => {
  const path = parsePath(input);
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
};

const some = <T>(parse: (input: unknown) => T, example: string) =>
  v.pipe(
    v.array(value(parse), found(`a list such as ${example}`)),
    v.minLength(1, `is empty, so it would match nothing; add an entry, such as ${example}, or remove the key`),
  );

const isMap = (input: unknown): input is Readonly<Record<string, unknown>> =>
  typeof input === 'object' && input !== null && !Array.isArray(input);

const NETWORKS = '["10.0.0.0/8"] or [{ cidr: "10.0.0.0/8", except: ["10.0.1.0/24"] }]';
const network = v.lazy((input) =>
  isMap(input)
    ? section({
        cidr: value(parseNetwork),
        except: v.optional(v.array(value(parseNetwork), found('a list of networks')), []),
      })
    : v.pipe(
        value(parseNetwork),
        v.transform((cidr) => ({ cidr, except: [] as (typeof cidr)[] })),
      ),
);
const networks = v.pipe(
  v.array(network, found(`a list such as ${NETWORKS}`)),
  v.minLength(1, `is empty, so it would match nothing; add an entry, such as ${NETWORKS}, or remove the key`),
);

const rule = section({
  name: value(parseRuleName),
  action: v.optional(choice('allow', 'deny', 'audit'), 'allow'),
  ports: v.optional(some(parsePorts, '[8080, "9000-9010"]')),
  identities: v.optional(some(parseIdentity, '["*.shop.serviceaccount.identity.linkerd.cluster.local"]')),
  networks: v.optional(networks),
  methods: v.optional(some(parseMethod, '[GET, HEAD]')),
  path: v.optional(value(parsePath)),
  pathPrefix: v.optional(value(parsePrefix)),
});

export const authorization = section({
  default: v.optional(choice(...AUTHORIZATION_DEFAULTS)),
  clusterNetworks: v.optional(some(parseNetwork, '["10.0.0.0/8", "fd00::/8"]')),
  rules: v.optional(
    v.pipe(
      v.array(rule, found('a list such as [{ name: web, identities: ["web.shop.serviceaccount.…"] }]')),
      v.maxLength(MAX_RULES, `has more than ${MAX_RULES} rules; a rule may list many identities and networks`),
    ),
  ),
});

export type AuthorizationTree = v.InferOutput<typeof authorization>;
type RuleTree = NonNullable<AuthorizationTree['rules']>[number];

function buildRule(tree: RuleTree): AuthorizationRule {
  const { name, action, ports, identities, networks: from, methods, path, pathPrefix } = tree;
  return {
    name,
    action,
    ports: ports ?? null,
    identities: identities ?? null,
    networks: from ?? null,
    methods: methods ?? null,
    path: path ?? pathPrefix ?? null,
    exactPath: path !== undefined,
  };
}

/**
 * The effective section of a listener: its own keys and, for an inbound one, the top-level keys that it does not set. Null if everything is
 * allowed.
 */
export function buildAuthorization(
  own: AuthorizationTree | undefined,
  top: AuthorizationTree | undefined,
  direction: Direction,
): AuthorizationConfig | null {
  const shared = direction === 'inbound' ? top : undefined;
  const policy = own?.default ?? shared?.default ?? 'all-unauthenticated';
  const rules = (own?.rules ?? shared?.rules ?? []).map(buildRule);
  if (policy === 'all-unauthenticated' && rules.length === 0) return null;
  const clusterNetworks =
    own?.clusterNetworks ?? shared?.clusterNetworks ?? CLUSTER_NETWORKS.map((text) => parseNetwork(text));
  return { default: policy, clusterNetworks, rules };
}

const CONDITIONS = ['ports', 'identities', 'networks', 'methods', 'path', 'pathPrefix'];

/** Contradictions in a section at `path`; the schema reports wrong shapes. */
export function checkAuthorization(tree: unknown, path: KeyPath): Finding[] {
  if (!isMap(tree) || !Array.isArray(tree.rules)) return [];
  const findings: Finding[] = [];
  const names = new Map<unknown, number>();
  for (const [index, item] of (tree.rules as unknown[]).entries()) {
    if (!isMap(item)) continue;
    const at = [...path, 'rules', index];
    const first = names.get(item.name);
    if (item.name !== undefined && first !== undefined) {
      const message = `${describe(item.name)} is the name of rule ${first + 1} already; use another one`;
      findings.push({ path: [...at, 'name'], message, at: 'value' });
    } else names.set(item.name, index);
    if (item.path !== undefined && item.pathPrefix !== undefined)
      findings.push({ path: [...at, 'pathPrefix'], message: 'conflicts with path; keep one of the two', at: 'key' });
    if (!CONDITIONS.some((key) => item[key] !== undefined)) {
      const message = `matches everybody; add one of ${CONDITIONS.join(', ')}, or write default: all-unauthenticated, deny or audit instead`;
      findings.push({ path: at, message, at: 'value' });
    }
  }
  return findings;
}
