// The mesh's authorization rules from their ConfigMap, for those who want to know what applies to an account. One object by name, so no
// other ConfigMap has to be readable.
import type { Watch } from '../discovery/source.js';
import type { Logger } from '../log/logger.js';
import type { Component } from './component.js';
import type { Objects } from './objects.js';
import { type AccountRules, RuleSections } from './rule-sections.js';

export const RULES_NAME = 'sluice-authorization';

export interface MeshRulesDeps {
  readonly objects: Pick<Objects, 'get'>;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Where the ConfigMap is. */
  readonly namespace: string;
  readonly pollMs: number;
  /** Called after each check: whether it could be read, and the number of invalid keys. */
  readonly looked: (ok: boolean, wrong: number) => void;
}

interface Listener {
  readonly namespace: string;
  readonly account: string;
  readonly report: (rules: AccountRules | null) => void;
  told: string | null;
}

/** Rulings with equal text are the same for a client. */
const textOf = (rules: AccountRules | null): string => (rules === null ? '' : `${rules.key} ${rules.json}`);

export class MeshRules implements Component {
  readonly name = 'rules';
  readonly #sections = new RuleSections();
  readonly #listeners = new Set<Listener>();
  #version: string | null = null;
  #known = false;
  #wrong = 0;
  #problem: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;

  constructor(private readonly deps: MeshRulesDeps) {}

  /** The current problem; null: none. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Resolves after the first check: clients then get an answer, or wait for an unreadable ConfigMap. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.look(), this.deps.pollMs);
    await this.look();
  }

  async close(): Promise<boolean> {
    if (this.#timer !== null) clearInterval(this.#timer);
    return true;
  }

  /** Proxies must find their way, whatever is wrong with the rules. */
  unready(): null {
    return null;
  }

  /** Reports what applies to the account, once known and whenever it changes; null: nothing does. */
  watch(namespace: string, account: string, report: (rules: AccountRules | null) => void): Watch {
    const listener: Listener = { namespace, account, report, told: null };
    this.#listeners.add(listener);
    if (this.#known) this.#tell(listener);
    return { stop: () => this.#listeners.delete(listener) };
  }

  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { objects, logger, namespace, looked } = this.deps;
    const file = `ConfigMap ${namespace}/${RULES_NAME}`;
    let found: Awaited<ReturnType<typeof objects.get>>;
    try {
      found = await objects.get(`/api/v1/namespaces/${namespace}/configmaps/${RULES_NAME}`);
    } catch (error) {
      looked(false, this.#wrong);
      this.#say(
        `${file} can't be read; its previous rules stay in force: ${error instanceof Error ? error.message : error}`,
      );
      return;
    }
    const version = found === null ? '' : (found.metadata.resourceVersion ?? '');
    if (!this.#known || version !== this.#version) {
      const problems = this.#sections.update(file, dataOf(found?.data));
      this.#wrong = problems.length;
      this.#version = version;
      this.#known = true;
      const wrong = problems.map(({ key, message }) => `${key}: ${message}`).join('\n');
      if (wrong !== '')
        this.#say(`${file}: sections with mistakes are ignored; their previous rules stay in force\n${wrong}`);
      else {
        this.#problem = null;
        logger.info('rules of the mesh read', { rules: found === null ? 'none' : file });
      }
      for (const listener of [...this.#listeners]) this.#tell(listener);
    } else if (this.#wrong === 0) this.#problem = null;
    looked(true, this.#wrong);
  }

  #tell(listener: Listener): void {
    const rules = this.#sections.of(listener.namespace, listener.account);
    const text = textOf(rules);
    if (listener.told === text) return;
    listener.told = text;
    listener.report(rules);
  }

  #say(problem: string): void {
    if (problem !== this.#problem) this.deps.logger.warn(problem);
    this.#problem = problem;
  }
}

const dataOf = (data: unknown): Readonly<Record<string, unknown>> | null =>
  typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as Record<string, unknown>) : null;
