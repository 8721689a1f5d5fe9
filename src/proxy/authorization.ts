// Who may do what, by the rules of a worker's listeners. What the rules say of a connection is found once and kept, until they change or
// more is known of it; only a request whose method or path matters is compared with rules. Where no listener has rules nothing is looked at.

import { DEFAULT_RULE } from '../config/model.js';
import { MAX_LISTENERS, R, ruleBase } from '../metrics/layout.js';
import { type AddressWords, addressWords, readAddress } from '../policy/network-list.js';
import { ANY_PORT, type Asked, DECISION, DEPENDS, decisionOf, RuleSet, ruleOf } from '../policy/rules.js';
import type { TlsPeers } from '../tls/peers.js';
import type { Connections } from './connect/connections.js';
import { REFUSED, type Refusals } from './refusals.js';
import type { AuthorizationSnapshot, ListenerSnapshot } from './snapshot.js';

/** No rule has decided, as the listener has none. */
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
  /** What they were made of. */
  readonly text: string;
}

/** What a tunnel was asked for, so that it can be asked again when the rules change. */
export interface Wanted {
  /** `epoch` of then. */
  readonly epoch: number;
  readonly bytes: Uint8Array;
  readonly asked: Asked;
}

export class Authorization {
  /** Some listener has rules. */
  active = false;
  /** What tunnels were asked for, by exchange. */
  readonly wanted = new Map<number, Wanted>();
  /** How often the rules have changed. */
  epoch = 0;
  private readonly listeners: (Listener | undefined)[] = new Array<Listener | undefined>(MAX_LISTENERS).fill(undefined);
  private readonly words: AddressWords = addressWords();
  // By client, what the rules say of its connection; of none as long as `known` is 0. The rest is as in RuleSet.
  private readonly known: Uint8Array;
  private readonly requests: Int32Array;
  private readonly bytes: Int32Array;
  private readonly low: Int32Array;
  private readonly high: Int32Array;
  private readonly fallback: Int32Array;
  // For whom it was found out.
  private readonly identity: Int32Array;
  private readonly destination: Int32Array;

  constructor(private readonly context: Shared) {
    const n = context.sockets.capacity;
    this.known = new Uint8Array(n);
    this.requests = new Int32Array(n);
    this.bytes = new Int32Array(n);
    this.low = new Int32Array(n);
    this.high = new Int32Array(n);
    this.fallback = new Int32Array(n);
    this.identity = new Int32Array(n);
    this.destination = new Int32Array(n);
  }

  /** Takes over new rules; true if any have changed. Those of listeners that are gone hold for the connections that they have left. */
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

  /** A client has come, from nobody knows yet whom: false if the rules let nobody in from there, which is noted. */
  admits(client: number): boolean {
    this.known[client] = 0;
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    // A header of the opaque transport may name another port.
    const port = listener.mesh ? ANY_PORT : this.portOf(client, listener);
    const code = listener.rules.forAnybody(port, this.addressOf(client, listener));
    return code === DEPENDS || this.judge(listener, code, client, -1, R.TCP_DENIED);
  }

  /** Whether bytes that nobody reads may go from `client` to `service`; noted. */
  permitsBytes(client: number, service: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    this.look(client, listener);
    const code = this.bytes[client];
    return this.judge(
      listener,
      code,
      client,
      service,
      decisionOf(code) === DECISION.DENY ? R.TCP_DENIED : R.TCP_ALLOWED,
    );
  }

  /** The same, of which nothing is noted. */
  wouldPermitBytes(client: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    this.look(client, listener);
    return decisionOf(this.bytes[client]) !== DECISION.DENY;
  }

  /** Whether `client` has to be asked what it wants before it is known what it may do. */
  dependsOnRequest(client: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return false;
    this.look(client, listener);
    return this.requests[client] === DEPENDS;
  }

  /** The code for a request of `client`; -1 where its listener has no rules. `asked` is looked at only if `dependsOnRequest`. */
  codeOf(client: number, bytes: Uint8Array, asked: Asked): number {
    const listener = this.listenerOf(client);
    if (listener === undefined) return NO_RULE;
    this.look(client, listener);
    if (this.requests[client] !== DEPENDS) return this.requests[client];
    return listener.rules.forRequest(this.low[client], this.high[client], this.fallback[client], bytes, asked);
  }

  /** Notes a request for which `codeOf` has given `code`; false if it is refused. */
  judgeRequest(client: number, service: number, code: number): boolean {
    const listener = this.listenerOf(client);
    if (listener === undefined) return true;
    return this.judge(
      listener,
      code,
      client,
      service,
      decisionOf(code) === DECISION.DENY ? R.HTTP_DENIED : R.HTTP_ALLOWED,
    );
  }

  /** Notes that a connection was ended because of `code`. */
  terminated(client: number, code: number): void {
    const listener = this.listenerOf(client);
    if (listener === undefined) return;
    this.context.values[listener.base[ruleOf(code)] + R.TERMINATED]++;
  }

  /** The code for bytes of `client`, of which nothing is noted. */
  codeOfBytes(client: number): number {
    const listener = this.listenerOf(client);
    if (listener === undefined) return NO_RULE;
    this.look(client, listener);
    return this.bytes[client];
  }

  /** Name of the rule that decides of bytes of `client`; '' where there are none. */
  ruleOfBytes(client: number): string {
    return this.ruleName(client, this.codeOfBytes(client));
  }

  /** The exchange is no tunnel, or none any more. */
  forget(exchange: number): void {
    if (this.wanted.size > 0) this.wanted.delete(exchange);
  }

  /** Name of the rule of a code; '' where none has decided. */
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

  /** Finds out what the rules say of the connection of `client`, unless that is known. */
  private look(client: number, listener: Listener): void {
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

  private judge({ base, names }: Listener, code: number, client: number, service: number, field: number): boolean {
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
