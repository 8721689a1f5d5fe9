// The trust anchors for API servers that call the webhook: kept in its configuration while the controller runs, even if somebody overwrites
// them.
import type { Logger } from '../log/logger.js';
import type { Objects, StoredObject } from './objects.js';

export const WEBHOOK_CONFIGURATION = 'sluice-injector';
const PATH = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${WEBHOOK_CONFIGURATION}`;

export const BUNDLE_RESULTS = ['patched', 'failed'] as const;
export type BundleResult = (typeof BUNDLE_RESULTS)[number];

export interface CaBundleDeps {
  readonly objects: Pick<Objects, 'get' | 'patch'>;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** PEM. */
  readonly anchors: () => string;
  readonly done: (result: BundleResult) => void;
}

export class CaBundle {
  #settled = false;
  #problem: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looks = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(private readonly deps: CaBundleDeps) {}

  /** Whether it has been right once, or there is nowhere to write it. */
  get settled(): boolean {
    return this.#settled;
  }

  get problem(): string | null {
    return this.#problem;
  }

  start(pollMs: number): void {
    this.#timer = setInterval(() => {
      if (this.#looks === 0) void this.look();
    }, pollMs);
    void this.look();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** A check that starts after this call, and after those already in progress. */
  look(): Promise<void> {
    this.#looks++;
    this.#last = this.#last
      .then(() => this.#look())
      .catch((error: unknown) => {
        this.deps.done('failed');
        this.#say(`the webhook's caBundle cannot be checked: ${error instanceof Error ? error.message : error}`);
      })
      .finally(() => {
        this.#looks--;
      });
    return this.#last;
  }

  async #look(): Promise<void> {
    const { objects, logger, done } = this.deps;
    const found = await objects.get(PATH);
    if (found === null) {
      this.#settled = true;
      this.#say(`MutatingWebhookConfiguration ${WEBHOOK_CONFIGURATION} does not exist: no pod is injected`);
      return;
    }
    const caBundle = Buffer.from(this.deps.anchors()).toString('base64');
    const names = namesOf(found, caBundle);
    if (names.length > 0) {
      const webhooks = names.map((name) => ({ name, clientConfig: { caBundle } }));
      await objects.patch(PATH, { webhooks });
      done('patched');
      logger.info('caBundle of the webhook written', { configuration: WEBHOOK_CONFIGURATION, webhooks: names });
    }
    this.#settled = true;
    this.#problem = null;
  }

  #say(problem: string): void {
    if (problem !== this.#problem) this.deps.logger.warn(problem);
    this.#problem = problem;
  }
}

interface WebhookEntry {
  readonly name?: unknown;
  readonly clientConfig?: { readonly caBundle?: unknown };
}

/** Webhooks with a different caBundle. */
function namesOf({ webhooks }: StoredObject, caBundle: string): string[] {
  const entries = Array.isArray(webhooks) ? (webhooks as readonly WebhookEntry[]) : [];
  return entries
    .filter(({ clientConfig }) => clientConfig?.caBundle !== caBundle)
    .flatMap(({ name }) => (typeof name === 'string' ? [name] : []));
}
