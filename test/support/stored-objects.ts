// Objects of an API server in memory, for what reads and writes single ones: versions, conflicts, and nothing else.
import type { Objects, StoredObject } from '../../src/controller/objects.js';

type Change = (object: StoredObject) => object;

export class StoredObjects implements Objects {
  readonly #all = new Map<string, StoredObject>();
  #version = 0;
  /** What every call rejects with; null: they work. */
  failure: Error | null = null;
  /** Method and path of each call so far. */
  readonly calls: string[] = [];
  /** Called once with the next write, before it is looked at: what somebody else does meanwhile. */
  meanwhile: (() => void) | null = null;

  /** Puts an object there, as somebody else would. */
  put(path: string, object: object): void {
    const { metadata = {}, ...others } = object as Partial<StoredObject>;
    const [, , , , namespace] = path.split('/');
    const name = path.split('/').at(-1) ?? '';
    const resourceVersion = String(++this.#version);
    this.#all.set(path, { ...others, metadata: { ...metadata, name, namespace, resourceVersion } });
  }

  change(path: string, change: Change): void {
    this.put(path, change(this.peek(path)));
  }

  remove(path: string): void {
    this.#all.delete(path);
  }

  peek(path: string): StoredObject {
    const found = this.#all.get(path);
    if (found === undefined) throw new Error(`${path} is not there`);
    return found;
  }

  /** Those whose paths begin so, in the order of their coming. */
  under(start: string): StoredObject[] {
    return [...this.#all].filter(([path]) => path.startsWith(start)).map(([, object]) => object);
  }

  removeUnder(start: string): void {
    for (const path of [...this.#all.keys()]) if (path.startsWith(start)) this.#all.delete(path);
  }

  has(path: string): boolean {
    return this.#all.has(path);
  }

  async get(path: string): Promise<StoredObject | null> {
    this.#called('get', path);
    return this.#all.get(path) ?? null;
  }

  async create(path: string, object: object): Promise<boolean> {
    this.#called('create', path);
    const whole = `${path}/${(object as StoredObject).metadata.name}`;
    if (this.#all.has(whole)) return false;
    this.put(whole, object);
    return true;
  }

  async replace(path: string, object: StoredObject): Promise<boolean> {
    this.#called('replace', path);
    if (this.#all.get(path)?.metadata.resourceVersion !== object.metadata.resourceVersion) return false;
    this.put(path, object);
    return true;
  }

  /** Knows one list: webhooks, by name. */
  async patch(path: string, change: object): Promise<boolean> {
    this.#called('patch', path);
    const found = this.#all.get(path);
    if (found === undefined) return false;
    this.put(path, merged(found, change) as object);
    return true;
  }

  #called(method: string, path: string): void {
    this.calls.push(`${method} ${path}`);
    if (this.failure !== null) throw this.failure;
    if (method === 'get') return;
    const { meanwhile } = this;
    this.meanwhile = null;
    meanwhile?.();
  }
}

interface Named {
  readonly name: string;
}

function merged(old: unknown, change: unknown): unknown {
  if (Array.isArray(old) && Array.isArray(change)) {
    const changes = new Map((change as Named[]).map((one) => [one.name, one]));
    return (old as Named[]).map((one) => merged(one, changes.get(one.name) ?? {}));
  }
  if (!isRecord(old) || !isRecord(change)) return change;
  const result: Record<string, unknown> = { ...old };
  for (const [key, value] of Object.entries(change)) result[key] = key in old ? merged(old[key], value) : value;
  return result;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
