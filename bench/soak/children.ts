// The soak's child processes. One that crashes, for instance of a fault in Node's HTTP/2, is reported and started again. What its peers see
// fail at that moment is not held against the proxy.
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { residentSize } from '../../src/harness/cpu.js';
import { TIMEOUT_MS } from './limits.js';
import type { Failure, Order, Progress, Report, Role } from './messages.js';

const CHILD_FILE = fileURLToPath(new URL('./child.js', import.meta.url));
const READY_MS = 30_000;
/** How long before and after the death of a child its peers may notice it, ms. */
const EXCUSED_BEFORE_MS = 1000;
const EXCUSED_AFTER_MS = 3000;
/** Node's HTTP/2 has gone on allocating for ever. */
const MAX_BYTES = 1.5 * 2 ** 30;

export interface Death {
  readonly child: string;
  readonly at: number;
  /** When it was up again. */
  back: number;
}

class Child {
  /** The last progress of its earlier processes. */
  readonly before: Progress[] = [];
  progress: Progress | undefined;
  ended = false;
  #child: ChildProcess | undefined;
  #stopping = false;
  #starts = 0;

  constructor(
    readonly name: string,
    private readonly role: Role,
    private readonly children: Children,
  ) {}

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    // Another seed each time, or it would come to the same end in the same way.
    const seed = this.role.seed + 7919 * this.#starts++;
    const child = fork(CHILD_FILE, [], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    this.#child = child;
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-2000);
    });
    const ready = new Promise<boolean>((resolve) => {
      child.on('message', (report: Report) => {
        if (report.kind === 'ready') resolve(true);
        else if (report.kind === 'failure') this.children.failures.push(report.failure);
        else if (report.kind === 'progress') this.progress = report.progress;
        else this.ended = true;
      });
      child.once('exit', (code, signal) => {
        resolve(false);
        if (!this.#stopping) void this.#died(signal ?? `status ${code}`, stderr);
      });
    });
    const order: Order = { begin: { ...this.role, seed } };
    child.send(order);
    const began = await Promise.race([ready, delay(READY_MS, false, { ref: false })]);
    if (!began && this.#starts === 1) throw new Error(`${this.name} did not begin: ${stderr.trim()}`);
  }

  stop(): void {
    this.#stopping = true;
    const order: Order = 'stop';
    if (this.#child?.connected) this.#child.send(order);
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  get gone(): boolean {
    return this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #died(how: string, stderr: string): Promise<void> {
    const death = { child: this.name, at: Date.now(), back: Number.POSITIVE_INFINITY };
    this.children.deaths.push(death);
    const word = stderr
      .trim()
      .split('\n')
      .find((line) => /error|fatal|corrupt|what\(\)|assert|free\(\)|terminate/i.test(line));
    process.stdout.write(
      `  harness: ${this.name} ended with ${how} and is started again${word ? ` (${word.trim()})` : ''}\n`,
    );
    if (this.progress !== undefined) this.before.push(this.progress);
    this.progress = undefined;
    await delay(100);
    if (this.#stopping) return;
    await this.start();
    death.back = Date.now();
  }
}

export class Children {
  readonly failures: Failure[] = [];
  readonly deaths: Death[] = [];
  readonly #children: Child[] = [];

  constructor() {
    process.once('exit', () => this.kill());
  }

  async start(name: string, role: Role): Promise<void> {
    const child = new Child(name, role, this);
    this.#children.push(child);
    await child.start();
  }

  /** Kills children that use more memory than their work needs. Called now and then. */
  watch(): void {
    for (const child of this.#children) {
      if (child.pid !== 0 && !child.gone && residentSize(child.pid) > MAX_BYTES) {
        process.stdout.write(`  harness: ${child.name} has taken ${(MAX_BYTES / 2 ** 30).toFixed(1)} GiB\n`);
        child.kill();
      }
    }
  }

  /** Stops all children whose name begins like this. Returns the names of those that did not stop in time. */
  async stop(start: string): Promise<string[]> {
    const children = this.#children.filter(({ name }) => name.startsWith(start));
    for (const child of children) child.stop();
    const deadline = Date.now() + 2 * TIMEOUT_MS + 10_000;
    while (children.some(({ gone }) => !gone) && Date.now() < deadline) await delay(100);
    const late = children.filter(({ gone }) => !gone);
    for (const child of late) child.kill();
    return late.map(({ name }) => name);
  }

  kill(): void {
    for (const child of this.#children) child.kill();
  }

  /** The progress of all clients, including those that crashed. */
  progress(): Progress[] {
    return this.#children.flatMap(({ before, progress }) => (progress === undefined ? before : [...before, progress]));
  }

  /** Whether a child has died whose name begins like this. */
  lost(...starts: string[]): boolean {
    return this.deaths.some(({ child }) => starts.some((start) => child.startsWith(start)));
  }

  /** Whether the death of a child may have caused this failure. */
  excused({ at, corrupt }: Failure): boolean {
    return (
      !corrupt && this.deaths.some((death) => at >= death.at - EXCUSED_BEFORE_MS && at <= death.back + EXCUSED_AFTER_MS)
    );
  }
}
