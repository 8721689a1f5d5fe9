// Explains in sentences what would happen to a connection to a destination, and why. For people, and for the admin port.
import type { Config, ListenerConfig, ListenerServices, ServiceConfig } from '../config/model.js';
import { addressText, sourceText } from '../discovery/text.js';
import { ANY_CLIENT, authorizationSteps, type Client } from './explain-authorization.js';
import { listenerFor } from './listeners.js';
import { type Match, MatchTable } from './match-table.js';
import { type Decision, decide, type Original, type Race, race, raceTo } from './policy.js';

export interface Explanation {
  readonly destination: string;
  /** Name of the listener that accepts it, directly or redirected; null if none does. */
  readonly listener: string | null;
  readonly verdict: 'opaque' | 'http1' | 'http2' | 'detect' | 'none';
  /** A reason of the metrics (`hint`, `annotation`, `default-port`, `learned`), `detect`, `no-listener`, or `loop`. */
  readonly reason: string;
  /** Service that gets the connection; null if that depends on detection, or if it is refused. */
  readonly service: string | null;
  /** Endpoints of that service, or of every service the listener may use. */
  readonly endpoints: readonly string[];
  readonly steps: readonly string[];
}

/** Knowledge that only a running proxy has. */
export interface LiveState {
  /** Whether the server behind this listener has recently spoken first. */
  learned?(listener: string): boolean;
  /** Current addresses of a service. */
  endpoints?(service: string): readonly string[];
  /** A destination service's answer about an address; null: it knows nothing. Undefined if it was not asked, or has not answered. */
  discovered?(host: string, port: number): ServiceConfig | null | undefined;
}

/** Treatment of a connection to `destination`. */
interface Treatment {
  readonly destination: string;
  readonly port: number;
  readonly listener: ListenerConfig;
  /** A service per verdict; null if all go to the address itself. */
  readonly services: ListenerServices | null;
  readonly decision: Decision;
  readonly race: Race;
}

/** `through` names a listener with originalDestination to which the connection is redirected. */
export function explain(
  config: Config,
  host: string,
  port: number,
  live: LiveState = {},
  through: string | null = null,
  client: Client = ANY_CLIENT,
): Explanation {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const destination = addressText({ host: bare, port });
  const taken = through === null ? listenerFor(config, host, port) : null;
  if (taken === null) {
    const redirected = config.listeners.find(
      ({ name, originalDestination }) => originalDestination && (through === null || name === through),
    );
    return redirected === undefined
      ? nobody(config, destination, port, through)
      : explainRedirected(config, redirected, bare, port, live, client);
  }

  const { listener, match } = taken;
  const at = addressText(listener.listen);
  if (listener.originalDestination)
    return loop(destination, listener, 'A connection made to it has no other destination');
  const steps = [
    match === 'exact'
      ? `Listener ${listener.name} (${at}) takes it.`
      : `Listener ${listener.name} (${at}) takes it, as it listens on every address of this machine.`,
  ];
  steps.push(...headerSteps(listener), ...tlsSteps(listener), ...authorizationSteps(listener, port, client));
  const { services } = listener;
  const decision = decide(config, listener);
  return walk(config, { destination, port, listener, services, decision, race: race(config, listener) }, steps, live);
}

