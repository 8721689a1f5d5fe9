// Linkerd's labels `tls`, `server_id` and `no_tls_reason` for connections to endpoints, and for the application's own connections, by the
// configuration. Without an identity there are none, because there is no mesh.
import type { Config, ServiceConfig } from '../config/model.js';

export type TlsLabels = Readonly<Record<string, string>>;

const LOOPBACK: TlsLabels = { tls: 'no_identity', no_tls_reason: 'loopback' };
const UNKNOWN: TlsLabels = { tls: 'no_identity', no_tls_reason: 'not_provided_by_service_discovery' };

const isLoopback = (host: string): boolean => host.startsWith('127.') || host === '::1';

/** For connections to an endpoint and their requests. `tls`: of its service. `label`: makes a label value of a name. */
export function endpointTls(
  config: Pick<Config, 'identity'>,
  tls: ServiceConfig['tls'],
  { host, identity }: { readonly host: string; readonly identity: string },
  label: (name: string) => string,
): TlsLabels | undefined {
  if (tls !== null) {
    const name = tls.serverName ?? identity;
    return name === '' ? { tls: 'true' } : { tls: 'true', server_id: label(name) };
  }
  if (identity !== '') return { tls: 'true', server_id: label(identity) };
  if (config.identity === null) return undefined;
  return isLoopback(host) ? LOOPBACK : UNKNOWN;
}

/** For the application's connections to a listener, which never leave the host. */
export const applicationTls = (
  { identity }: Pick<Config, 'identity'>,
  { direction, mesh, tls }: Config['listeners'][number],
): TlsLabels | undefined =>
  direction === 'outbound' && !mesh && tls === null && identity !== null ? LOOPBACK : undefined;
