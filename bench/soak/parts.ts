// The soak's processes. One that ends of itself, of a fault of its own such as those of Node's HTTP/2, is reported and started again: what
// its peers complain of at that moment is not held against the proxy.
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { residentSize } from '../../src/harness/cpu.js';
import { TIMEOUT_MS } from './limits.js';
import type { Complaint, Order, Progress, Report, Role } from './messages.js';

const PART = fileURLToPath(new URL('./part.js', import.meta.url));
const READY_MS = 30_000;
/** How long before and after the death of a part its peers may see something of it, ms. */
const BEFORE_MS = 1000;
const AFTER_MS = 3000;
/** Node's HTTP/2 has gone on allocating for ever. */
const MAX_BYTES = 1.5 * 2 ** 30;

export interface Death {
  readonly part: string;
  readonly at: number;
  /** When it was there again. */
  back: number;
}

class Part {
  /** What earlier processes of this part have said last. */
  readonly before: Progress[] = [];
  progress: Progress | undefined;
  ended = false;
  #child: ChildProcess | undefined;
  #stopping = false;
  #starts = 0;

  constructor(
    readonly name: string,
    private readonly role: Role,
    private readonly troupe: Parts,
  ) {}

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    // Another seed each time, or it would come to the same end in the same way.
    const seed = this.role.seed + 7919 * this.#starts++;
    const child = fork(PART, [], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    this.#child = child;
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2000);
    });
    const ready = new Promise<boolean>((resolve) => {
      child.on('message', (report: Report) => {
        if (report.kind === 'ready') resolve(true);
        else if (report.kind === 'complaint') this.troupe.complaints.push(report.complaint);
        else if (report.kind === 'progress') this.progress = report.progress;
        else this.ended = true;
      });
      child.once('exit', (code, signal) => {
        resolve(false);
        if (!this.#stopping) void this.#died(signal ?? `status ${code}`, said);
      });
    });
    const order: Order = { begin: { ...this.role, seed } };
    child.send(order);
    const began = await Promise.race([ready, delay(READY_MS, false, { ref: false })]);
    if (!began && this.#starts === 1) throw new Error(`${this.name} did not begin: ${said.trim()}`);
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

  async #died(how: string, said: string): Promise<void> {
    const death = { part: this.name, at: Date.now(), back: Number.POSITIVE_INFINITY };
    this.troupe.deaths.push(death);
    const word = said
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

export class Parts {
  readonly complaints: Complaint[] = [];
  readonly deaths: Death[] = [];
  readonly #parts: Part[] = [];

  constructor() {
    process.once('exit', () => this.kill());
  }

  async start(name: string, role: Role): Promise<void> {
    const part = new Part(name, role, this);
    this.#parts.push(part);
    await part.start();
  }

  /** Ends those that have taken more memory than any of their work needs. Called every now and then. */
  watch(): void {
    for (const part of this.#parts) {
      if (part.pid !== 0 && !part.gone && residentSize(part.pid) > MAX_BYTES) {
        process.stdout.write(`  harness: ${part.name} has taken ${(MAX_BYTES / 2 ** 30).toFixed(1)} GiB\n`);
        part.kill();
      }
    }
  }

  /** Lets all whose name begins like this come to their end. Returns the names of those that did not. */
  async stop(start: string): Promise<string[]> {
    const parts = this.#parts.filter(({ name }) => name.startsWith(start));
    for (const part of parts) part.stop();
    const deadline = Date.now() + 2 * TIMEOUT_MS + 10_000;
    while (parts.some(({ gone }) => !gone) && Date.now() < deadline) await delay(100);
    const late = parts.filter(({ gone }) => !gone);
    for (const part of late) part.kill();
    return late.map(({ name }) => name);
  }

  kill(): void {
    for (const part of this.#parts) part.kill();
  }

  /** All that clients have said of themselves, those included that ended before their time. */
  progress(): Progress[] {
    return this.#parts.flatMap(({ before, progress }) => (progress === undefined ? before : [...before, progress]));
  }

  /** Whether a part has died whose name begins like this. */
  lost(...starts: string[]): boolean {
    return this.deaths.some(({ part }) => starts.some((start) => part.startsWith(start)));
  }

  /** Whether what was complained of then may come of the death of a part. */
  excused({ at, wrong }: Complaint): boolean {
    return !wrong && this.deaths.some((death) => at >= death.at - BEFORE_MS && at <= death.back + AFTER_MS);
  }
}