/** A connection that a firewall rule has redirected to a listener with originalDestination. */
function explainRedirected(
  config: Config,
  listener: ListenerConfig,
  host: string,
  port: number,
  live: LiveState,
  client: Client,
): Explanation {
  const destination = addressText({ host, port });
  const own = listenerFor(config, host, port);
  if (own?.match === 'exact') return loop(destination, listener, `Listener ${own.listener.name} has this address`);
  const match = new MatchTable(config.services).lookup(host, port);
  const asks = match === null && config.destination !== null && listener.direction === 'outbound';
  const said = asks ? live.discovered?.(host, port) : undefined;
  const service = match?.service ?? said ?? null;
  const original: Original = { port, service, discovered: said !== undefined && said !== null };
  const name = service?.name ?? null;
  const steps = [
    `Listener ${listener.name} (${addressText(listener.listen)}) takes it where it is redirected there, and asks where it was going.`,
    ...headerSteps(listener),
    ...authorizationSteps(listener, port, client),
    asks ? discoveryStep(destination, said) : matchStep(destination, match),
  ];
  const services = name === null ? null : { http1: name, http2: name, tls: name, opaque: name };
  const decision = decide(config, listener, original);
  const all = said === undefined || said === null ? config : { ...config, services: [...config.services, said] };
  return walk(
    all,
    { destination, port, listener, services, decision, race: raceTo(listener, original.service) },
    steps,
    live,
  );
}

function headerSteps({ proxyProtocol }: ListenerConfig): string[] {
  if (proxyProtocol === null) return [];
  const { from, timeoutMs } = proxyProtocol;
  const who = from === null ? '' : ` It has to come from ${from.map(({ text }) => text).join(', ')}.`;
  return [`It has to begin with a PROXY header, within ${duration(timeoutMs)}, that says who its client is.${who}`];
}

/** TLS that a listener terminates. */
function tlsSteps({ tls }: ListenerConfig): string[] {
  if (tls === null) return [];
  const { certificates, minVersion, clientCertificate } = tls;
  const count = certificates.length === 1 ? 'one certificate' : `${certificates.length} certificates by server name`;
  const client = {
    none: 'Clients need no certificate.',
    optional: "A client's certificate is checked if it has one.",
    required: 'A client needs a certificate.',
  }[clientCertificate];
  const versions = minVersion === '1.3' ? 'TLS 1.3' : 'TLS 1.2 and 1.3';
  return [`${versions} is ended here, with ${count}: what follows holds for what is inside. ${client}`];
}

function matchStep(destination: string, match: Match | null): string {
  return match === null
    ? `No service's match names ${destination}, so it goes to that address itself.`
    : `It belongs to service ${match.service.name}, whose match has ${match.range.text}.`;
}

/** `said`: as in `Live`. */
function discoveryStep(destination: string, said: ServiceConfig | null | undefined): string {
  const nobody = `No service's match names ${destination}`;
  if (said === undefined)
    return `${nobody}; the destination service is asked about it. Without an answer in time it goes to that address itself.`;
  return said === null
    ? `${nobody}, and the destination service knows nothing of it, so it goes to that address itself.`
    : `${nobody}, but the destination service says that it belongs to ${said.name}.`;
}

function loop(destination: string, listener: ListenerConfig, why: string): Explanation {
  return {
    destination,
    listener: listener.name,
    verdict: 'none',
    reason: 'loop',
    service: null,
    endpoints: [],
    steps: [
      `Listener ${listener.name} (${addressText(listener.listen)}) sends connections where their clients were going. ` +
        `${why}: it would come back for ever, and is refused.`,
    ],
  };
}

function walk(config: Config, way: Treatment, steps: string[], live: LiveState): Explanation {
  const { destination, port, listener, services, decision } = way;
  if (decision.protocol === 'detect') return detection(config, way, steps, live);

  if (decision.reason === 'hint') {
    const who = listener.protocol === 'detect' ? 'service' : 'listener';
    steps.push(`The ${who} says protocol: ${decision.protocol}, so the first bytes decide nothing (reason hint).`);
  } else if (decision.reason === 'annotation') {
    steps.push(
      `The configuration names port ${port} as opaque, so it is relayed without detection (reason annotation).`,
    );
  } else {
    steps.push(
      `Port ${port} is opaque by default, because a protocol whose server speaks first is usual on it; it is relayed ` +
        'without detection (reason default-port).',
    );
  }
  const service = services === null ? null : services[decision.protocol];
  steps.push(...route(config, decision.protocol, way, live));
  steps.push(...ending(config, decision.protocol));
  const endpoints = services === null ? [destination] : service === null ? [] : endpointTexts(config, service, live);
  return {
    destination,
    listener: listener.name,
    verdict: decision.protocol,
    reason: decision.reason,
    service,
    endpoints,
    steps,
  };
}

