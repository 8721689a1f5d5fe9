// `sluice controller` as a process, with a cluster in a file and an issuer in files.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Issuer } from '../../src/identity/issuing/issuer.js';
import { OwnCertificate } from '../../src/identity/issuing/own-certificate.js';
import type { LogLine } from './identity-service.js';
import { eventually, inherited } from './sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** What it says where it does not start, and how it ends. */
export class ControllerFailed extends Error {
  constructor(
    message: string,
    readonly code: number | null,
  ) {
    super(message);
  }
}

/** An issuer, tokens and a cluster in a directory. */
export class ControllerFiles {
  readonly cluster: string;
  readonly tokens: string;

  constructor(readonly directory: string) {
    const made = join(directory, 'made');
    execFileSync(process.execPath, [MAIN, 'identity', 'dev', made, '--names', 'shop/web'], { env: inherited() });
    this.cluster = join(directory, 'cluster.yaml');
    this.tokens = join(made, 'tokens');
    this.describe({});
  }

  get anchors(): string {
    return readFileSync(this.path('anchors.pem'), 'utf8');
  }

  path(name: string): string {
    return join(this.directory, 'made', name);
  }

  /** What the cluster has from now on. */
  describe(lists: Readonly<Record<string, readonly object[]>>): void {
    writeFileSync(`${this.cluster}.new`, JSON.stringify(lists));
    renameSync(`${this.cluster}.new`, this.cluster);
  }

  get arguments(): string[] {
    const issuer = ['--issuer-certificate', this.path('issuer.pem'), '--issuer-key', this.path('issuer-key.pem')];
    return ['--cluster', this.cluster, '--tokens', this.tokens, ...issuer, '--anchors', this.path('anchors.pem')];
  }

  /** A certificate of the mesh. */
  async certified(name: string): Promise<{ cert: string; key: string; ca: string }> {
    const files = { certificate: this.path('issuer.pem'), key: this.path('issuer-key.pem'), anchors: null };
    const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const issuer = await Issuer.load(files, { logger, now: Date.now, loaded: () => undefined });
    const span = { lifetimeMs: 3_600_000, skewMs: 60_000 };
    return { ...(await new OwnCertificate([name], issuer, span).make()), ca: this.anchors };
  }
}

export interface ControllerProcess {
  readonly child: ChildProcess;
  readonly ports: { readonly identity: number; readonly destination: number; readonly admin: number };
  logged(message: string): LogLine[];
  page(path: string): Promise<{ status: number; body: string }>;
  /** Ends it; returns the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts it on free ports, but for those that are given. */
export async function startController(args: readonly string[]): Promise<ControllerProcess> {
  const free = ['identity-listen', 'destination-listen', 'injector-listen', 'admin']
    .filter((name) => !args.includes(`--${name}`))
    .flatMap((name) => [`--${name}`, '127.0.0.1:0']);
  const child = spawn(process.execPath, [MAIN, 'controller', ...free, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: inherited(),
  });
  const log: LogLine[] = [];
  let raw = '';
  let rest = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    raw += chunk;
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) log.push(JSON.parse(line));
  });
  const closed = once(child, 'close');
  const logged = (message: string): LogLine[] => log.filter((line) => line.message === message);
  await eventually(() => child.exitCode !== null || logged('all parts have begun').length > 0, 'a start');
  if (child.exitCode !== null) {
    await closed;
    throw new ControllerFailed(raw.trim(), child.exitCode);
  }
  const portOf = (message: string, field = 'port'): number => Number(logged(message)[0]?.[field]);
  const ports = {
    identity: portOf('identity service started'),
    destination: portOf('destination service started'),
    admin: portOf('controller started', 'adminPort'),
  };
  return {
    child,
    ports,
    logged,
    async page(path) {
      const response = await fetch(`http://127.0.0.1:${ports.admin}${path}`);
      return { status: response.status, body: await response.text() };
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      await closed;
      return child.exitCode;
    },
  };
}
