// The protocol that a Service declares for a port (`appProtocol`), as far as it helps a proxy.
import type { ServiceProtocol } from '../config/model.js';

/** The application's own TLS is passed through: there is nothing to detect in it. */
const PROTOCOLS: Readonly<Record<string, ServiceProtocol>> = {
  http: 'http1',
  'kubernetes.io/ws': 'http1',
  'kubernetes.io/h2c': 'http2',
  grpc: 'http2',
  https: 'opaque',
  tls: 'opaque',
  'kubernetes.io/wss': 'opaque',
  'linkerd.io/opaque': 'opaque',
  'linkerd.io/tcp': 'opaque',
};

/** Null: not declared, or unknown, so the protocol is detected. */
export function appProtocol(text: string): ServiceProtocol | null {
  const name = text.toLowerCase();
  return Object.hasOwn(PROTOCOLS, name) ? PROTOCOLS[name] : null;
}

export const APP_PROTOCOLS: readonly string[] = Object.keys(PROTOCOLS);