function nobody(config: Config, destination: string, port: number, through: string | null): Explanation {
  const known = config.listeners.map((listener) => `${listener.name} (${addressText(listener.listen)})`).join(', ');
  const samePort = config.listeners.filter((listener) => listener.listen.port === port);
  const hint =
    through !== null
      ? `No listener with originalDestination is called ${through}.`
      : samePort.length > 0
        ? `Port ${port} is listened on, but at ${samePort.map((listener) => addressText(listener.listen)).join(', ')} only.`
        : `No listener has port ${port}.`;
  return {
    destination,
    listener: null,
    verdict: 'none',
    reason: 'no-listener',
    service: null,
    endpoints: [],
    steps: [`No listener takes it: the proxy does not see this connection. ${hint}`, `Listeners: ${known || 'none'}.`],
  };
}

type Verdict = keyof ListenerServices;
const VERDICT_WORDS: Readonly<Record<Verdict, string>> = {
  http1: 'HTTP/1',
  http2: 'HTTP/2',
  tls: 'TLS that is not for this proxy',
  opaque: 'anything else',
};
const ENDPOINTS_SPEAK: Readonly<Record<ServiceConfig['protocol'], string>> = {
  auto: 'what each endpoint is found to speak',
  http1: 'HTTP/1',
  http2: 'HTTP/2',
  opaque: 'bytes',
};
const VERDICT_ORDER: readonly Verdict[] = ['http1', 'http2', 'tls', 'opaque'];

function detection(config: Config, way: Treatment, steps: string[], live: LiveState): Explanation {
  const { destination, listener, services } = way;
  steps.push(
    "The port is not marked opaque and the listener has no hint: the client's first bytes decide (reason matched).",
  );
  const { timeoutMs, learnTtlMs } = listener.detect;
  const { delayMs, why } = way.race;
  const opaque = services === null ? null : services.opaque;
  const refused = services !== null && opaque === null;
  const dialled = opaque === null ? destination : `an endpoint of service ${opaque}`;
  const learned = !refused && learnTtlMs > 0 && (live.learned?.(listener.name) ?? false);
  if (learned) {
    steps.push(
      `Its server has spoken first within the last ${duration(learnTtlMs)}, so ${opaque === null ? destination : `service ${opaque}`} is dialled at once; ` +
        'if the server speaks first again, the connection is opaque (reason learned).',
    );
  } else if (delayMs === null) {
    steps.push(`No endpoint is dialled before the client speaks, because ${why}.`);
  } else {
    const remembered = learnTtlMs > 0 ? ` and the destination is remembered for ${duration(learnTtlMs)}` : '';
    steps.push(
      `If the client is silent for ${duration(delayMs)}, ${dialled} is dialled (that soon because ` +
        `${why}); if its server speaks first, the connection is opaque (reason server-first)${remembered}.`,
    );
  }
  if (!refused) {
    steps.push(
      'A client that stops in the middle of words that can hardly become HTTP is relayed as opaque after as short a silence ' +
        '(reason unlikely).',
    );
  }
  steps.push(
    timeoutMs === 0
      ? 'There is no detection timeout: a silent connection waits for as long as both sides keep it.'
      : `After ${duration(timeoutMs)} without an answer the connection ${
          refused ? 'is closed, as the listener has no service for it' : 'is relayed as opaque'
        } (reason timeout).`,
  );
  for (const verdict of VERDICT_ORDER) steps.push(...route(config, verdict, way, live));
  steps.push(...ending(config, 'detect'));

  const names = new Set(services === null ? [] : VERDICT_ORDER.map((verdict) => services[verdict]));
  const only = names.size === 1 ? opaque : null;
  const endpoints = [...names].flatMap((name) => (name === null ? [] : endpointTexts(config, name, live)));
  return {
    destination,
    listener: listener.name,
    verdict: 'detect',
    reason: learned ? 'learned' : 'detect',
    service: only,
    endpoints: services === null ? [destination] : [...new Set(endpoints)],
    steps,
  };
}

