// Changes as a JSON Patch (RFC 6902).
import { difference } from './difference.js';

export interface Operation {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path: string;
  readonly value?: unknown;
}

/** RFC 6901, section 3. */
const escaped = (key: string | number): string => String(key).replaceAll('~', '~0').replaceAll('/', '~1');

export function jsonPatch(before: unknown, after: unknown): Operation[] {
  return [...difference(before, after)].map((change) => {
    const path = change.path.map((key) => `/${escaped(key)}`).join('');
    return change.kind === 'remove' ? { op: 'remove', path } : { op: change.kind, path, value: change.value };
  });
}
