// How addresses and endpoints are written for people: as the configuration spells them.
import type { Address, EndpointSource } from '../config/model.js';

/** `host:port`, IPv6 in brackets. */
export function addressText(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** `10.0.0.1:80`, `name.example:80` or `srv:_http._tcp.name.example`. */
export function sourceText(source: EndpointSource): string {
  if (source.kind === 'static') return addressText(source.address);
  return source.kind === 'dns' ? `${source.name}:${source.port}` : `srv:${source.name}`;
}
