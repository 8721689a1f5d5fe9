// Addresses and endpoints as text, in the configuration's notation.
import type { Address, EndpointSource } from '../config/model.js';

/** `host:port`, IPv6 in brackets. */
export function addressText(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** `10.0.0.1:80`, `name.example:80`, `srv:_http._tcp.name.example` or `file:/etc/endpoints.yaml (web)`. */
export function sourceText(source: EndpointSource): string {
  switch (source.kind) {
    case 'static':
      return addressText(source.address);
    case 'dns':
      return `${source.name}:${source.port}`;
    case 'srv':
      return `srv:${source.name}`;
    case 'file':
      return source.key === null ? `file:${source.path}` : `file:${source.path} (${source.key})`;
    default: {
      const unknown: never = source;
      return unknown;
    }
  }
}
