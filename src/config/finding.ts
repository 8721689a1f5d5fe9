// A mistake before it is known where in the file it stands.
import type { KeyPath } from './problem.js';

export interface Finding {
  readonly path: KeyPath;
  readonly message: string;
  readonly at: 'key' | 'value';
}
