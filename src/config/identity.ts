// The section `identity`: contradictions in it, and its model.
import { resolve } from 'node:path';
import { parseWorkloadName, trustDomainOf } from '../identity/names.js';
import { isPem } from '../identity/pem-text.js';
import { bounds } from './bounds.js';
import type { Finding } from './finding.js';
import type { IdentityConfig, IdentitySourceConfig } from './identity-model.js';
import type { IdentityTree } from './identity-schema.js';
import { parseTrustDomain, parseWorkload } from './identity-values.js';
import { attempt } from './values.js';

type Tree = Readonly<Record<string, unknown>>;

const SOURCES = ['files', 'spiffe', 'linkerd'] as const;

/** The trust domain of a name; undefined if the name is unreadable or has none. */
function domainOf(name: unknown): string | null | undefined {
  const text = attempt(() => parseWorkload(name));
  const parsed = text === undefined ? undefined : parseWorkloadName(text);
  return parsed === undefined || typeof parsed === 'string' ? undefined : trustDomainOf(parsed);
}

/** The server name of an identity service by Linkerd's convention; null if `name` does not tell the mesh. */
function identityService(name: string): string | null {
  const parsed = parseWorkloadName(name);
  if (typeof parsed === 'string' || parsed.kind !== 'dns' || parsed.account === null) return null;
  const { mesh, trustDomain } = parsed.account;
  return `linkerd-identity.${mesh}.serviceaccount.identity.${mesh}.${trustDomain}`;
}

/** Checks on the raw tree that the schema can't express. */
export function identityChecks(tree: Tree): Finding[] {
  const path = ['identity'];
  const findings: Finding[] = [];
  const named = SOURCES.filter((source) => tree[source] !== undefined);
  if (named.length === 0) {
    const message = `has no source; add one of ${SOURCES.join(', ')}`;
    findings.push({ path, message, at: 'key' });
  }
  for (const source of named.slice(1))
    findings.push({ path: [...path, source], message: `conflicts with ${named[0]}; keep one of the two`, at: 'key' });
  const linkerd = tree.linkerd;
  if (typeof linkerd === 'object' && linkerd !== null) {
    const service = linkerd as Tree;
    const name = attempt(() => parseWorkload(tree.name));
    if (tree.name === undefined) {
      const message = 'is missing; an identity service issues certificates for a name, so add it';
      findings.push({ path: [...path, 'name'], message, at: 'key' });
    } else if (name?.startsWith('spiffe:') === true) {
      const message =
        'is a SPIFFE ID, but an identity service issues DNS names; write one such as "web.shop.serviceaccount.identity.linkerd.cluster.local"';
      findings.push({ path: [...path, 'name'], message, at: 'value' });
    } else if (service.serverName === undefined && name !== undefined && identityService(name) === null) {
      const message =
        'is missing, and cannot be derived from identity.name; add the name in the certificate of the identity service';
      findings.push({ path: [...path, 'linkerd', 'serverName'], message, at: 'key' });
    }
  }
  const domain = domainOf(tree.name);
  const wanted = attempt(() => parseTrustDomain(tree.trustDomain));
  if (domain !== undefined && domain !== null && wanted !== undefined && domain !== wanted) {
    const message = `is of the trust domain ${domain}, not of ${wanted} (trustDomain); correct one of the two`;
    findings.push({ path: [...path, 'name'], message, at: 'value' });
  }
  return findings;
}

function sourceOf(tree: IdentityTree, written: Tree, at: (path: string) => string): IdentitySourceConfig {
  const { files, spiffe, linkerd } = tree;
  if (files !== undefined)
    return { kind: 'files', certificate: at(files.certificate), key: at(files.key), anchors: at(files.anchors) };
  if (spiffe !== undefined) return { kind: 'spiffe', socket: spiffe.socket };
  if (linkerd === undefined) throw new Error('identity has no source');
  const refresh = bounds(linkerd.minRefresh, linkerd.maxRefresh, written.linkerd, 'minRefresh');
  return {
    kind: 'linkerd',
    address: linkerd.address,
    serverName: linkerd.serverName ?? identityService(tree.name ?? '') ?? '',
    token: at(linkerd.token),
    anchors: isPem(linkerd.anchors) ? linkerd.anchors : at(linkerd.anchors),
    minRefreshMs: refresh.low,
    maxRefreshMs: refresh.high,
  };
}

/** `written`: the section before defaults; file paths are relative to `directory`, the configuration's. */
export function buildIdentity(tree: IdentityTree, written: Tree | undefined, directory: string): IdentityConfig {
  const backoff = bounds(tree.minBackoff, tree.maxBackoff, written, 'minBackoff');
  return {
    name: tree.name ?? null,
    serverName: tree.serverName ?? null,
    trustDomain: tree.trustDomain ?? null,
    timeoutMs: tree.timeout,
    minBackoffMs: backoff.low,
    maxBackoffMs: backoff.high,
    source: sourceOf(tree, written ?? {}, (path) => resolve(directory, path)),
  };
}
