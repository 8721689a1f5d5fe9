// OpenSSL's own programs as client and as server.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { run, start } from '../support/servers.js';
import { eventually } from '../support/sluice.js';

export interface Spoken {
  /** Whether the handshake came to its end. */
  readonly stands: boolean;
  readonly version: string;
  readonly group: string;
  readonly cipher: string;
  /** All that `openssl s_client` said, and what the server sent. */
  readonly text: string;
}

/** `openssl s_client` against `port`, which says `request`. Without one it leaves when the handshake is done. */
export async function speak(port: number, args: readonly string[], request = ''): Promise<Spoken> {
  const first = ['s_client', '-connect', `127.0.0.1:${port}`, ...(request === '' ? [] : ['-ign_eof'])];
  const { stdout, stderr } = await run('openssl', [...first, ...args], request);
  const text = `${stdout}${stderr}`;
  const [, version = '', cipher = '(NONE)'] = /^(?:New|Reused), (\S+), Cipher is (\S+)/m.exec(stdout) ?? [];
  const [, group = ''] = /^(?:Server|Peer) Temp Key: (?:ECDH, )?([^,\n]+)/m.exec(stdout) ?? [];
  const [, named = group] = /^Negotiated TLS1.3 group: (\S+)/m.exec(stdout) ?? [];
  const stands = cipher !== '(NONE)';
  return { stands, version: stands ? version : '', group: named, cipher: stands ? cipher : '', text };
}

/** `openssl s_client` that waits for what it is told: commands such as R, and what is to be sent. */
export class OpensslClient {
  readonly #child;
  #text = '';
  readonly closed: Promise<string>;

  constructor(port: number, args: readonly string[]) {
    this.#child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args]);
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.on('data', (chunk) => {
        this.#text += String(chunk);
      });
    this.#child.stdin.on('error', () => undefined);
    this.closed = once(this.#child, 'close').then(() => this.#text);
  }

  say(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Until it has said so, and so often. */
  heard(words: string, times = 1): Promise<void> {
    return eventually(() => this.#text.split(words).length > times, `${words}, ${times} times`, 30_000);
  }
}

export interface OpensslServer {
  readonly port: number;
  /** All that it said, its clients' words included. */
  said(): string;
  stop(): Promise<void>;
}

/** `openssl s_server` on a port of the kernel's choosing. It serves one connection at a time. */
export async function opensslServer(directory: string, ...args: readonly string[]): Promise<OpensslServer> {
  const { child, said } = start('openssl', ['s_server', '-accept', '127.0.0.1:0', ...args], null, directory);
  const port = (): number => Number(/^ACCEPT \S+:(\d+)$/m.exec(said())?.[1] ?? 0);
  await eventually(
    () => {
      if (child.exitCode !== null) throw new Error(`openssl s_server: ${said()}`);
      return port() !== 0;
    },
    'openssl accepts',
    30_000,
  );
  return {
    port: port(),
    said,
    stop: async () => {
      const gone = once(child, 'exit');
      if (child.exitCode !== null || !child.kill('SIGKILL')) return;
      await gone;
    },
  };
}
