// Rules of a mesh that a test makes up.
import type { RulesMessage } from '../../src/destination/rules-message.js';
import type { Rules } from '../../src/destination/server/rules.js';
import type { Watch } from '../../src/discovery/source.js';

const keyOf = (namespace: string, account: string): string => `${namespace} ${account}`;

export class MadeUpRules implements Rules {
  readonly #rulings = new Map<string, RulesMessage | null>();
  readonly #watches = new Map<string, Set<(ruling: RulesMessage | null) => void>>();

  rule(namespace: string, account: string, ruling: RulesMessage | null): void {
    const key = keyOf(namespace, account);
    this.#rulings.set(key, ruling);
    for (const report of this.#watches.get(key) ?? []) report(ruling);
  }

  watch(namespace: string, account: string, report: (ruling: RulesMessage | null) => void): Watch {
    const key = keyOf(namespace, account);
    const reports = this.#watches.get(key) ?? new Set();
    this.#watches.set(key, reports.add(report));
    report(this.#rulings.get(key) ?? null);
    return { stop: () => reports.delete(report) };
  }
}
