// Text forms in `identity`: workload names, sockets, addresses of services.
import { parseWorkloadName, trustDomainProblem } from '../identity/names.js';
import { isPem } from '../identity/pem-text.js';
import { describe, parseEndpoint, parseFilePath, ValueError } from './values.js';

/** A SPIFFE ID or a DNS name, in canonical form. */
export function parseWorkload(input: unknown): string {
  const example =
    'write one such as "web.shop.serviceaccount.identity.linkerd.cluster.local" or "spiffe://example.org/ns/shop/sa/web"';
  if (typeof input !== 'string' || input === '') throw new ValueError(`found ${describe(input)}; ${example}`);
  const name = parseWorkloadName(input);
  if (typeof name === 'string') throw new ValueError(`${describe(input)} ${name}; ${example}`);
  return name.text;
}

/** A DNS name, in lower case. */
export function parseServerName(input: unknown): string {
  const name = typeof input === 'string' ? parseWorkloadName(input) : '';
  if (typeof name !== 'string' && name.kind === 'dns') return name.text;
  throw new ValueError(
    `${typeof input === 'string' ? `${describe(input)} is not a DNS name` : `found ${describe(input)}`}; write a name such as "web.example"`,
  );
}

export function parseTrustDomain(input: unknown): string {
  if (typeof input !== 'string' || input === '')
    throw new ValueError(`found ${describe(input)}; write a trust domain such as "cluster.local"`);
  const problem = trustDomainProblem(input);
  if (problem !== null)
    throw new ValueError(
      `${describe(input)} is not a trust domain; use lower-case letters, digits and . _ -, such as "cluster.local"`,
    );
  return input;
}

/** The path of a file, or PEM text. */
export const parseAnchors = (input: unknown): string =>
  typeof input === 'string' && isPem(input) ? input : parseFilePath(input);

/** The path in `unix:///run/agent.sock`, `unix:/run/agent.sock` or a plain path. */
export function parseUnixSocket(input: unknown): string {
  const example = 'write one such as "unix:///run/spire/sockets/agent.sock"';
  if (typeof input !== 'string' || input === '') throw new ValueError(`found ${describe(input)}; ${example}`);
  const match = /^(?:unix:(?:\/\/)?)?(\/[^\0]+)$/.exec(input);
  if (match === null) throw new ValueError(`${describe(input)} is not the absolute path of a Unix socket; ${example}`);
  return match[1];
}

/** `host:port`, the host a name or numeric. */
export function parseHostAddress(input: unknown): string {
  const endpoint = parseEndpoint(input);
  if (endpoint.kind === 'static' || endpoint.kind === 'dns') return String(input);
  throw new ValueError(
    `${describe(input)} is not an address; write a host and a port, such as "identity.example:8080"`,
  );
}
