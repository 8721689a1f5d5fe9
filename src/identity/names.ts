// Workload names in the two forms found in certificates: a SPIFFE URI (SPIFFE-ID section 2), and Linkerd's DNS form,
// `<account>.<namespace>.serviceaccount.identity.<mesh>.<trust domain>`.

/** Maximum bytes of a SPIFFE ID (section 2.3); of a trust domain, 255. */
const MAX_SPIFFE = 2048;
const MAX_DOMAIN = 255;
const MAX_DNS = 253;
const ACCOUNT = '.serviceaccount.identity.';

export interface SpiffeName {
  readonly kind: 'spiffe';
  readonly text: string;
  readonly trustDomain: string;
  /** Segments of the path, none of them empty. */
  readonly path: readonly string[];
}

export interface DnsName {
  readonly kind: 'dns';
  /** In lower case. */
  readonly text: string;
  /** For a name in Linkerd's form; else null. */
  readonly account: ServiceAccount | null;
}

export type WorkloadName = SpiffeName | DnsName;

/** A Kubernetes service account, and the mesh in its name. */
export interface ServiceAccount {
  readonly account: string;
  readonly namespace: string;
  readonly mesh: string;
  readonly trustDomain: string;
}

/** The name, or the problem with the text. */
export function parseWorkloadName(text: string): WorkloadName | string {
  return /^spiffe:/i.test(text) ? parseSpiffe(text) : parseDns(text);
}

function parseSpiffe(text: string): SpiffeName | string {
  // Scheme and trust domain are case-insensitive; the path is compared exactly.
  const match = /^spiffe:\/\/([^/?#]*)([^?#]*)$/i.exec(text);
  if (match === null) return 'is not a SPIFFE ID; write spiffe://TRUST-DOMAIN/PATH';
  if (text.length > MAX_SPIFFE) return `is longer than ${MAX_SPIFFE} octets`;
  const trustDomain = match[1].toLowerCase();
  const problem = trustDomainProblem(trustDomain);
  if (problem !== null) return problem;
  if (match[2] === '') return 'names only a trust domain; a workload has a path after it';
  const path = match[2].slice(1).split('/');
  for (const segment of path) {
    if (!/^[A-Za-z0-9._-]+$/.test(segment) || segment === '.' || segment === '..')
      return `has the segment "${segment}" in its path; segments are letters, digits and . _ -, and none is empty, . or ..`;
  }
  return { kind: 'spiffe', text: `spiffe://${trustDomain}${match[2]}`, trustDomain, path };
}

/** The problem with a trust domain; null if it is valid. */
export function trustDomainProblem(text: string): string | null {
  if (text.length > MAX_DOMAIN) return `has a trust domain of more than ${MAX_DOMAIN} octets`;
  if (/^[a-z0-9._-]+$/.test(text)) return null;
  return `has the trust domain "${text}"; use lower-case letters, digits and . _ -`;
}

function isDns(text: string): boolean {
  return text.length <= MAX_DNS && text.split('.').every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label));
}

function parseDns(text: string): DnsName | string {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (!isDns(name)) return 'is neither a SPIFFE ID nor a DNS name';
  return { kind: 'dns', text: name, account: accountOf(name) };
}

function accountOf(name: string): ServiceAccount | null {
  const at = name.indexOf(ACCOUNT);
  if (at < 0) return null;
  const workload = name.slice(0, at);
  const dot = workload.lastIndexOf('.');
  const domain = name.slice(at + ACCOUNT.length);
  const meshEnd = domain.indexOf('.');
  if (dot < 1 || meshEnd < 1) return null;
  return {
    // An account's name may contain dots, a namespace's may not.
    account: workload.slice(0, dot),
    namespace: workload.slice(dot + 1),
    mesh: domain.slice(0, meshEnd),
    trustDomain: domain.slice(meshEnd + 1),
  };
}

/** The DNS form of an account's name. */
export function accountName({ account, namespace, mesh, trustDomain }: ServiceAccount): string {
  return `${account}.${namespace}${ACCOUNT}${mesh}.${trustDomain}`;
}

/** The same account as a SPIFFE ID, in the form used by Kubernetes meshes. */
export function accountSpiffe({ account, namespace, trustDomain }: ServiceAccount): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
}

/** The trust domain of a name; null if its form has none. */
export function trustDomainOf(name: WorkloadName): string | null {
  return name.kind === 'spiffe' ? name.trustDomain : (name.account?.trustDomain ?? null);
}

/** The canonical form of a name; any other text unchanged. */
export function canonicalName(text: string): string {
  const name = parseWorkloadName(text);
  return typeof name === 'string' ? text : name.text;
}

/** Whether two texts name the same workload. */
export function sameName(a: string, b: string): boolean {
  return a === b || canonicalName(a) === canonicalName(b);
}

/**
 * The server name (SNI, which allows DNS names only) for a workload: a DNS name itself; for a SPIFFE ID its path in reverse order before
 * its trust domain, `spiffe://example.org/ns/shop/sa/web` as `web.sa.shop.ns.example.org`. null if that is not a DNS name.
 */
export function serverNameOf(name: WorkloadName): string | null {
  if (name.kind === 'dns') return name.text;
  const text = `${[...name.path].reverse().join('.')}.${name.trustDomain}`.toLowerCase();
  return isDns(text) ? text : null;
}
