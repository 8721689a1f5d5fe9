// What would be done with a connection to a destination, and why, in sentences. For people, and for the admin port.
import type { Config, ListenerConfig, ListenerServices, ServiceConfig } from '../config/model.js';
import { addressText, sourceText } from '../discovery/text.js';
import { listenerFor } from './listeners.js';
import { decide, race } from './policy.js';

export interface Explanation {
  readonly destination: string;
  /** Name of the listener that takes it; null where none does. */
  readonly listener: string | null;
  readonly verdict: 'opaque' | 'http1' | 'http2' | 'detect' | 'none';
  /** A reason of the metrics (`hint`, `annotation`, `default-port`, `learned`), `detect`, or `no-listener`. */
  readonly reason: string;
  /** Service that gets the connection; null where that depends on what is detected, or where it is refused. */
  readonly service: string | null;
  /** Endpoints of that service, or of every service the listener may use. */
  readonly endpoints: readonly string[];
  readonly steps: readonly string[];
}

/** What only a running proxy knows. */
export interface Live {
  /** Whether a server behind the listener has spoken first lately. */
  learned?(listener: string): boolean;
  /** Addresses a service resolves to now. */
  endpoints?(service: string): readonly string[];
}

export function explain(config: Config, host: string, port: number, live: Live = {}): Explanation {
  const destination = addressText({ host: host.replace(/^\[(.*)\]$/, '$1'), port });
  const taken = listenerFor(config, host, port);
  if (taken === null) return nobody(config, destination, port);

  const { listener, match } = taken;
  const at = addressText(listener.listen);
  const steps = [
    match === 'exact'
      ? `Listener ${listener.name} (${at}) takes it.`
      : `Listener ${listener.name} (${at}) takes it, as it listens on every address of this machine.`,
  ];
  const decision = decide(config, listener);
  if (decision.protocol === 'detect') return detection(config, destination, listener, steps, live);

  if (decision.reason === 'hint') {
    steps.push(`The listener says protocol: ${decision.protocol}, so the first bytes decide nothing (reason hint).`);
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
  const service = listener.services[decision.protocol];
  steps.push(...route(config, decision.protocol, service, live));
  steps.push(...ending(config, decision.protocol));
  const endpoints = service === null ? [] : endpointTexts(config, service, live);
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

function nobody(config: Config, destination: string, port: number): Explanation {
  const known = config.listeners.map((listener) => `${listener.name} (${addressText(listener.listen)})`).join(', ');
  const samePort = config.listeners.filter((listener) => listener.listen.port === port);
  const hint =
    samePort.length > 0
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

function detection(
  config: Config,
  destination: string,
  listener: ListenerConfig,
  steps: string[],
  live: Live,
): Explanation {
  steps.push(
    "The port is not marked opaque and the listener has no hint: the client's first bytes decide (reason matched).",
  );
  const { timeoutMs, learnTtlMs } = listener.detect;
  const { delayMs, why } = race(config, listener);
  const opaque = listener.services.opaque;
  const learned = opaque !== null && learnTtlMs > 0 && (live.learned?.(listener.name) ?? false);
  if (learned) {
    steps.push(
      `Its server has spoken first within the last ${duration(learnTtlMs)}, so service ${opaque} is dialled at once; ` +
        'if the server speaks first again, the connection is opaque (reason learned).',
    );
  } else if (delayMs === null) {
    steps.push(`No endpoint is dialled before the client speaks, because ${why}.`);
  } else {
    const remembered = learnTtlMs > 0 ? ` and the destination is remembered for ${duration(learnTtlMs)}` : '';
    steps.push(
      `If the client is silent for ${duration(delayMs)}, an endpoint of service ${opaque} is dialled (that soon because ` +
        `${why}); if its server speaks first, the connection is opaque (reason server-first)${remembered}.`,
    );
  }
  steps.push(
    timeoutMs === 0
      ? 'There is no detection timeout: a silent connection waits for as long as both sides keep it.'
      : `After ${duration(timeoutMs)} without an answer the connection ${
          opaque === null ? 'is closed, as the listener has no service for it' : 'is relayed as opaque'
        } (reason timeout).`,
  );
  for (const verdict of VERDICT_ORDER) steps.push(...route(config, verdict, listener.services[verdict], live));
  steps.push(...ending(config, 'detect'));

  const services = new Set(VERDICT_ORDER.map((verdict) => listener.services[verdict]));
  const only = services.size === 1 ? listener.services.opaque : null;
  const names = [...services].filter((name) => name !== null);
  return {
    destination,
    listener: listener.name,
    verdict: 'detect',
    reason: learned ? 'learned' : 'detect',
    service: only,
    endpoints: [...new Set(names.flatMap((name) => endpointTexts(config, name, live)))],
    steps,
  };
}

function route(config: Config, verdict: Verdict, name: string | null, live: Live): string[] {
  const what = VERDICT_WORDS[verdict];
  if (name === null) return [`${capitalised(what)} is refused: the listener has no service for it.`];
  const service = serviceNamed(config, name);
  if (service === undefined) return [`${capitalised(what)} goes to service ${name}, which is not configured.`];
  const endpoints = endpointTexts(config, name, live).join(', ') || 'none';
  // HTTP for a service that is declared opaque is relayed as it is.
  const balanced = (verdict === 'http1' || verdict === 'http2') && service.protocol !== 'opaque';
  const how = balanced
    ? `each request is balanced ${service.balance.policy === 'ewma' ? 'by latency (peak EWMA)' : 'in turn'}, ` +
      `over ${ENDPOINTS_SPEAK[service.protocol]}; ` +
      `connect timeout ${duration(service.connectTimeoutMs)}, response timeout ${orNone(service.responseTimeoutMs)}`
    : `each connection is balanced ${service.balance.policy === 'ewma' ? 'by open connections' : 'in turn'}; ` +
      `connect timeout ${duration(service.connectTimeoutMs)}`;
  return [`${capitalised(what)} goes to service ${name} (endpoints: ${endpoints}); ${how}.`];
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

function endpointTexts(config: Config, name: string, live: Live): readonly string[] {
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
