// Events of Kubernetes on the objects that they are about: what an operator sees with `kubectl describe` and `kubectl get events`. Told
// once in a while, however often it happens and by however many replicas, and never waited for.
import { createHash } from 'node:crypto';
import { isNamespaceName } from '../kubernetes/names.js';
import type { Objects } from './objects.js';

export interface EventObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Empty where it is not known. */
  readonly uid: string;
}

export interface ObjectEvent {
  readonly object: EventObject;
  readonly type: 'Normal' | 'Warning';
  /** In one word, for machines. */
  readonly reason: string;
  readonly message: string;
}

export const EVENT_RESULTS = ['written', 'repeated', 'dropped', 'failed'] as const;
export type EventResult = (typeof EVENT_RESULTS)[number];

export interface EventsDeps {
  readonly objects: Pick<Objects, 'create'>;
  readonly now: () => number;
  readonly done: (result: EventResult) => void;
}

/** The same of the same object is told once in this time. */
const REPEAT_MS = 600_000;
const MOST_REMEMBERED = 1000;
const MOST_WAITING = 100;
/** Of the API server's budget: this many at once, and then so many in a second. */
const BURST = 25;
const RATE = 2;
/** The API server takes no more. */
const MOST_MESSAGE = 1024;
const MOST_NAME = 253;

export class Events {
  /** When it was told, by what; in the order of these times. */
  readonly #told = new Map<string, number>();
  readonly #waiting: { readonly key: string; readonly event: ObjectEvent }[] = [];
  #tokens = BURST;
  #filledMs: number;
  #sending = false;

  constructor(
    private readonly component: string,
    private readonly deps: EventsDeps,
  ) {
    this.#filledMs = deps.now();
  }

  tell(event: ObjectEvent): void {
    const { kind, namespace, name, uid } = event.object;
    const key = [kind, namespace, name, uid, event.reason, event.message].join('\n');
    const now = this.deps.now();
    const before = this.#told.get(key);
    if (before !== undefined && now - before < REPEAT_MS) this.deps.done('repeated');
    else if (!isNamespaceName(namespace)) this.deps.done('dropped');
    else if (this.#waiting.length >= MOST_WAITING || !this.#affordable(now)) this.deps.done('dropped');
    else {
      this.#remember(key, now);
      this.#waiting.push({ key, event });
      if (!this.#sending) void this.#send();
    }
  }

  #remember(key: string, now: number): void {
    this.#told.delete(key);
    this.#told.set(key, now);
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MOST_REMEMBERED) break;
      this.#told.delete(oldest);
    }
  }

  #affordable(now: number): boolean {
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledMs) / 1000) * RATE);
    this.#filledMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** One after another: an API server that is slow gets no more than one at a time. */
  async #send(): Promise<void> {
    this.#sending = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { key, event } = next;
      const { namespace } = event.object;
      try {
        const made = await this.deps.objects.create(
          `/api/v1/namespaces/${namespace}/events`,
          this.#written(key, event),
        );
        this.deps.done(made ? 'written' : 'repeated');
      } catch {
        // Nobody is told of this but by the metric: what events are for goes on without them. The next time it is tried again.
        this.#told.delete(key);
        this.deps.done('failed');
      }
    }
    this.#sending = false;
  }

  #written(key: string, { object, type, reason, message }: ObjectEvent): object {
    const { uid, namespace, ...whom } = object;
    const at = new Date(this.deps.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    // The same of the same object has one name: while one is there, Kubernetes takes no other.
    const suffix = `.${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: object.name.slice(0, MOST_NAME - suffix.length) + suffix, namespace },
      // A namespace is in none.
      involvedObject: { ...whom, ...(whom.kind === 'Namespace' ? {} : { namespace }), ...(uid === '' ? {} : { uid }) },
      type,
      reason,
      message: message.slice(0, MOST_MESSAGE),
      source: { component: this.component },
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
    };
  }
}
