// Network namespaces for tests, and programs that run in them. They need root and `ip`.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** The words of whoever failed. */
function reasonOf(error: unknown): string {
  const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
  return said === '' ? String(error) : said;
}

export class Namespace {
  readonly name: string;
  /** What a command is put behind to run inside. */
  readonly inside: readonly string[];

  private constructor(name: string) {
    this.name = name;
    this.inside = ['ip', 'netns', 'exec', name];
  }

  /** Makes one with a loopback interface; a text says why that can't be done here. `name` is short: 8 characters. */
  static make(name: string): Namespace | string {
    const made = new Namespace(`sluice-${name}${process.pid}`);
    try {
      execFileSync('ip', ['netns', 'add', made.name], { stdio: 'pipe' });
      made.ip('link', 'set', 'lo', 'up');
      return made;
    } catch (error) {
      made.remove();
      return reasonOf(error);
    }
  }

  /** `ip` in it. Throws with what it said. */
  ip(...args: string[]): void {
    try {
      execFileSync('ip', ['-n', this.name, ...args], { stdio: 'pipe' });
    } catch (error) {
      throw new Error(`ip ${args.join(' ')}: ${reasonOf(error)}`);
    }
  }

  /** Runs a command to its end; throws with what it said. */
  run(...command: string[]): string {
    const [program, ...args] = [...this.inside, ...command];
    try {
      return execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      throw new Error(`${command.join(' ')}: ${reasonOf(error)}`);
    }
  }

  /** A wire to `other`, with an address of each family at either end. */
  connect(other: Namespace, mine: readonly string[], theirs: readonly string[]): void {
    this.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', other.name);
    for (const [end, addresses] of [
      [this, mine],
      [other, theirs],
    ] as const) {
      for (const address of addresses)
        end.ip('addr', 'add', address, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
      end.ip('link', 'set', 'eth0', 'up');
    }
  }

  remove(): void {
    try {
      execFileSync('ip', ['netns', 'del', this.name], { stdio: 'pipe' });
    } catch {
      // There was none.
    }
  }
}

/** A program in JavaScript that answers lines with lines. */
export class Program {
  private constructor(
    private readonly child: ChildProcess,
    private readonly lines: AsyncIterableIterator<string>,
    /** The first line that it has said. */
    readonly first: string,
  ) {}

  static async start(script: string, under: readonly string[] = []): Promise<Program> {
    const [program, ...args] = [...under, process.execPath, '-e', script];
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (child.stdout === null) throw new Error('a program without output');
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    return new Program(child, lines, String((await lines.next()).value));
  }

  async ask(line: string): Promise<string> {
    this.child.stdin?.write(`${line}\n`);
    return String((await this.lines.next()).value);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
