// Follows a list of an API server, as a controller does: all of it, then each change; and anew when the API server was away.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kubernetes } from './kubernetes.js';

export interface ApiObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion?: string };
}

const AGAIN_MS = 100;

const keyOf = ({ metadata: { namespace = '', name } }: ApiObject): string => `${namespace}/${name}`;

export interface Following {
  stop(): Promise<void>;
}

/** `heard` gets what the list at `path` has by now, by NAMESPACE/NAME. */
export function follow<T extends ApiObject>(
  kubernetes: Kubernetes,
  path: string,
  heard: (objects: ReadonlyMap<string, T>) => void,
): Following {
  let cut = (): void => undefined;
  let stopped = false;

  const watch = async (objects: Map<string, T>, version: string): Promise<void> => {
    const response = await kubernetes.stream(`${path}?watch=true&resourceVersion=${version}`);
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    cut = () => response.destroy();
    if (stopped) return cut();
    response.on('error', () => undefined);
    const lines = createInterface(response).on('error', () => undefined);
    lines.on('line', (line) => {
      const { type, object } = JSON.parse(line) as { type: string; object: T };
      if (type === 'ERROR') return cut();
      if (type === 'DELETED') objects.delete(keyOf(object));
      else objects.set(keyOf(object), object);
      if (!stopped) heard(objects);
    });
    await closed;
  };

  const run = async (): Promise<void> => {
    while (!stopped) {
      try {
        const { items, metadata } = (await kubernetes.done('GET', path)) as unknown as {
          items: T[];
          metadata: { resourceVersion: string };
        };
        const objects = new Map(items.map((object) => [keyOf(object), object]));
        if (!stopped) heard(objects);
        await watch(objects, metadata.resourceVersion);
      } catch {
        // It is away.
      }
      if (!stopped) await sleep(AGAIN_MS);
    }
  };
  const running = run();
  return {
    stop() {
      stopped = true;
      cut();
      return running;
    },
  };
}
