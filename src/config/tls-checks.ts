// Contradictions in `tls` of listeners and services.
import type { Finding } from './finding.js';
import type { KeyPath } from './problem.js';
import { attempt, parseEndpoint } from './values.js';

type Tree = Readonly<Record<string, unknown>>;

const isMap = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);
const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** The name of a version of HTTP in ALPN. */
const NAMES: Readonly<Record<string, string>> = { http1: 'http/1.1', http2: 'h2' };

/** A fixed version of HTTP, against the ALPN list. */
function alpnFindings({ alpn }: Tree, protocol: unknown, path: KeyPath): Finding[] {
  const name = NAMES[String(protocol)];
  const list = asList(alpn);
  if (name === undefined || list.length === 0) return [];
  const other = name === 'h2' ? 'http/1.1' : 'h2';
  const at = list.indexOf(other);
  if (at >= 0) {
    const message = `offers ${other}, which protocol: ${String(protocol)} does not speak; remove ${other}`;
    return [{ path: [...path, 'alpn', at], message, at: 'value' }];
  }
  if (list.includes(name)) return [];
  return [
    {
      path: [...path, 'alpn'],
      message: `lacks ${name}, which protocol: ${String(protocol)} speaks; add it`,
      at: 'value',
    },
  ];
}

export function listenerTlsFindings(listener: Tree, index: number): Finding[] {
  const { tls } = listener;
  if (!isMap(tls)) return [];
  const path = ['listeners', index, 'tls'];
  const findings = alpnFindings(tls, listener.protocol, path);
  const { clientAuthority, clientCertificate } = tls;
  if (clientAuthority === undefined && (clientCertificate === 'optional' || clientCertificate === 'required')) {
    const message = `asks for certificates that nothing could verify; add clientAuthority: FILE with the CA that signs them`;
    findings.push({ path: [...path, 'clientCertificate'], message, at: 'value' });
  }
  if (clientAuthority !== undefined && clientCertificate === 'none') {
    const message = 'is for certificates that clientCertificate: none does not ask for; remove one of the two';
    findings.push({ path: [...path, 'clientAuthority'], message, at: 'key' });
  }
  return findings;
}

/** Contradictions with a listener's `mesh`; `identity`: the file has that section. */
export function listenerMeshFindings(listener: Tree, index: number, identity: boolean): Finding[] {
  if (listener.mesh !== true) return [];
  const path = ['listeners', index, 'mesh'];
  const finding = (message: string): Finding[] => [{ path, message, at: 'key' }];
  if (!identity)
    return finding('needs an identity, because clients ask for this proxy by it; add the section identity');
  if (listener.tls !== undefined && listener.tls !== null)
    return finding('conflicts with tls, which terminates all TLS here, for any server name; remove one of the two');
  if (listener.protocol === 'opaque')
    return finding('conflicts with protocol: opaque, which reads no bytes; remove one of the two');
  return [];
}

export function serviceTlsFindings(name: string, service: Tree): Finding[] {
  const { tls } = service;
  if (!isMap(tls)) return [];
  const path = ['services', name, 'tls'];
  const findings = alpnFindings(tls, service.protocol, path);
  for (const [one, other] of [
    ['certificate', 'key'],
    ['key', 'certificate'],
  ]) {
    if (tls[one] === undefined || tls[other] !== undefined) continue;
    findings.push({ path: [...path, one], message: `needs ${other}; add it, or remove both`, at: 'key' });
  }
  if (tls.serverName === undefined) findings.push(...unnamed(service.endpoints, name, path));
  return findings;
}

/** Endpoints without a name for their certificate. */
function unnamed(endpoints: unknown, service: string, path: KeyPath): Finding[] {
  const list = isMap(endpoints) ? [endpoints] : asList(endpoints);
  for (const [index, item] of list.entries()) {
    if (isMap(item) && item.identity !== undefined) continue;
    const source = isMap(item) ? (item.address === undefined ? null : item.address) : item;
    const endpoint = source === null ? undefined : attempt(() => parseEndpoint(source));
    if (source !== null && (endpoint === undefined || endpoint.kind === 'dns')) continue;
    const what =
      endpoint === undefined ? 'a file of endpoints' : endpoint.kind === 'srv' ? 'a service record' : 'an address';
    const where = isMap(endpoints) ? 'endpoints' : `endpoints[${index}]`;
    const message =
      `has no serverName, and ${where} of ${service} is ${what}, which does not say whose certificate to expect; ` +
      'add serverName: NAME';
    return [{ path, message, at: 'key' }];
  }
  return [];
}
