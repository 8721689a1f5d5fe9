// What a Service says that a port of it speaks (`appProtocol`), as far as that is a hint to a proxy.
import type { ServiceProtocol } from '../config/model.js';

/** TLS of the application is relayed as it is: there is nothing to detect in it. */
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

/** Null: it says nothing, or what nobody here knows, which is detected. */
export function appProtocol(text: string): ServiceProtocol | null {
  const name = text.toLowerCase();
  return Object.hasOwn(PROTOCOLS, name) ? PROTOCOLS[name] : null;
}

export const APP_PROTOCOLS: readonly string[] = Object.keys(PROTOCOLS);
