// An API server for where a real one can't be had, as in a network namespace: lists and watches of what a test puts there, and no more.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Asked, answer, FaultyApi, refuse } from './faulty-api.js';
import { kubeconfigOf } from './kubernetes.js';

interface Named {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly collection: string;
  readonly object: object;
  readonly version: number;
}

export class SmallApi {
  /** Everything that it is asked is refused. */
  away = false;
  readonly #objects = new Map<string, { readonly collection: string; readonly object: object }>();
  readonly #changes: Change[] = [];
  readonly #watches = new Map<Asked['response'], string>();
  readonly #directory = mkdtempSync(join(tmpdir(), 'small-api-'));

  private constructor(private readonly server: FaultyApi) {
    server.script = (asked) => this.#answer(asked);
    const authority = join(this.#directory, 'ca.pem');
    writeFileSync(authority, server.anchor);
    writeFileSync(this.kubeconfig, kubeconfigOf(server.access.server.origin, authority, server.token));
  }

  static async start(): Promise<SmallApi> {
    return new SmallApi(await FaultyApi.start());
  }

  get kubeconfig(): string {
    return join(this.#directory, 'kubeconfig');
  }

  /** Makes or changes an object of a collection, such as `services`. */
  put(collection: string, object: object): void {
    const key = keyOf(collection, object as Named);
    const type = this.#objects.has(key) ? 'MODIFIED' : 'ADDED';
    this.#change({ type, collection, object, version: this.#changes.length + 1 }, key);
  }

  remove(collection: string, object: object): void {
    this.#change(
      { type: 'DELETED', collection, object, version: this.#changes.length + 1 },
      keyOf(collection, object as Named),
    );
  }

  /** Ends all connections. */
  cut(): void {
    this.#watches.clear();
    this.server.cut();
  }

  async stop(): Promise<void> {
    rmSync(this.#directory, { recursive: true });
    await this.server.stop();
  }

  #change({ version, ...change }: Change, key: string): void {
    const { metadata } = change.object as Named;
    const object = { ...change.object, metadata: { ...metadata, resourceVersion: String(version) } };
    const made = { ...change, object, version };
    this.#changes.push(made);
    if (change.type === 'DELETED') this.#objects.delete(key);
    else this.#objects.set(key, { collection: change.collection, object });
    for (const [response, collection] of this.#watches)
      if (collection === change.collection) response.write(lineOf(made));
  }

  #answer(asked: Asked): void {
    const collection = asked.path.split('/').at(-1) ?? '';
    if (this.away) refuse(asked, 503, 'ServiceUnavailable', 'nobody is here');
    else if (asked.query.has('watch')) this.#watch(asked, collection);
    else {
      const own = [...this.#objects.values()].filter((each) => each.collection === collection);
      answer(asked, {
        items: own.map(({ object }) => object),
        metadata: { resourceVersion: String(this.#changes.length) },
      });
    }
  }

  #watch({ query, response }: Asked, collection: string): void {
    const from = Number(query.get('resourceVersion'));
    const missed = this.#changes.filter((change) => change.version > from && change.collection === collection);
    response.writeHead(200).write(missed.map(lineOf).join(''));
    this.#watches.set(response, collection);
  }
}

const keyOf = (collection: string, { metadata }: Named): string =>
  `${collection} ${metadata.namespace ?? ''} ${metadata.name}`;

const lineOf = ({ type, object }: Change): string => `${JSON.stringify({ type, object })}\n`;
