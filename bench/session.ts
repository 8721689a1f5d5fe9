// What `make bench` has beside the harness's processes: the programs of bench/load, files to serve, and the end of all on a signal.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/harness/paths.js';
import { Processes } from '../src/harness/processes.js';

export interface SessionOptions {
  /** First port of 1000. */
  readonly firstPort: number;
  /** Core of load generators, upstreams and the harness itself. */
  readonly loadCore: number;
}

export class Session extends Processes {
  /** On tmpfs where there is one: files served in bulk must not be the disk's business. */
  readonly memoryDirectory: string;
  readonly loadCore: number;

  constructor({ firstPort, loadCore }: SessionOptions) {
    super(firstPort);
    this.loadCore = loadCore;
    this.memoryDirectory = existsSync('/dev/shm') ? mkdtempSync('/dev/shm/sluice-bench-') : join(this.directory, 'shm');
    mkdirSync(this.memoryDirectory, { recursive: true });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        this.close();
        process.exit(130);
      });
    }
  }

  /** Compiles bench/load/<name>.c, to speak TLS where it is asked to, and returns the program's path. */
  compile(name: string, tls = false): string {
    const program = join(this.directory, tls ? `${name}-tls` : name);
    if (existsSync(program)) return program;
    const compiler = process.env.CC ?? 'cc';
    const from = join(packageRoot, 'bench', 'load', `${name}.c`);
    const libraries = tls ? ['-DBENCH_TLS=1', '-lssl', '-lcrypto'] : [];
    execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, from, ...libraries], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    return program;
  }

  /** Runs a program on the load core to its end and returns its standard output. */
  async run(name: string, command: readonly string[]): Promise<string> {
    const started = this.start(name, String(this.loadCore), command);
    let output = '';
    started.child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const code = await new Promise<number | null>((resolve) => started.child.once('close', resolve));
    if (code !== 0) throw new Error(`${name} (${command.join(' ')}) ended with ${code}: ${started.stderr().trim()}`);
    return output;
  }

  override close(): void {
    super.close();
    // It may be closed before it has one.
    if (this.memoryDirectory !== undefined) rmSync(this.memoryDirectory, { recursive: true, force: true });
  }
}
