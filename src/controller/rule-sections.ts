// A mesh's authorization rules in one ConfigMap: an `authorization` section for everybody, for a namespace, or for an account.
import { readAuthorization } from '../config/authorization-text.js';
import { ConfigError, formatProblem } from '../config/problem.js';

/** The key for workloads without a more specific one. No namespace can have this name. */
export const DEFAULT_KEY = '_default';

/** What applies to a workload. */
export interface AccountRules {
  /** Its key in the ConfigMap. */
  readonly key: string;
  /** The section, as JSON. */
  readonly json: string;
}

export interface RuleProblem {
  readonly key: string;
  /** All its problems, one per line. */
  readonly message: string;
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** A namespace, or a namespace and an account, whose name may contain dots. */
const KEY = new RegExp(`^${LABEL}(?:\\.${LABEL}(?:\\.${LABEL})*)?$`);

export class RuleSections {
  #sections: ReadonlyMap<string, Section> = new Map();

  /**
   * Applies the ConfigMap's current content; null if there is none. An invalid section is ignored, and its last valid version stays in
   * force: somebody who mistypes a rule does not mean to open everything. Returns the problems.
   */
  update(file: string, data: Readonly<Record<string, unknown>> | null): RuleProblem[] {
    const problems: RuleProblem[] = [];
    const sections = new Map<string, Section>();
    for (const [key, text] of Object.entries(data ?? {})) {
      const before = this.#sections.get(key);
      // In a map with a thousand namespaces, only changed sections are parsed.
      const read = before !== undefined && before.text === text ? before : section(`${file} ${key}`, key, text);
      if (typeof read !== 'string') sections.set(key, read);
      else {
        problems.push({ key, message: read });
        if (before !== undefined) sections.set(key, before);
      }
    }
    this.#sections = sections;
    return problems;
  }

  /** What applies to an account's workloads: the most specific key. Null if nothing does. */
  of(namespace: string, account: string): AccountRules | null {
    for (const key of [`${namespace}.${account}`, namespace, DEFAULT_KEY]) {
      const found = this.#sections.get(key);
      if (found !== undefined) return { key, json: found.json };
    }
    return null;
  }
}

interface Section {
  readonly text: string;
  readonly json: string;
}

/** A section, or its problem. */
function section(file: string, key: string, text: unknown): Section | string {
  if (key !== DEFAULT_KEY && !KEY.test(key))
    return `names nobody; write ${DEFAULT_KEY}, a namespace, or a namespace, a dot and a service account`;
  if (typeof text !== 'string') return 'is not a string';
  try {
    return { text, json: JSON.stringify(readAuthorization(file, text)) };
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(formatProblem).join('\n');
    throw error;
  }
}
