// Kubernetes events on the objects concerned: what an operator sees with `kubectl describe` and `kubectl get events`. Repeated only once in
// a while, however often something happens and in however many replicas; nobody waits for them.
import { createHash } from 'node:crypto';
import { isNamespaceName } from '../kubernetes/names.js';
import type { Objects } from './objects.js';

export interface EventObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Empty if unknown. */
  readonly uid: string;
}

export interface ObjectEvent {
  readonly object: EventObject;
  readonly type: 'Normal' | 'Warning';
  /** In one word, for programs. */
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

/** The same event on the same object is repeated after this time. */
const REPEAT_MS = 600_000;
const MAX_REMEMBERED = 1000;
const MAX_WAITING = 100;
/** Share of the API server's budget: a burst, and then this many per second. */
const BURST = 25;
const RATE = 2;
/** The API server's limit. */
const MAX_MESSAGE_LENGTH = 1024;
const MAX_NAME_LENGTH = 253;

export class Events {
  /** When each was written, by key, in order of time. */
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
    else if (this.#waiting.length >= MAX_WAITING || !this.#affordable(now)) this.deps.done('dropped');
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
      if (this.#told.size <= MAX_REMEMBERED) break;
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

  /** One after another: a slow API server gets one at a time. */
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
        // Only a metric shows this: nothing depends on events. The next occurrence is tried again.
        this.#told.delete(key);
        this.deps.done('failed');
      }
    }
    this.#sending = false;
  }

  #written(key: string, { object, type, reason, message }: ObjectEvent): object {
    const { uid, namespace, ...whom } = object;
    const at = new Date(this.deps.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    // The same event on the same object has the same name: while it exists, Kubernetes accepts no other.
    const suffix = `.${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: object.name.slice(0, MAX_NAME_LENGTH - suffix.length) + suffix, namespace },
      // A namespace is not in a namespace.
      involvedObject: { ...whom, ...(whom.kind === 'Namespace' ? {} : { namespace }), ...(uid === '' ? {} : { uid }) },
      type,
      reason,
      message: message.slice(0, MAX_MESSAGE_LENGTH),
      source: { component: this.component },
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
    };
  }
}
