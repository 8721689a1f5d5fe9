// Assembles the messages of a `Get`. Messages that arrive together are reported together.
import type { EndpointsUpdate } from '../lookup.js';
import { decodeUpdate } from '../messages.js';
import { KnownEndpoints } from './known-endpoints.js';
import type { SubscriptionEvents } from './subscription.js';
import { validateEndpoints } from './validate.js';

/** How long the first message of a reopened stream waits for the ones that belong to it, ms. */
const SETTLE_MS = 20;

export class EndpointsWatch implements SubscriptionEvents {
  readonly #known: KnownEndpoints;
  /** Something has been reported before. */
  #told = false;
  #exists = true;
  #soon: NodeJS.Immediate | null = null;
  #settling: NodeJS.Timeout | null = null;

  constructor(
    max: number,
    private readonly report: (update: EndpointsUpdate) => void,
    /** Gets the number of endpoints without room. */
    private readonly refused: (count: number) => void,
  ) {
    this.#known = new KnownEndpoints(max);
  }

  stop(): void {
    if (this.#soon !== null) clearImmediate(this.#soon);
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#soon = null;
    this.#settling = null;
  }

  opened(): void {
    // The previous stream's last content is reported before it is replaced.
    if (this.#soon !== null || this.#settling !== null) this.#tell();
    this.#known.begin();
  }

  /** A partial initial state is less than what was known before. */
  closed(): void {
    if (this.#settling === null) return;
    this.stop();
    this.#known.giveUp();
  }

  message(octets: Buffer): void {
    const update = decodeUpdate(octets);
    switch (update.kind) {
      case 'add': {
        validateEndpoints(update.endpoints);
        const refused = this.#known.add(update.endpoints);
        if (refused > 0) this.refused(refused);
        this.#exists = true;
        break;
      }
      case 'remove':
        this.#known.remove(update.addresses);
        break;
      case 'none':
        this.#known.clear();
        this.#exists = update.exists;
        break;
      case 'other':
        return;
    }
    if (this.#known.beginning && this.#told) this.#settling ??= setTimeout(() => this.#tell(), SETTLE_MS);
    else this.#soon ??= setImmediate(() => this.#tell());
  }

  unknown(): void {
    this.#known.begin();
    this.#exists = false;
    this.#tell();
  }

  #tell(): void {
    this.stop();
    this.#known.settle();
    this.#told = true;
    this.report(this.#exists ? { kind: 'endpoints', endpoints: this.#known.list() } : { kind: 'unknown' });
  }
}
