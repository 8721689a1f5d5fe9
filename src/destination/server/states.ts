// States of topics, and the messages that bring a stream to them. A message is encoded once for all streams that go from one state to
// another.
import { addressBits } from '../../config/addresses.js';
import { type Endpoint, sameEndpoint } from '../../discovery/endpoint.js';
import { encodeEndpoint } from '../endpoint-message.js';
import type { ProfileUpdate } from '../lookup.js';
import { encodeAdd, encodeProfile, encodeUpdate } from '../messages.js';
import { framed } from './grpc-call.js';

export interface State {
  /** Framed messages from `before`, or from nothing, to this state; null: it is already here. */
  since(before: State | null): Buffer | null;
}

/** Maximum size of a message, except for one endpoint more: gRPC clients accept 4 MiB by default. */
const MAX_MESSAGE = 1 << 20;

const keyOf = ({ address }: Endpoint): string => `${address.host} ${address.port}`;

export class EndpointsState implements State {
  /** Useful while many ask at once; later encoded again. */
  #all: WeakRef<Buffer> | null = null;
  #differences: WeakMap<State, Buffer> | null = null;

  /** null: there is no such Service. */
  constructor(
    readonly endpoints: readonly Endpoint[] | null,
    private readonly encoded: () => void,
  ) {}

  since(before: State | null): Buffer | null {
    if (before === this) return null;
    const from = before instanceof EndpointsState ? before.endpoints : null;
    // Nothing of the previous state remains.
    if (
      before === null ||
      from === null ||
      from.length === 0 ||
      this.endpoints === null ||
      this.endpoints.length === 0
    ) {
      if (before !== null && sameKnowledge(from, this.endpoints)) return null;
      const known = this.#all?.deref();
      if (known !== undefined) return known;
      const all = this.#encode(full(this.endpoints));
      this.#all = new WeakRef(all);
      return all;
    }
    this.#differences ??= new WeakMap();
    let difference = this.#differences.get(before);
    if (difference === undefined) {
      difference = this.#encode(changes(from, this.endpoints));
      this.#differences.set(before, difference);
    }
    return difference.length === 0 ? null : difference;
  }

  #encode(messages: readonly Buffer[]): Buffer {
    this.encoded();
    return framed(messages);
  }
}

/** Whether both say the same without naming an endpoint: no endpoints, or no such Service. */
const sameKnowledge = (a: readonly Endpoint[] | null, b: readonly Endpoint[] | null): boolean =>
  a === b || (a !== null && b !== null && a.length === 0 && b.length === 0);

function full(endpoints: readonly Endpoint[] | null): readonly Buffer[] {
  if (endpoints === null) return [encodeUpdate({ kind: 'none', exists: false })];
  const messages = adds(endpoints);
  return messages.length === 0 ? [encodeUpdate({ kind: 'none', exists: true })] : messages;
}

/** In as many messages as necessary. */
function adds(endpoints: readonly Endpoint[]): readonly Buffer[] {
  const messages: Buffer[] = [];
  let waiting: Buffer[] = [];
  let octets = 0;
  for (const endpoint of endpoints) {
    if (addressBits(endpoint.address.host) === null) continue;
    const encoded = encodeEndpoint(endpoint);
    if (octets + encoded.length > MAX_MESSAGE) {
      messages.push(encodeAdd(waiting));
      waiting = [];
      octets = 0;
    }
    waiting.push(encoded);
    octets += encoded.length;
  }
  if (waiting.length > 0) messages.push(encodeAdd(waiting));
  return messages;
}

/** Additions come first, so that a stream is never without endpoints in between. */
function changes(before: readonly Endpoint[], after: readonly Endpoint[]): readonly Buffer[] {
  const kept = new Set(after);
  const gone = new Map(before.filter((endpoint) => !kept.has(endpoint)).map((endpoint) => [keyOf(endpoint), endpoint]));
  const known = new Set(before);
  const added = after.filter((endpoint) => {
    if (known.has(endpoint)) return false;
    const key = keyOf(endpoint);
    const old = gone.get(key);
    gone.delete(key);
    return old === undefined || !sameEndpoint(old, endpoint);
  });
  const removed = [...gone.values()].map(({ address }) => address).filter(({ host }) => addressBits(host) !== null);
  return [...adds(added), ...(removed.length === 0 ? [] : [encodeUpdate({ kind: 'remove', addresses: removed })])];
}

export class ProfileState implements State {
  readonly #message: Buffer;

  constructor(update: ProfileUpdate) {
    this.#message = framed([encodeProfile(update)]);
  }

  since(before: State | null): Buffer | null {
    return before instanceof ProfileState && before.#message.equals(this.#message) ? null : this.#message;
  }
}
