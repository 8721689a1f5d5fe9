// Who may do what in a mesh, as one ConfigMap says: a section `authorization` for everybody, for a namespace, or for an account.
import { readAuthorization } from '../config/authorization-text.js';
import { ConfigError, formatProblem } from '../config/problem.js';

/** The key that holds of workloads for which no other does. No namespace can have this name. */
export const DEFAULT_KEY = '_default';

/** What holds of a workload. */
export interface Ruling {
  /** The key that it is from. */
  readonly key: string;
  /** The section, as JSON. */
  readonly json: string;
}

export interface RuleBookProblem {
  readonly key: string;
  /** All that is wrong with it, a line each. */
  readonly message: string;
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** A namespace, or a namespace and an account, whose name may have dots. */
const KEY = new RegExp(`^${LABEL}(?:\\.${LABEL}(?:\\.${LABEL})*)?$`);

export class RuleBook {
  #sections: ReadonlyMap<string, Section> = new Map();

  /**
   * Takes what the ConfigMap says now; null where there is none. A section with mistakes is left out, and what it said before goes on to
   * hold, as somebody who mistypes a rule does not mean to open everything. Returns what is wrong.
   */
  update(file: string, data: Readonly<Record<string, unknown>> | null): RuleBookProblem[] {
    const problems: RuleBookProblem[] = [];
    const sections = new Map<string, Section>();
    for (const [key, text] of Object.entries(data ?? {})) {
      const before = this.#sections.get(key);
      // A map with a thousand namespaces is not read anew for a change in one.
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

  /** What holds of the workloads of an account: the closest key. Null where nothing does. */
  of(namespace: string, account: string): Ruling | null {
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

/** A section, or what is wrong with it. */
function section(file: string, key: string, text: unknown): Section | string {
  if (key !== DEFAULT_KEY && !KEY.test(key))
    return `names nobody; write ${DEFAULT_KEY}, a namespace, or a namespace, a dot and a service account`;
  if (typeof text !== 'string') return 'is no text';
  try {
    return { text, json: JSON.stringify(readAuthorization(file, text)) };
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(formatProblem).join('\n');
    throw error;
  }
}