function route(config: Config, verdict: Verdict, { services, destination }: Treatment, live: LiveState): string[] {
  const what = VERDICT_WORDS[verdict];
  if (services === null) return [`${capitalised(what)} goes to ${destination} itself.`];
  const name = services[verdict];
  if (name === null) return [`${capitalised(what)} is refused: the listener has no service for it.`];
  const service = serviceNamed(config, name);
  if (service === undefined) return [`${capitalised(what)} goes to service ${name}, which is not configured.`];
  const endpoints = endpointTexts(config, name, live).join(', ') || 'none';
  // HTTP for a service declared opaque is relayed unread.
  const balanced = (verdict === 'http1' || verdict === 'http2') && service.protocol !== 'opaque';
  const how = balanced
    ? `each request is balanced ${service.balance.policy === 'ewma' ? 'by latency (peak EWMA)' : 'in turn'}, ` +
      `over ${ENDPOINTS_SPEAK[service.protocol]}; ` +
      `connect timeout ${duration(service.connectTimeoutMs)}, response timeout ${orNone(service.responseTimeoutMs)}`
    : `each connection is balanced ${service.balance.policy === 'ewma' ? 'by open connections' : 'in turn'}; ` +
      `connect timeout ${duration(service.connectTimeoutMs)}`;
  return [`${capitalised(what)} goes to service ${name} (endpoints: ${endpoints})${overTls(service)}; ${how}.`];
}

function overTls({ tls }: ServiceConfig): string {
  if (tls === null) return '';
  return tls.serverName === null ? ' over TLS, each under its own name' : ` over TLS as ${tls.serverName}`;
}

function ending(config: Config, verdict: 'opaque' | 'http1' | 'http2' | 'detect'): string[] {
  const { http1, http2, opaque } = config.limits;
  const steps: string[] = [];
  if (verdict === 'http1' || verdict === 'detect') {
    steps.push(
      `An HTTP/1 client has ${duration(http1.headerTimeoutMs)} for a request head and may be idle between requests for ` +
        `${duration(http1.idleTimeoutMs)}.`,
    );
  }
  if (verdict === 'http2' || verdict === 'detect') {
    steps.push(
      `An HTTP/2 client may have ${http2.maxStreams} streams open at once, and be idle without any for ` +
        `${duration(http2.idleTimeoutMs)}.`,
    );
  }
  if (verdict === 'opaque' || verdict === 'detect') {
    steps.push(
      `An opaque connection may be silent for ${orForEver(opaque.idleTimeoutMs)}, live for ` +
        `${orForEver(opaque.lifetimeMs)}, and be half closed for ${orForEver(opaque.halfCloseTimeoutMs)}.`,
    );
  }
  return steps;
}

const serviceNamed = (config: Config, name: string): ServiceConfig | undefined =>
  config.services.find((service) => service.name === name);

function endpointTexts(config: Config, name: string, live: LiveState): readonly string[] {
  return live.endpoints?.(name) ?? serviceNamed(config, name)?.endpoints.map(sourceText) ?? [];
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const orNone = (ms: number): string => (ms === 0 ? 'none' : duration(ms));
const orForEver = (ms: number): string => (ms === 0 ? 'ever' : duration(ms));

/** A duration as the configuration spells it: `50ms`, `10s`, `2m`, `1h`. */
function duration(ms: number): string {
  if (ms === 0 || ms % 1000 !== 0) return `${ms}ms`;
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  return ms % 60_000 === 0 ? `${ms / 60_000}m` : `${ms / 1000}s`;
}
