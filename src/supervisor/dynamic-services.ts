// Services that are not in the configuration: created for addresses that clients dial, and removed with them.
import type { ServiceConfig } from '../config/model.js';
import type { Endpoint } from '../discovery/endpoint.js';
import type { LookupServices } from './lookup-resolver.js';

export interface DynamicServicesDeps {
  /** Whether the configuration has a service of this name. */
  isConfigured(name: string): boolean;
  /** Assigns it a slot. Throws if there is none left. */
  acquire(name: string): void;
  /** Sends its settings to the workers. */
  tell(service: ServiceConfig): void;
  endpoints(name: string, endpoints: readonly Endpoint[]): void;
  /** Frees its slot, and those of its endpoints. */
  release(name: string): void;
}

export class DynamicServices implements LookupServices {
  readonly #services = new Map<string, ServiceConfig>();

  constructor(private readonly deps: DynamicServicesDeps) {}

  get size(): number {
    return this.#services.size;
  }

  all(): readonly ServiceConfig[] {
    return [...this.#services.values()];
  }

  has(name: string): boolean {
    return this.#services.has(name);
  }

  set(service: ServiceConfig): boolean {
    const { name } = service;
    if (this.deps.isConfigured(name)) return false;
    if (!this.#services.has(name)) {
      try {
        this.deps.acquire(name);
      } catch {
        return false;
      }
    }
    this.#services.set(name, service);
    this.deps.tell(service);
    return true;
  }

  setEndpoints(name: string, endpoints: readonly Endpoint[]): void {
    if (this.#services.has(name)) this.deps.endpoints(name, endpoints);
  }

  drop(name: string): void {
    if (this.#services.delete(name)) this.deps.release(name);
  }
}
