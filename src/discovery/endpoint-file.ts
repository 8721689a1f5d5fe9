// Parses a file of endpoints: one list, or several by name. A file with any error is rejected as a whole.
import type { ReadText } from '../config/document.js';
import { readYaml } from '../config/document.js';
import { readJson } from '../config/json.js';
import { readPlainYaml } from '../config/plain-yaml.js';
import type { KeyPath, Problem } from '../config/problem.js';
import { ConfigError, formatPath } from '../config/problem.js';
import { suggest } from '../config/suggest.js';
import {
  describe,
  formatSize,
  parseAddress,
  parseChoice,
  parseIdentity,
  parseInteger,
  parseName,
  parsePeerProxy,
  ValueError,
} from '../config/values.js';
import { type Endpoint, endpointAt } from './endpoint.js';

export interface EndpointLists {
  /** The list of a file that has only one, or the list named `endpoints`; null if there are only others. */
  readonly only: readonly Endpoint[] | null;
  readonly byName: ReadonlyMap<string, readonly Endpoint[]>;
}

/** A MiB of YAML takes a second and 100 MB to read; a MiB of garbage, 15 seconds and 1 GB. */
const MAX_YAML_BYTES = 2 ** 18;
/** Further errors are counted, not listed. */
const MAX_PROBLEMS = 20;
/** Maximum number of names in a message. */
const MAX_NAMES = 20;
const KEYS = ['address', 'weight', 'zone', 'protocol', 'identity', 'proxy', 'metadata'] as const;
const DEFAULT_LIST = 'endpoints';

interface Mistake {
  readonly path: KeyPath;
  readonly message: string;
}

type Tree = Readonly<Record<string, unknown>>;
const isMap = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

function readText(file: string, text: string): ReadText {
  const fail = (message: string): never => {
    throw new ConfigError([{ file, line: 1, column: 1, path: '', message }]);
  };
  const read = (/^\s*[[{]/.test(text) ? readJson(text) : null) ?? readPlainYaml(text);
  if (read !== null) return read;
  if (text.length > MAX_YAML_BYTES) {
    fail(
      `has more than ${formatSize(MAX_YAML_BYTES)} of YAML, which takes long to read; write JSON, or plain lists with an address a line`,
    );
  }
  return readYaml(text);
}

/** Parses lists and collects the first errors. */
class Reader {
  readonly mistakes: Mistake[] = [];
  count = 0;

  list(value: unknown, path: KeyPath): readonly Endpoint[] {
    if (!Array.isArray(value)) {
      this.#note(path, `found ${describe(value)}; write a list such as ["10.0.0.1:80"], or [] for no endpoints`);
      return [];
    }
    const endpoints: Endpoint[] = [];
    const seen = new Map<string, number>();
    for (const [index, item] of value.entries()) {
      const endpoint = this.#endpoint(item, path, index);
      if (endpoint === null) continue;
      const { host, port } = endpoint.address;
      const key = `${host} ${port}`;
      const first = seen.get(key);
      if (first === undefined) {
        seen.set(key, index);
        endpoints.push(endpoint);
      } else {
        const text = isMap(item) ? item.address : item;
        this.#note(
          [...path, index],
          `${describe(text)} is listed twice, first as ${formatPath([...path, first])}; remove one`,
        );
      }
    }
    return endpoints;
  }

  #endpoint(item: unknown, path: KeyPath, index: number): Endpoint | null {
    const before = this.count;
    if (!isMap(item)) {
      const address = this.#attempt([...path, index], () => parseAddress(item));
      return address === null ? null : endpointAt(address);
    }
    const at = (key: string): KeyPath => [...path, index, key];
    for (const key of Object.keys(item)) {
      if (!KEYS.some((known) => known === key)) this.#note(at(key), `unknown key; ${suggest(key, KEYS)}`);
    }
    if (item.address === undefined) {
      this.#note([...path, index], 'has no address; add one, such as address: "10.0.0.1:80"');
      return null;
    }
    const optional = <T>(key: string, parse: (value: unknown) => T): T | undefined =>
      item[key] === undefined ? undefined : (this.#attempt(at(key), () => parse(item[key])) ?? undefined);
    const address = this.#attempt(at('address'), () => parseAddress(item.address));
    const zone = optional('zone', parseName);
    const weight = optional('weight', (value) => parseInteger(value, 1, 65_535));
    const protocol = optional('protocol', (value) => parseChoice(value, ['http1', 'http2', 'opaque', 'auto']));
    const identity = optional('identity', parseIdentity);
    const proxy = optional('proxy', parsePeerProxy);
    if (item.proxy !== undefined && item.identity === undefined)
      this.#note(at('proxy'), 'needs identity; add identity, or remove it');
    const metadata = optional('metadata', parseMetadata);
    if (address === null || this.count > before) return null;
    return endpointAt(address, { zone, weight, protocol, identity, proxy, metadata });
  }

  #attempt<T>(path: KeyPath, parse: () => T): T | null {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      this.#note(path, error.message);
      return null;
    }
  }

  #note(path: KeyPath, message: string): void {
    this.count++;
    if (this.mistakes.length < MAX_PROBLEMS) this.mistakes.push({ path, message });
  }
}

