// `sluice controller` as a process, with a cluster in a file and an issuer in files.
import { type ChildProcess, execFileSync } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Issuer } from '../../src/identity/issuing/issuer.js';
import { OwnCertificate } from '../../src/identity/issuing/own-certificate.js';
import { LoggedProcess, type LogLine, MAIN, pageOf } from './logged-process.js';
import { inherited } from './sluice.js';

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
  const begun = await LoggedProcess.start(['controller', ...free, ...args], 'all parts have begun');
  const ports = {
    identity: begun.portOf('identity service started'),
    destination: begun.portOf('destination service started'),
    admin: begun.portOf('controller started', 'adminPort'),
  };
  return {
    child: begun.child,
    ports,
    logged: (message) => begun.logged(message),
    page: (path) => pageOf(ports.admin, path),
    stop: (signal) => begun.stop(signal),
  };
}
