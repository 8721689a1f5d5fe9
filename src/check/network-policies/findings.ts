// Findings, once per field: the workloads concerned are named together.
import type { ObjectFinding } from '../finding.js';
import type { Policy } from './policy.js';
import type { Workload } from './workloads.js';

const MAX_NAMES = 4;

/** `a, b and 3 more` */
export function names(texts: readonly string[]): string {
  if (texts.length <= MAX_NAMES) return texts.join(', ');
  return `${texts.slice(0, MAX_NAMES).join(', ')} and ${texts.length - MAX_NAMES} more`;
}

interface Open extends Omit<ObjectFinding, 'message'> {
  readonly message: string;
  readonly workloads: Set<string>;
}

export class Findings {
  readonly #found = new Map<string, Open>();

  /** The word WORKLOADS in `message` is replaced by their names. */
  add(
    { text: object, source }: Policy,
    path: string,
    message: string,
    add: string,
    severity: ObjectFinding['severity'],
    { text }: Workload,
  ): void {
    const key = JSON.stringify([source, object, path, message, severity]);
    const open = this.#found.get(key) ?? { object, source, path, message, add, severity, workloads: new Set() };
    open.workloads.add(text);
    this.#found.set(key, open);
  }

  /** Errors first. */
  list(): ObjectFinding[] {
    const all = [...this.#found.values()].map(({ workloads, message, ...rest }) => ({
      ...rest,
      message: message.replaceAll('WORKLOADS', names([...workloads])),
    }));
    return [
      ...all.filter(({ severity }) => severity === 'error'),
      ...all.filter(({ severity }) => severity === 'hint'),
    ];
  }
}
