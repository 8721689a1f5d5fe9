// Authorization by the rules of a worker's listeners. The decision for a connection is made once and cached until the rules change or more
// is known about the client. Only requests whose method or path matters are compared with rules. Without rules nothing is checked.

import { DEFAULT_RULE } from '../config/authorization-model.js';
import { column } from '../http/columns.js';
import { MAX_LISTENERS, R, ruleBase } from '../metrics/layout.js';
import { type AddressWords, addressWords, readAddress } from '../policy/network-list.js';
import { ANY_PORT, type Asked, DECISION, DEPENDS, decisionOf, RuleSet, ruleOf } from '../policy/rules.js';
import type { TlsPeers } from '../tls/peers.js';
import type { Connections } from './connect/connections.js';
import { REFUSED, type Refusals } from './refusals.js';
import type { AuthorizationSnapshot, ListenerSnapshot } from './snapshot.js';

/** No rule has decided, because the listener has none. */
const NO_RULE = -1;

/** What this needs of the worker's context. */
interface Shared {
  readonly values: Float64Array;
  readonly sockets: { readonly capacity: number };
  readonly peers: Pick<TlsPeers, 'identity' | 'namesOf'>;
  readonly connections: Pick<Connections, 'listener' | 'destination' | 'peerName'>;
  readonly destinations: { readonly port: Uint16Array; isOriginal(slot: number): boolean };
  readonly refusals: Pick<Refusals, 'note'>;
}

/** The rules of a listener. */
interface Listener {
  readonly rules: RuleSet;
  readonly port: number;
  readonly mesh: boolean;
  readonly names: readonly string[];
  /** First value in the metrics, by rule. */
  readonly base: readonly number[];
  /** The source text they were compiled from. */
  readonly text: string;
}

/** What a tunnel's request asked for, so that it can be checked again when the rules change. */
export interface TunnelRequest {
  /** The `epoch` at that time. */
  readonly epoch: number;
  readonly bytes: Uint8Array;
  readonly asked: Asked;
}

export class Authorization {
  /** Whether any listener has rules. */
  active = false;
  /** What the requests of tunnels asked for, by exchange. */
  readonly tunnelRequests = new Map<number, TunnelRequest>();
  /** Number of rule changes so far. */
  epoch = 0;
  private readonly listeners: (Listener | undefined)[] = new Array<Listener | undefined>(MAX_LISTENERS).fill(undefined);
  private readonly words: AddressWords = addressWords();
  // Per client: the decision for its connection; nothing is known while `known` is 0. The other columns mirror RuleSet.
  private readonly known: Uint8Array;
  private readonly requests: Int32Array;
  private readonly bytes: Int32Array;
  private readonly low: Int32Array;
  private readonly high: Int32Array;
  private readonly fallback: Int32Array;
  // The identity the decision was made for.
  private readonly identity: Int32Array;
  private readonly destination: Int32Array;

  constructor(private readonly context: Shared) {
    const n = context.sockets.capacity;
    this.known = column(Uint8Array, n);
    this.requests = column(Int32Array, n);
    this.bytes = column(Int32Array, n);
    this.low = column(Int32Array, n);
    this.high = column(Int32Array, n);
    this.fallback = column(Int32Array, n);
    this.identity = column(Int32Array, n);
    this.destination = column(Int32Array, n);
  }

  /** Applies new rules; true if any have changed. Rules of removed listeners stay in force for their remaining connections. */
  configure(listeners: readonly ListenerSnapshot[], portOf: (fd: number) => number): boolean {
    let changed = false;
    for (const { slot, authorization, mesh, fd } of listeners) {
      const text = authorization === null ? '' : JSON.stringify([authorization, mesh]);
      if (text === (this.listeners[slot]?.text ?? '')) continue;
      changed = true;
      this.listeners[slot] = authorization === null ? undefined : compile(authorization, mesh, text, () => portOf(fd));
    }
    if (!changed) return false;
    this.epoch++;
    this.known.fill(0);
    this.active = this.listeners.some((listener) => listener !== undefined);
    return true;
  }

  /** Checks a new client whose identity is not known yet: false if the rules admit nobody from its address; a refusal is recorded. */
  admits(client: number): boolean {
    this.known[client] = 0;
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    // The opaque transport header may name another port.
    const port = listener.mesh ? ANY_PORT : this.portOf(client, listener);
    const code = listener.rules.forAnybody(port, this.addressOf(client, listener));
    return code === DEPENDS || this.record(listener, code, client, -1, R.TCP_DENIED);
  }

