// The client's operations on single objects, for parts of the controller.
import type { Objects, StoredObject } from '../controller/objects.js';
import type { ApiClient } from './client.js';
import { ApiProblem } from './problem.js';

export class ApiObjects implements Objects {
  constructor(private readonly client: ApiClient) {}

  get(path: string): Promise<StoredObject | null> {
    return unless([404], async () => (await this.client.get(path)) as StoredObject, null);
  }

  create(path: string, object: object): Promise<boolean> {
    return unless([409], () => this.client.create(path, object).then(() => true), false);
  }

  replace(path: string, object: StoredObject): Promise<boolean> {
    return unless([404, 409], () => this.client.replace(path, object).then(() => true), false);
  }

  patch(path: string, change: object): Promise<boolean> {
    return unless([404], () => this.client.patch(path, change, 'strategic').then(() => true), false);
  }
}

/** The result of the call; `otherwise` if the answer has one of these statuses. */
async function unless<T>(statuses: readonly number[], call: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof ApiProblem && statuses.includes(error.status)) return otherwise;
    throw error;
  }
}