function parseMetadata(input: unknown): Readonly<Record<string, string>> {
  if (!isMap(input)) throw new ValueError(`found ${describe(input)}; write a map such as { version: "2" }`);
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(input)) {
    if (typeof value === 'object' || key === '__proto__')
      throw new ValueError(`${describe(key)} has ${describe(value)}; write text`);
    metadata[key] = String(value);
  }
  return metadata;
}

/** Throws a ConfigError that lists the first errors. `file` is its name for messages. */
export function parseEndpointFile(file: string, text: string): EndpointLists {
  const read = readText(file, text);
  const problems: Problem[] = read.problems.slice(0, MAX_PROBLEMS).map((problem) => ({ file, ...problem }));
  let count = read.problems.length;
  let lists: EndpointLists = { only: null, byName: new Map() };
  if (read.readable && read.value === null) {
    problems.push({ file, line: 1, column: 1, path: '', message: 'is empty; write [] for no endpoints' });
    count++;
  } else if (read.readable) {
    const reader = new Reader();
    lists = readLists(reader, read.value);
    count += reader.count;
    for (const { path, message } of reader.mistakes) {
      problems.push({ file, ...read.locate(path, 'value'), path: formatPath(path), message });
    }
  }
  if (problems.length === 0) return lists;
  const more = count - problems.length;
  if (more > 0) problems.push({ file, line: 0, column: 0, path: '', message: `${more} more mistakes` });
  throw new ConfigError(problems);
}

function readLists(reader: Reader, value: unknown): EndpointLists {
  if (!isMap(value)) return { only: reader.list(value, []), byName: new Map() };
  const byName = new Map(Object.entries(value).map(([name, list]) => [name, reader.list(list, [name])] as const));
  return { only: byName.get(DEFAULT_LIST) ?? null, byName };
}

/** The list that a source names; or what is wrong if there is none. */
export function selectList({ only, byName }: EndpointLists, key: string | null): readonly Endpoint[] | string {
  if (key !== null) {
    const list = byName.get(key);
    if (list !== undefined) return list;
    if (byName.size === 0) return `has one list without a name, so that there is no "${key}"; remove key`;
    return `has no list "${key}"; ${suggestName(key, [...byName.keys()])}`;
  }
  if (only !== null) return only;
  if (byName.size === 0) return 'has no list; write one with an address a line';
  return `has several lists; name one with key: ${someNames([...byName.keys()])}`;
}

function suggestName(key: string, names: readonly string[]): string {
  return names.length <= MAX_NAMES ? suggest(key, names) : `there are ${someNames(names)}`;
}

const someNames = (names: readonly string[]): string =>
  names.length <= MAX_NAMES ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