  /** Whether bytes that are relayed unread may go from `client` to `service`; recorded. */
  permitsBytes(client: number, service: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    this.evaluate(client, listener);
    const code = this.bytes[client];
    return this.record(
      listener,
      code,
      client,
      service,
      decisionOf(code) === DECISION.DENY ? R.TCP_DENIED : R.TCP_ALLOWED,
    );
  }

  /** The same, without recording. */
  wouldPermitBytes(client: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    this.evaluate(client, listener);
    return decisionOf(this.bytes[client]) !== DECISION.DENY;
  }

  /** Whether the decision for `client` depends on its requests. */
  dependsOnRequest(client: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return false;
    this.evaluate(client, listener);
    return this.requests[client] === DEPENDS;
  }

  /** The code for a request of `client`; -1 if its listener has no rules. `asked` is used only if `dependsOnRequest`. */
  codeOf(client: number, bytes: Uint8Array, asked: Asked): number {
    const listener = this.listenerOf(client);
    if (listener === undefined) return NO_RULE;
    this.evaluate(client, listener);
    if (this.requests[client] !== DEPENDS) return this.requests[client];
    return listener.rules.forRequest(this.low[client], this.high[client], this.fallback[client], bytes, asked);
  }

  /** Records a request for which `codeOf` gave `code`; false if it is refused. */
  judgeRequest(client: number, service: number, code: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    return this.record(
      listener,
      code,
      client,
      service,
      decisionOf(code) === DECISION.DENY ? R.HTTP_DENIED : R.HTTP_ALLOWED,
    );
  }

  /** Records that a connection was closed because of `code`. */
  terminated(client: number, code: number): void {
    const listener = this.listenerOf(client);
    if (listener === undefined) return;
    this.context.values[listener.base[ruleOf(code)] + R.TERMINATED]++;
  }

  /** The code for unread bytes of `client`, without recording. */
  codeOfBytes(client: number): number {
    const listener = this.listenerOf(client);
    if (listener === undefined) return NO_RULE;
    this.evaluate(client, listener);
    return this.bytes[client];
  }

  /** Name of the rule that decides on unread bytes of `client`; '' without rules. */
  ruleOfBytes(client: number): string {
    return this.ruleName(client, this.codeOfBytes(client));
  }

  /** The exchange is not, or no longer, a tunnel. */
  forget(exchange: number): void {
    if (this.tunnelRequests.size > 0) this.tunnelRequests.delete(exchange);
  }

  /** Name of the rule for a code; '' if none has decided. */
  ruleName(client: number, code: number): string {
    return code < 0 ? '' : (this.listenerOf(client)?.names[ruleOf(code)] ?? '');
  }

  private listenerOf(client: number): Listener | undefined {
    return this.listeners[this.context.connections.listener[client]];
  }

  private portOf(client: number, { port }: Listener): number {
    const { connections, destinations } = this.context;
    const destination = connections.destination[client];
    return destinations.isOriginal(destination) ? destinations.port[destination] : port;
  }

  private addressOf(client: number, { rules }: Listener): AddressWords | null {
    if (!rules.asksForAddress) return null;
    return readAddress(this.context.connections.peerName(client), this.words) ? this.words : null;
  }

  /** Makes the decision for the connection of `client`, unless it is cached. */
  private evaluate(client: number, listener: Listener): void {
    const { connections, peers } = this.context;
    const identity = peers.identity[client];
    const destination = connections.destination[client];
    if (this.known[client] === 1 && this.identity[client] === identity && this.destination[client] === destination)
      return;
    const { rules } = listener;
    rules.connection(this.portOf(client, listener), this.addressOf(client, listener), peers.namesOf(identity));
    this.known[client] = 1;
    this.identity[client] = identity;
    this.destination[client] = destination;
    this.low[client] = rules.low;
    this.high[client] = rules.high;
    this.fallback[client] = rules.fallback;
    this.requests[client] = rules.forRequests();
    this.bytes[client] = rules.forBytes();
  }

  private record({ base, names }: Listener, code: number, client: number, service: number, field: number): boolean {
    const { values, refusals } = this.context;
    const rule = ruleOf(code);
    values[base[rule] + field]++;
    const decision = decisionOf(code);
    if (decision === DECISION.ALLOW) return true;
    const reason = decision === DECISION.AUDIT ? REFUSED.AUDIT : REFUSED.UNAUTHORIZED;
    refusals.note(reason, client, service, -1, names[rule]);
    return decision === DECISION.AUDIT;
  }
}

function compile(
  { config, port, series }: AuthorizationSnapshot,
  mesh: boolean,
  text: string,
  bound: () => number,
): Listener {
  return {
    rules: new RuleSet(config),
    port: port === 0 ? bound() : port,
    mesh,
    names: [...config.rules.map(({ name }) => name), DEFAULT_RULE],
    base: series.map(ruleBase),
    text,
  };
}
