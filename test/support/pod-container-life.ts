// The life of one container of a pod: it is started, probed, started again where its pod says so, and stopped.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Container } from './pod-container.js';
import { type ContainerSpec, isSidecar } from './pod-objects.js';
import { handle, type Probed, probe } from './pod-probes.js';
import { Waiting } from './waiting.js';

const RESTART_MS = 200;
const HOOK_MS = 120_000;
/** What a container gets at least, once it is its turn to end. */
const MIN_GRACE_MS = 2_000;

export interface Surroundings {
  readonly ip: string;
  readonly restarts: 'Always' | 'OnFailure' | 'Never';
  /** Starts the process. */
  make(spec: ContainerSpec): Promise<Container>;
  changed(): void;
}

export class ContainerLife {
  process: Container | null = null;
  started = false;
  ready = false;
  restarts = 0;
  /** What it ended with for good. */
  code: number | null = null;
  #stopping = false;
  readonly #waiting = new Waiting();

  constructor(
    readonly spec: ContainerSpec,
    private readonly around: Surroundings,
  ) {}

  /** Resolves when its postStart hook is done; for a sidecar, when its startup probe has succeeded. */
  async start(): Promise<void> {
    if (this.#stopping) return;
    const process = await this.around.make(this.spec);
    this.process = process;
    const exited = process.exited.then((code) => this.#exited(code));
    if (this.#stopping) process.kill('SIGKILL');
    this.#changed();
    const probed: Probed = { spec: this.spec, container: process, ip: this.around.ip };
    void this.#probe(probed);
    const { postStart } = this.spec.lifecycle ?? {};
    if (postStart !== undefined && !(await handle(probed, postStart, HOOK_MS))) process.kill('SIGKILL');
    if (isSidecar(this.spec)) await this.#until(() => this.started || this.#stopping);
    void exited;
  }

  /** The code that it ends with, for one that is not started again. */
  async over(): Promise<number> {
    await this.#until(() => this.code !== null);
    return this.code ?? 0;
  }

  /** preStop, then SIGTERM once it is its turn, and SIGKILL when the grace is over. */
  async stop(endMs: number, turn: Promise<unknown>): Promise<void> {
    this.#stopping = true;
    this.#changed();
    const { process, spec } = this;
    if (process === null || process.code !== null) {
      this.code ??= process?.code ?? 0;
      this.#changed();
      return;
    }
    const late = setTimeout(() => process.kill('SIGKILL'), Math.max(0, endMs - performance.now()) + MIN_GRACE_MS);
    const { preStop } = spec.lifecycle ?? {};
    const hook =
      preStop === undefined ? null : handle({ spec, container: process, ip: this.around.ip }, preStop, HOOK_MS);
    await Promise.race([hook, process.exited]);
    await Promise.race([turn, process.exited]);
    process.kill('SIGTERM');
    const force = setTimeout(() => process.kill('SIGKILL'), Math.max(MIN_GRACE_MS, endMs - performance.now()));
    clearTimeout(late);
    await process.exited;
    clearTimeout(force);
    await this.over();
  }

  kill(): void {
    this.#stopping = true;
    this.process?.kill('SIGKILL');
    this.#changed();
  }

  #until(condition: () => boolean): Promise<void> {
    return this.#waiting.until(condition, () => this.spec.name, 2 ** 31 - 1);
  }

  #changed(): void {
    this.#waiting.wake();
    this.around.changed();
  }

  async #exited(code: number): Promise<void> {
    this.ready = false;
    this.started = false;
    const again =
      !this.#stopping &&
      (isSidecar(this.spec) ||
        this.around.restarts === 'Always' ||
        (this.around.restarts === 'OnFailure' && code !== 0));
    if (again) {
      this.#changed();
      await sleep(RESTART_MS);
      this.restarts++;
      await this.start();
    }
    if (!again || this.#stopping) {
      this.code ??= code;
      this.#changed();
    }
  }

  async #probe(probed: Probed): Promise<void> {
    const { startupProbe, readinessProbe, livenessProbe } = this.spec;
    const { container } = probed;
    const failed = (): void => container.kill('SIGTERM');
    if (startupProbe !== undefined) await probe(probed, startupProbe, { once: true, report: () => undefined, failed });
    if (container.code !== null) return;
    this.started = true;
    this.ready = readinessProbe === undefined;
    this.#changed();
    if (livenessProbe !== undefined)
      void probe(probed, livenessProbe, { once: false, report: () => undefined, failed });
    if (readinessProbe === undefined) return;
    const report = (answers: boolean): void => {
      this.ready = answers;
      this.#changed();
    };
    await probe(probed, readinessProbe, { once: false, report, failed: () => undefined });
  }
}
