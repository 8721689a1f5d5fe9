// The answer of /ready.
import type { Config } from '../config/model.js';

/** Maximum number of services without endpoints to name. */
const MAX_NOTES = 20;

export interface Readiness {
  readonly ok: boolean;
  /** Why it is not ready. */
  readonly reasons: readonly string[];
  /** Other facts worth knowing. */
  readonly notes: readonly string[];
}

export interface ReadinessParts {
  /** Services without endpoints, and why they have none. */
  readonly unready: readonly { readonly service: string; readonly reasons: readonly string[] }[];
  readonly identity: { unready(): string | null; note(): string | null };
  readonly tls: { unready(): readonly string[]; notes(): readonly string[] };
  /** Every worker accepts. */
  readonly accepting: boolean;
  readonly draining: boolean;
  readonly config: Pick<Config, 'services' | 'listeners'>;
}

/** Ready means accepting and able to serve something: services without endpoints are noted, but if none has any it is not ready. */
export function readiness({ unready, identity, tls, accepting, draining, config }: ReadinessParts): Readiness {
  const reasons: string[] = [];
  const notes = unready
    .slice(0, MAX_NOTES)
    .map(({ service, reasons: why }) => [`service ${service} has no endpoint`, ...why].join('; '));
  if (unready.length > MAX_NOTES) notes.push(`and ${unready.length - MAX_NOTES} more services`);
  const anonymous = identity.unready();
  if (anonymous !== null) reasons.push(anonymous);
  const stale = identity.note();
  if (stale !== null) notes.push(stale);
  if (draining) reasons.push('draining');
  if (!accepting) reasons.push('not every worker accepts connections yet');
  reasons.push(...tls.unready());
  notes.push(...tls.notes());
  const { services, listeners } = config;
  const elsewhere = listeners.some(({ originalDestination }) => originalDestination);
  if (services.length > 0 && unready.length === services.length && !elsewhere)
    reasons.push('no service has an endpoint');
  return { ok: reasons.length === 0, reasons, notes };
}
