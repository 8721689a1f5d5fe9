// Answers the workers' questions about original destinations: with the service that somebody names for an address, or with the address
// itself.
import type { Config, ListenerConfig, ServiceConfig } from '../config/model.js';
import { addressText } from '../discovery/text.js';
import { REASONS, VERDICTS } from '../metrics/layout.js';
import { MatchTable } from '../policy/match-table.js';
import { type Decision, decide, raceTo } from '../policy/policy.js';
import { type DestinationSnapshot, type FromWorker, MODE, type ToWorker } from '../proxy/snapshot.js';

export type ResolveRequest = Extract<FromWorker, { kind: 'resolve' }>;

/** A source of knowledge about addresses. */
export interface DestinationResolver {
  /** The service for connections to `host` (numeric) and `port`; null if unknown. `holder`: who asks, until it is forgotten. */
  resolve(host: string, port: number, holder: string): Promise<ServiceConfig | null>;
}

/** The name of a worker's listener as the holder of an answer. */
export const holderOf = (worker: number, listener: number): string => `${workerPrefix(worker)}${listener}`;
export const workerPrefix = (worker: number): string => `${worker}|`;

export interface DestinationsDeps {
  readonly logger: { warn(message: string, fields?: Record<string, unknown>): void };
  /** Asked about outbound connections, in order, after the configuration's `match`; the first one that knows decides. */
  readonly resolvers: readonly DestinationResolver[];
  /** The listener of a slot; undefined once it is gone. */
  listener(slot: number): ListenerConfig | undefined;
  /** Undefined if there is none (any more). */
  serviceSlot(name: string): number | undefined;
  send(worker: number, message: ToWorker): void;
}

interface Answer {
  /** Null: unknown. */
  readonly service: ServiceConfig | null;
  /** It is not in the configuration. */
  readonly discovered: boolean;
}

const NOWHERE: Answer = { service: null, discovered: false };

const MODES: Readonly<Record<Decision['protocol'], number>> = {
  detect: MODE.DETECT,
  http1: MODE.HTTP1,
  http2: MODE.HTTP2,
  opaque: MODE.OPAQUE,
};

export class OriginalDestinations {
  #config: Config;
  #matches: MatchTable;
  /** Counts configurations: answers from an old one are discarded. */
  #generation = 0;
  /** Counts the lives of each worker: a new one does not get answers to its predecessor's questions. */
  readonly #lives: number[] = [];
  /** The last resolver failure that was logged. */
  #complaint = '';

  constructor(
    config: Config,
    private readonly deps: DestinationsDeps,
  ) {
    this.#config = config;
    this.#matches = new MatchTable(config.services);
  }

  /** Applies a new configuration. Workers must be told `unresolved` after it. */
  configure(config: Config): void {
    this.#config = config;
    this.#matches = new MatchTable(config.services);
    this.#generation++;
  }

  died(worker: number): void {
    this.#lives[worker] = this.#life(worker) + 1;
  }

  /** Answers with a `resolved` message. Never rejects. */
  async resolve(worker: number, { id, listener, host, port }: ResolveRequest): Promise<void> {
    const life = this.#life(worker);
    let generation: number;
    let answer: Answer;
    do {
      generation = this.#generation;
      answer = await this.#ask(worker, listener, host, port);
    } while (generation !== this.#generation);
    if (life !== this.#life(worker)) return;
    const config = this.deps.listener(listener);
    if (config === undefined) return;
    this.deps.send(worker, { kind: 'resolved', id, destination: this.#destination(config, port, answer) });
  }

  #life(worker: number): number {
    return this.#lives[worker] ?? 0;
  }

  async #ask(worker: number, listener: number, host: string, port: number): Promise<Answer> {
    const match = this.#matches.lookup(host, port);
    if (match !== null) return { service: match.service, discovered: false };
    // Inbound traffic is for the application on this machine.
    if (this.deps.listener(listener)?.direction !== 'outbound') return NOWHERE;
    for (const resolver of this.deps.resolvers) {
      try {
        const service = await resolver.resolve(host, port, holderOf(worker, listener));
        if (service !== null) return { service, discovered: true };
      } catch (error) {
        this.#warn(host, port, error);
      }
    }
    return NOWHERE;
  }

  #warn(host: string, port: number, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason === this.#complaint) return;
    this.#complaint = reason;
    this.deps.logger.warn('a destination could not be looked up; its connections go to the address itself', {
      destination: addressText({ host, port }),
      reason,
    });
  }

  #destination(listener: ListenerConfig, port: number, answer: Answer): DestinationSnapshot {
    const slot = answer.service === null ? undefined : this.deps.serviceSlot(answer.service.name);
    const { service, discovered } = slot === undefined ? NOWHERE : answer;
    const { protocol, reason } = decide(this.#config, listener, { port, service, discovered });
    return {
      mode: MODES[protocol],
      reason: reason === null ? 0 : REASONS.indexOf(reason),
      services: slot === undefined ? null : VERDICTS.map(() => slot),
      raceMs: protocol === 'detect' ? (raceTo(listener, service).delayMs ?? -1) : -1,
      timeoutMs: listener.detect.timeoutMs,
      learnTtlMs: listener.detect.learnTtlMs,
    };
  }
}
