// `tls` of listeners, which terminate TLS, and of services, whose endpoints are dialled with it.
import { isIP } from 'node:net';
import * as v from 'valibot';
import { boolean, choice, found, section, value } from './schema-parts.js';
import { describe, parseFilePath, parseHostName, parseIdentity, ValueError } from './values.js';

/** YAML reads 1.3 as a number. */
function parseVersion(input: unknown): '1.2' | '1.3' {
  const text = typeof input === 'number' ? String(input) : input;
  if (text === '1.2' || text === '1.3') return text;
  throw new ValueError(`found ${describe(input)}; write 1.2 or 1.3`);
}

/** RFC 7301 section 3.1: at most 255 bytes; for HTTP, `h2` and `http/1.1`. */
function parseProtocol(input: unknown): string {
  if (input === 'h2c' || input === 'http2') throw new ValueError(`${describe(input)} is not its ALPN name; write h2`);
  if (input === 'http1' || input === 'http/1')
    throw new ValueError(`${describe(input)} is not its ALPN name; write http/1.1`);
  if (typeof input === 'string' && /^[\x21-\x7e]{1,255}$/.test(input)) return input;
  throw new ValueError(`found ${describe(input)}; write an ALPN protocol name, such as h2 or http/1.1`);
}

const NUMERIC = /^[0-9.]+$|:/;

/** A full name, or `*.` and a domain, in lower case. */
export function parseServerName(input: unknown): string {
  if (typeof input !== 'string' || input === '')
    throw new ValueError(`found ${describe(input)}; write a name such as "web.example" or "*.web.example"`);
  if (NUMERIC.test(input))
    throw new ValueError(`${describe(input)} is an address, which clients do not send as a server name; remove it`);
  const domain = input.startsWith('*.') ? input.slice(2) : input;
  if (domain.includes('*'))
    throw new ValueError(
      `${describe(input)} has a * inside; only the whole first label may be one, as in "*.web.example"`,
    );
  parseHostName(domain);
  return input.toLowerCase().replace(/\.$/, '');
}

/** For a service: the name that endpoint certificates must be for. */
export function parsePeerName(input: unknown): string {
  const name = parseIdentity(input);
  if (name.startsWith('spiffe://')) return name;
  const address = name.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) !== 0) return address;
  if (name.includes('*')) throw new ValueError(`${describe(input)} is a pattern; write the one name to ask for`);
  parseHostName(name);
  return name.toLowerCase().replace(/\.$/, '');
}

const file = () => value(parseFilePath);
const minVersion = () => v.optional(value(parseVersion), '1.3');
const alpn = () => v.optional(v.array(value(parseProtocol), found('a list such as [h2, http/1.1], or [] for no ALPN')));

const certificate = section({
  certificate: file(),
  key: file(),
  names: v.optional(
    v.pipe(
      v.array(value(parseServerName), found('a list such as ["web.example", "*.web.example"]')),
      v.minLength(1, "is empty; remove it to use the certificate's own names"),
    ),
  ),
});

export const listenerTls = section({
  certificates: v.pipe(
    v.array(certificate, found('a list such as [{ certificate: web.pem, key: web-key.pem }]')),
    v.minLength(1, 'is empty; add one, such as { certificate: web.pem, key: web-key.pem }'),
  ),
  minVersion: minVersion(),
  alpn: alpn(),
  clientAuthority: v.optional(file()),
  clientCertificate: v.optional(choice('none', 'optional', 'required')),
  tickets: v.optional(boolean(), false),
});

export const serviceTls = section({
  serverName: v.optional(value(parsePeerName)),
  ca: v.optional(file()),
  certificate: v.optional(file()),
  key: v.optional(file()),
  minVersion: minVersion(),
  alpn: alpn(),
});
