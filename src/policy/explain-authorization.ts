// Explains in sentences what a listener's rules would do with a client.
import { addressBits } from '../config/addresses.js';
import { type AuthorizationConfig, DEFAULT_RULE } from '../config/authorization-model.js';
import type { ListenerConfig } from '../config/model.js';
import { addressWords, readAddress } from './network-list.js';
import { DECISION, DEPENDS, decisionOf, RuleSet, ruleOf } from './rules.js';

/** The hypothetical client. */
export interface Client {
  /** Numeric address; null if not given. */
  readonly from: string | null;
  /** Name in a verified certificate; null for none. */
  readonly identity: string | null;
}

export const ANY_CLIENT: Client = { from: null, identity: null };

const WORDS: Readonly<Record<number, string>> = {
  [DECISION.ALLOW]: 'allowed',
  [DECISION.DENY]: 'denied',
  [DECISION.AUDIT]: 'allowed, and told of in the log',
};

/** `port`: the client's destination port. */
export function authorizationSteps({ authorization }: ListenerConfig, port: number, client: Client): string[] {
  if (authorization === null) return [];
  const { rules, default: policy } = authorization;
  const names = rules.map(({ name }) => name).join(', ');
  const order =
    rules.length === 0
      ? `there are no rules, so default: ${policy} decides`
      : `${names} are tried in order, then default: ${policy}`;
  const steps = [`Who may do what is authorized: ${order}.`];
  if (client.from === null && client.identity === null)
    return [...steps, 'For a client at an address, or with an identity: ask with --from ADDRESS, --identity NAME.'];
  return [...steps, verdict(authorization, port, client)];
}

function verdict(authorization: AuthorizationConfig, port: number, { from, identity }: Client): string {
  const set = new RuleSet(authorization);
  const words = addressWords();
  const known = from !== null && readAddress(addressBits(from)?.family === 6 ? `[${from}]:0` : `${from}:0`, words);
  const address = known ? words : null;
  const who = `A client ${from === null ? 'from nobody knows where' : `from ${from}`} ${identity === null ? 'without an identity' : `with the identity ${identity}`}`;
  const outright = set.forAnybody(port, address);
  if (outright !== DEPENDS) return `${who} is refused as soon as it connects, ${by(authorization, outright)}.`;
  set.connection(port, address, identity === null ? [] : [identity]);
  const requests = set.forRequests();
  const bytes = set.forBytes();
  const asked =
    requests === DEPENDS
      ? `its requests are decided by method and path (${set
          .candidates()
          .map((rule) => nameOf(authorization, rule))
          .join(', ')})`
      : `its requests are ${WORDS[decisionOf(requests)]}, ${by(authorization, requests)}`;
  return `${who}: ${asked}; what is not read is ${WORDS[decisionOf(bytes)]}, ${by(authorization, bytes)}.`;
}

const nameOf = ({ rules }: AuthorizationConfig, rule: number): string => rules[rule]?.name ?? DEFAULT_RULE;

const by = (authorization: AuthorizationConfig, code: number): string =>
  ruleOf(code) === authorization.rules.length
    ? `by default: ${authorization.default}`
    : `by rule ${nameOf(authorization, ruleOf(code))}`;
