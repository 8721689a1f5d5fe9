// Precedence of annotations: the pod's own, then its namespace's, then the installation's.

import { parseNetwork } from '../config/networks.js';
import { ValueError } from '../config/values.js';
import { joinSpans, type PortSpan, parsePortList } from '../redirect/port-list.js';
import { keysOf, named, type OwnSetting, type Setting, unsupportedAnnotation } from './annotations.js';
import type { InjectProblem } from './problem.js';
import type { Read } from './values.js';

export interface Layer {
  /** `pod`, `namespace shop`, `the installation`: for problems. */
  readonly object: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Whether names of ports must exist in this pod: in a namespace, some pods have a port and others do not. */
  readonly namesPorts: boolean;
}

interface Found {
  readonly object: string;
  readonly annotation: string;
  readonly text: string;
  readonly namesPorts: boolean;
}

/** Ports of containers by name; if two containers use the same name, both. */
export type PortNames = ReadonlyMap<string, readonly number[]>;

/** Longer texts are not valid values; annotations have 256 KiB together, and a variable 128 (execve(2)). */
const MAX_TEXT_LENGTH = 4096;
const MAX_VARIABLES_TEXT_LENGTH = 64 * 1024;
/** Maximum entries of a list: netfilter rules take 15 ports each. */
const MAX_ENTRIES = 1000;
/** Maximum number of problems to report for one pod. */
const MAX_PROBLEMS = 100;

/** Reads settings from layers, the most important first; collects problems with them. */
export class Layers {
  readonly problems: InjectProblem[] = [];
  /** By setting: the annotation its value came from. */
  readonly #counted = new Map<string, Found>();

  constructor(
    private readonly layers: readonly Layer[],
    private readonly ports: PortNames,
  ) {}

  /** All annotations for `name`, the most important first. */
  #all(name: Setting | OwnSetting): Found[] {
    return this.layers.flatMap(({ object, annotations, namesPorts }) => {
      const annotation = keysOf(name).find((key) => Object.hasOwn(annotations, key));
      if (annotation === undefined) return [];
      return [{ object, annotation, text: annotations[annotation].trim(), namesPorts }];
    });
  }

  #warn({ object, annotation }: Found, entry: string, message: string): void {
    if (this.problems.length >= MAX_PROBLEMS) return;
    const shown = entry.length > MAX_TEXT_LENGTH ? `${entry.slice(0, MAX_TEXT_LENGTH)}…` : entry;
    this.problems.push({ object, annotation, entry: shown, message, severity: 'warning' });
  }

  /** The first valid value; null if there is none. An empty text counts as unset. */
  value<T>(name: Setting | OwnSetting, read: (text: string) => Read<T>): T | null {
    for (const found of this.#all(name)) {
      if (found.text === '') continue;
      const isLong = found.text.length > MAX_TEXT_LENGTH;
      const result = isLong ? { problem: `has more than ${MAX_TEXT_LENGTH} characters` } : read(found.text);
      if ('value' in result) {
        this.#counted.set(name, found);
        return result.value;
      }
      this.#warn(found, found.text, result.problem);
    }
    return null;
  }

  /** Reports a valid value that conflicts with others. */
  refuse(name: Setting | OwnSetting, message: string): void {
    const found = this.#counted.get(name);
    if (found !== undefined) this.#warn(found, found.text, message);
  }

  /** A list and the ones below it: one with a leading `+` adds to what would apply without it. */
  #lists<T>(name: Setting, read: (entry: string, found: Found) => readonly T[]): T[] {
    let items: T[] = [];
    for (const found of this.#all(name).reverse()) {
      const adds = found.text.startsWith('+');
      const entries = (adds ? found.text.slice(1) : found.text)
        .split(',')
        .map((entry) => entry.trim())
        .filter((entry) => entry !== '');
      if (entries.length === 0 && found.text !== '' && !adds)
        this.#warn(found, found.text, `${JSON.stringify(found.text)} has no entries; for an empty list write ""`);
      if (entries.length > MAX_ENTRIES)
        this.#warn(found, entries[MAX_ENTRIES], `has more than ${MAX_ENTRIES} entries; only the first ones are used`);
      const own = entries.slice(0, MAX_ENTRIES).flatMap((entry) => read(entry, found));
      items = adds ? [...items, ...own] : own;
    }
    return items;
  }

  /** A list of ports; with `named`, it may contain names of container ports. */
  spans(name: Setting, named: boolean): PortSpan[] {
    const read = (entry: string, found: Found): readonly PortSpan[] => {
      const { spans, names, problems } = parsePortList(entry);
      for (const problem of problems) this.#warn(found, entry, problem);
      return [...spans, ...names.flatMap((port) => this.#named(port, found, named))];
    };
    return joinSpans(this.#lists(name, read));
  }

  #named(port: string, found: Found, named: boolean): PortSpan[] {
    const numbers = named ? (this.ports.get(port) ?? []) : [];
    const quoted = JSON.stringify(port);
    if (!named)
      this.#warn(
        found,
        port,
        `${quoted}: these are ports of other hosts, whose names are not known here; write numbers`,
      );
    else if (numbers.length === 0 && found.namesPorts)
      this.#warn(found, port, `${quoted} is not a port, nor the name of one that ${found.object} has`);
    return numbers.map((number) => ({ first: number, last: number }));
  }

  networks(name: Setting): string[] {
    const read = (entry: string, found: Found): readonly string[] => {
      try {
        return [parseNetwork(entry).text];
      } catch (error) {
        if (!(error instanceof ValueError)) throw error;
        this.#warn(found, entry, error.message);
        return [];
      }
    };
    return [...new Set(this.#lists(name, read))];
  }

  /** All usable entries of a list of variables; it is not merged with lists below it. */
  all<T>(
    name: Setting,
    read: (text: string) => { variables: T[]; problems: { entry: string; message: string }[] },
  ): T[] {
    const [found] = this.#all(name);
    if (found === undefined || found.text === '') return [];
    if (found.text.length > MAX_VARIABLES_TEXT_LENGTH) {
      this.#warn(found, found.text, `has more than ${MAX_VARIABLES_TEXT_LENGTH} characters`);
      return [];
    }
    const { variables, problems } = read(found.text);
    for (const { entry, message } of problems) this.#warn(found, entry, message);
    return variables;
  }

  /** Reports annotations that are unknown, or have no effect here. */
  tellOthers(): void {
    for (const { object, annotations } of this.layers) {
      for (const [annotation, entry] of Object.entries(annotations)) {
        const name = named(annotation);
        const why = name === null ? null : unsupportedAnnotation(name);
        if (why === null || this.problems.length >= MAX_PROBLEMS) continue;
        const known = typeof why !== 'string';
        const message = known ? `has no meaning here: ${why.instead}` : why;
        const severity = known && why.matters !== true ? 'note' : 'warning';
        this.problems.push({ object, annotation, entry, message, severity });
      }
    }
  }
}
