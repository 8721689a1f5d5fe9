// The demo's proxy: the real command, in its own process.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';

const CLI = fileURLToPath(new URL('../cli/main.js', import.meta.url));
const START_TIMEOUT_MS = 15_000;
/** How long open connections may delay the end, and how long the proxy may, ms. */
const DRAIN_MS = 1000;
const STOP_TIMEOUT_MS = 5000;
const KEPT_LINES = 20;

export class ProxyProcess {
  /** Resolves with a message when the process ends. */
  readonly ended: Promise<string>;
  /** The last lines of the proxy's log. */
  readonly lines: string[] = [];
  readonly #child: ChildProcess;

  /** Runs `sluice run -c config`, with --io if `io` names an executor. `onLine` receives each line of its log. */
  constructor(config: string, io: string, onLine: (line: string) => void) {
    // A separate process group: Ctrl-C in the terminal reaches only the demo, which then stops the proxy.
    this.#child = spawn(process.execPath, [CLI, 'run', '-c', config, ...(io === '' ? [] : ['--io', io])], {
      stdio: ['ignore', 'inherit', 'pipe'],
      detached: true,
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`cannot be started: ${error.message}`));
      this.#child.once('exit', (code, signal) =>
        resolve(signal === null ? `ended with code ${code}` : `got ${signal}`),
      );
    });
    process.once('exit', () => this.#child.kill('SIGKILL'));
    if (this.#child.stderr === null) return;
    createInterface(this.#child.stderr).on('line', (line) => {
      this.lines.push(line);
      if (this.lines.length > KEPT_LINES) this.lines.shift();
      onLine(line);
    });
  }

  /** Resolves once `/ready` answers 200. Rejects with the end of the log if the process ends first or takes too long. */
  async ready(admin: string): Promise<void> {
    let gone = '';
    void this.ended.then((how) => {
      gone = how;
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (gone === '' && Date.now() < deadline) {
      if (await isReady(admin)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const log = this.lines.length === 0 ? '' : `\n  ${this.lines.join('\n  ')}`;
    throw new Error(`the proxy ${gone === '' ? 'is not ready in time' : gone}${log}`);
  }

  /** Gives open work a moment to end, then closes it. */
  async stop(): Promise<void> {
    this.#child.kill('SIGINT');
    const timers = [
      // A second signal tells the proxy to stop at once.
      setTimeout(() => this.#child.kill('SIGINT'), DRAIN_MS),
      setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS),
    ];
    await this.ended;
    for (const timer of timers) clearTimeout(timer);
  }
}

async function isReady(admin: string): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`${admin}/ready`);
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}
