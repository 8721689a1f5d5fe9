// Reads one object and collects problems with its fields; the rest of it counts.
import { isMap, type PlainMap } from '../../inject/plain.js';
import type { ObjectProblem } from '../finding.js';

export class Reading {
  readonly problems: ObjectProblem[] = [];

  constructor(
    readonly source: string,
    readonly object: string,
  ) {}

  wrong(path: string, message: string): void {
    this.problems.push({ source: this.source, object: this.object, path, message });
  }

  /** An empty map if it is not one. */
  map(value: unknown, path: string): PlainMap {
    if (isMap(value)) return value;
    if (value !== undefined && value !== null) this.wrong(path, `${JSON.stringify(value)} is not a map`);
    return {};
  }

  /** An empty list if it is not one. */
  list(value: unknown, path: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    if (value !== undefined && value !== null) this.wrong(path, `${JSON.stringify(value)} is not a list`);
    return [];
  }
}
