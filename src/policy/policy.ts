// How a listener treats a connection before reading a byte. The data path and `explain` both use this.
import type { Config, ListenerConfig, ListenerProtocol, ServiceConfig } from '../config/model.js';

/** Race delays if the listener leaves the choice to us, ms. */
export const RACE_SINGLE_MS = 3;
export const RACE_MS = 50;
/** Special values of `raceMs`. */
export const RACE_AUTO = -1;
export const RACE_OFF = -2;

export type Decision =
  | { readonly protocol: 'detect'; readonly reason: null }
  | { readonly protocol: Exclude<ListenerProtocol, 'detect'>; readonly reason: 'hint' }
  | { readonly protocol: 'opaque'; readonly reason: 'annotation' | 'default-port' };

/** An original destination, as far as it decides how its connection starts. */
export interface Original {
  readonly port: number;
  /** The service whose `match` has the address; null for none. */
  readonly service: ServiceConfig | null;
  /** The answer came from discovery, which also knows opaque ports: the lists of ports do not apply. */
  readonly discovered?: boolean;
}

/**
 * The opaque service that gets all of a listener's connections, whatever their protocol, so that there is nothing to detect; else
 * undefined.
 */
function opaqueThroughout(config: Config, { services }: ListenerConfig): ServiceConfig | undefined {
  const { http1, http2, tls, opaque } = services;
  if (opaque === null || http1 !== opaque || http2 !== opaque || tls !== opaque) return undefined;
  const service = config.services.find(({ name }) => name === opaque);
  return service?.protocol === 'opaque' ? service : undefined;
}

/**
 * How a listener's connections start. In order of precedence: the listener's own `protocol:`, an opaque service that gets all of them, a
 * port that the file declares opaque, the default opaque ports; a listener's own list replaces the last two. The port is that of the
 * original destination if known, otherwise the listener's. `reason` is null for `detect`: detection will give its own.
 */
export function decide(config: Config, listener: ListenerConfig, original?: Original): Decision {
  if (listener.protocol !== 'detect') return { protocol: listener.protocol, reason: 'hint' };
  const whole = original === undefined ? opaqueThroughout(config, listener) : original.service;
  if (whole?.protocol === 'opaque') return { protocol: 'opaque', reason: 'hint' };
  if (original?.discovered === true) return { protocol: 'detect', reason: null };
  const port = original?.port ?? listener.listen.port;
  if (listener.opaquePorts !== null)
    return listener.opaquePorts.has(port)
      ? { protocol: 'opaque', reason: 'annotation' }
      : { protocol: 'detect', reason: null };
  if (config.annotatedPorts.has(port)) return { protocol: 'opaque', reason: 'annotation' };
  if (config.opaquePorts.has(port)) return { protocol: 'opaque', reason: 'default-port' };
  return { protocol: 'detect', reason: null };
}

export interface Race {
  /** Silence before the opaque endpoint is dialled, ms; null: no race. */
  readonly delayMs: number | null;
  /** The reason, in words that follow "because". */
  readonly why: string;
}

/** The race of a detecting listener, for the services it names. */
export function race(config: Config, listener: ListenerConfig): Race {
  const name = listener.services.opaque;
  if (name === null) return { delayMs: null, why: 'the listener has no service for opaque traffic to dial' };
  const service = config.services.find((candidate) => candidate.name === name);
  return raceTo(listener, service ?? null);
}

/** The race of a detecting listener, for a service; null: the original destination. */
export function raceTo(listener: ListenerConfig, service: ServiceConfig | null): Race {
  const { raceMs } = listener.detect;
  if (raceMs === RACE_OFF) return { delayMs: null, why: 'the listener turns it off' };
  if (raceMs >= 0) return { delayMs: raceMs, why: 'the listener sets it' };
  if (service === null) {
    return { delayMs: RACE_SINGLE_MS, why: 'there is one address, so no choice is lost by dialling it early' };
  }
  const { name, protocol, endpoints } = service;
  if (protocol === 'http2')
    return { delayMs: null, why: `service ${name} speaks HTTP/2, in which servers do not greet` };
  const sole = endpoints.length === 1 && endpoints[0].kind === 'static';
  return sole
    ? {
        delayMs: RACE_SINGLE_MS,
        why: `service ${name} has a single endpoint, so no choice is lost by dialling it early`,
      }
    : {
        delayMs: RACE_MS,
        why: `service ${name} may have several endpoints, and dialling one early costs a connection`,
      };
}
