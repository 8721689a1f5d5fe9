// Validates a source's update before use: is it complete and consistent, is it valid now, and whose is it?
import { checkAnchors, checkCertificate } from './credentials.js';
import type { AlternativeNames } from './der.js';
import type { IdentityMaterial } from './material.js';
import { parseWorkloadName, serverNameOf, trustDomainOf, type WorkloadName } from './names.js';
import { IdentityProblem, type IdentityUpdate } from './source.js';

export interface Expected {
  /** null: any. */
  readonly name: string | null;
  readonly serverName: string | null;
  readonly trustDomain: string | null;
}

export interface CheckedUpdate {
  readonly material: IdentityMaterial;
  /** Problems that do not prevent its use. */
  readonly warnings: readonly string[];
}

/** Workload names of a leaf: URIs, then DNS names. */
function namesOf({ uris, dns }: AlternativeNames): WorkloadName[] {
  const parsed = (texts: readonly string[], kind: WorkloadName['kind']): WorkloadName[] =>
    texts.map(parseWorkloadName).filter((name) => typeof name !== 'string' && name.kind === kind) as WorkloadName[];
  return [...parsed(uris, 'spiffe'), ...parsed(dns, 'dns')];
}

function ownName(names: readonly WorkloadName[], expected: Expected, from: string): WorkloadName {
  const fail = (message: string): never => {
    throw new IdentityProblem('name', `${from}: ${message}`);
  };
  if (names.length === 0) fail('names no workload, neither by a SPIFFE ID nor by a DNS name; have it reissued');
  const name = expected.name === null ? names[0] : names.find(({ text }) => text === expected.name);
  const all = names.map(({ text }) => text).join(', ');
  if (name === undefined) return fail(`is for another name: ${all}, not ${expected.name} (identity.name)`);
  if (expected.trustDomain !== null && trustDomainOf(name) !== expected.trustDomain)
    fail(`${name.text} is not of the trust domain ${expected.trustDomain} (identity.trustDomain)`);
  return name;
}

/** Throws a CredentialProblem or an IdentityProblem. */
export function checkUpdate(
  { certificate, key, anchors }: IdentityUpdate,
  expected: Expected,
  nowMs: number,
): CheckedUpdate {
  const trusted = checkAnchors(anchors, nowMs);
  const checked = checkCertificate(certificate, key, {
    purpose: 'workload',
    anchors: { pem: trusted.anchors, from: anchors.file },
    nowMs,
  });
  const names = namesOf(checked.names);
  const name = ownName(names, expected, certificate.file);
  const served = [expected.serverName, ...names.map(serverNameOf)].filter((text) => text !== null);
  const material: IdentityMaterial = {
    chain: checked.chain,
    key: checked.key,
    anchors: trusted.anchors,
    name: name.text,
    names: names.map(({ text }) => text),
    serverNames: [...new Set(served)],
    notBeforeMs: checked.notBeforeMs,
    notAfterMs: checked.notAfterMs,
  };
  return { material, warnings: [...checked.warnings, ...trusted.warnings] };
}
