// A problem whose place in the file is not known yet.
import type * as v from 'valibot';
import type { KeyPath } from './problem.js';

export interface Finding {
  readonly path: KeyPath;
  readonly message: string;
  readonly at: 'key' | 'value';
}

/** Converts the schema's issues to findings. */
export function schemaFindings(issues: readonly v.BaseIssue<unknown>[]): Finding[] {
  return issues.map((issue) => {
    const items = issue.path ?? [];
    return {
      path: items.map(({ key }) => (typeof key === 'number' ? key : String(key))),
      message: issue.message,
      at: items[items.length - 1]?.origin === 'key' ? 'key' : 'value',
    };
  });
}
