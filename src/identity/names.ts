// Names of workloads, in the two forms that certificates have them in: a SPIFFE URI (SPIFFE-ID section 2), and the DNS form of
// Linkerd's, `<account>.<namespace>.serviceaccount.identity.<mesh>.<trust domain>`.

/** A SPIFFE ID has no more octets (section 2.3), a trust domain no more than 255. */
const MAX_SPIFFE = 2048;
const MAX_DOMAIN = 255;
const MAX_DNS = 253;
const ACCOUNT = '.serviceaccount.identity.';

export interface SpiffeName {
  readonly kind: 'spiffe';
  readonly text: string;
  readonly trustDomain: string;
  /** Segments of the path; none of them is empty. */
  readonly path: readonly string[];
}

export interface DnsName {
  readonly kind: 'dns';
  /** In lower case. */
  readonly text: string;
  /** Of a name in Linkerd's form; null of any other. */
  readonly account: ServiceAccount | null;
}

export type WorkloadName = SpiffeName | DnsName;

/** A service account of Kubernetes, and the mesh that names it. */
export interface ServiceAccount {
  readonly account: string;
  readonly namespace: string;
  readonly mesh: string;
  readonly trustDomain: string;
}

/** The name, or what is wrong with the text. */
export function parseWorkloadName(text: string): WorkloadName | string {
  return /^spiffe:/i.test(text) ? parseSpiffe(text) : parseDns(text);
}

function parseSpiffe(text: string): SpiffeName | string {
  // Scheme and trust domain are written in any case and mean the same; the path is compared as it is.
  const match = /^spiffe:\/\/([^/?#]*)([^?#]*)$/i.exec(text);
  if (match === null) return 'is no SPIFFE ID; write spiffe://TRUST-DOMAIN/PATH';
  if (text.length > MAX_SPIFFE) return `is longer than ${MAX_SPIFFE} octets`;
  const trustDomain = match[1].toLowerCase();
  const problem = trustDomainProblem(trustDomain);
  if (problem !== null) return problem;
  if (match[2] === '') return 'names a trust domain only; a workload has a path behind it';
  const path = match[2].slice(1).split('/');
  for (const segment of path) {
    if (!/^[A-Za-z0-9._-]+$/.test(segment) || segment === '.' || segment === '..')
      return `has the segment "${segment}" in its path; segments are letters, digits and . _ -, and none is empty, . or ..`;
  }
  return { kind: 'spiffe', text: `spiffe://${trustDomain}${match[2]}`, trustDomain, path };
}

/** What is wrong with a trust domain; null if nothing is. */
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
    // An account may have dots in its name, a namespace may not.
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

/** The same account as a SPIFFE ID, as Kubernetes meshes write it. */
export function accountSpiffe({ account, namespace, trustDomain }: ServiceAccount): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
}

/** The trust domain that a name is of; null where its form has none. */
export function trustDomainOf(name: WorkloadName): string | null {
  return name.kind === 'spiffe' ? name.trustDomain : (name.account?.trustDomain ?? null);
}

/** One text for all ways of writing a name; as it is where it is none. */
export function canonicalName(text: string): string {
  const name = parseWorkloadName(text);
  return typeof name === 'string' ? text : name.text;
}

/** Whether two texts name the same workload. */
export function sameName(a: string, b: string): boolean {
  return a === b || canonicalName(a) === canonicalName(b);
}

/**
 * The server name to ask for a workload by (SNI takes DNS names only): a DNS name itself; of a SPIFFE ID its path backwards before
 * its trust domain, `spiffe://example.org/ns/shop/sa/web` as `web.sa.shop.ns.example.org`. null where that is no DNS name.
 */
export function serverNameOf(name: WorkloadName): string | null {
  if (name.kind === 'dns') return name.text;
  const text = `${[...name.path].reverse().join('.')}.${name.trustDomain}`.toLowerCase();
  return isDns(text) ? text : null;
}
