// Explains where a connection goes, by the current state of this process.
import type { Config, ListenerConfig } from '../config/model.js';
import { ADDRESS_WORDS, addressKey, destinationKey, type ServerFirstTable } from '../detect/server-first-table.js';
import { native } from '../io/native.js';
import { type Explanation, explain, type LiveState } from '../policy/explain.js';
import type { Client } from '../policy/explain-authorization.js';

export interface ExplainerDeps extends Required<Pick<LiveState, 'endpoints' | 'discovered'>> {
  readonly learned: ServerFirstTable;
  config(): Config;
  listenerSlot(listener: ListenerConfig): number;
  serviceSlot(name: string): number;
}

export class Explainer {
  constructor(private readonly deps: ExplainerDeps) {}

  explain(host: string, port: number, through: string | null, client: Client): Explanation {
    const { deps } = this;
    const config = deps.config();
    const live: LiveState = {
      learned: (name) => {
        const listener = config.listeners.find((candidate) => candidate.name === name);
        if (listener === undefined) return false;
        const key = this.#learnKey(listener, host, port);
        return key !== 0 && deps.learned.has(key, Date.now() / 1000);
      },
      endpoints: (service) => deps.endpoints(service),
      discovered: (at, on) => deps.discovered(at, on),
    };
    return explain(config, host, port, live, through, client);
  }

  /** The key under which workers learn about an address; 0 if the listener refuses opaque traffic. */
  #learnKey(listener: ListenerConfig, host: string, port: number): number {
    const slot = this.deps.listenerSlot(listener);
    if (listener.originalDestination) {
      const words = new Int32Array(ADDRESS_WORDS);
      native().sockaddr(host, port, new Uint8Array(words.buffer), 0);
      return addressKey(slot, words);
    }
    const { opaque } = listener.services;
    return opaque === null ? 0 : destinationKey(slot, this.deps.serviceSlot(opaque));
  }
}
