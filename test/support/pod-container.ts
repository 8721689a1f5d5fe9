// A container of a pod, as a process in the pod's network namespace, with a root of its own that is laid over the machine's: what it writes
// is gone with it. It runs as the user, and with the capabilities, that its security context says.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from './namespaces.js';
import type { SecurityContext } from './pod-objects.js';
import type { Ran } from './servers.js';
import { eventually } from './sluice.js';
import { Waiting } from './waiting.js';

/** What container runtimes leave to those who don't say. */
const DEFAULT_CAPABILITIES =
  'chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap'.split(
    ' ',
  );
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface Mount {
  /** A folder or a file. */
  readonly from: string;
  readonly to: string;
  readonly readOnly: boolean;
}

export interface ContainerPlan {
  readonly name: string;
  readonly namespace: Namespace;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  /** Texts by path; programs are those that say who reads them. */
  readonly files: Readonly<Record<string, string>>;
  readonly security: SecurityContext;
  readonly directory: string;
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function setpriv(security: SecurityContext): string[] {
  const { runAsUser = 0, runAsGroup = runAsUser, allowPrivilegeEscalation, privileged, capabilities } = security;
  if (privileged === true)
    return ['setpriv', '--reuid', String(runAsUser), '--regid', String(runAsGroup), '--clear-groups'];
  const bare = (name: string): string => name.toLowerCase().replace(/^cap_/, '');
  const dropped = (capabilities?.drop ?? []).map(bare);
  const kept = dropped.includes('all') ? [] : DEFAULT_CAPABILITIES.filter((name) => !dropped.includes(name));
  const all = [...kept, ...(capabilities?.add ?? []).map(bare)];
  return [
    'setpriv',
    ...['--reuid', String(runAsUser), '--regid', String(runAsGroup), '--clear-groups'],
    ...['--inh-caps=-all', `--bounding-set=${['-all', ...all.map((name) => `+${name}`)].join(',')}`],
    ...(allowPrivilegeEscalation === false ? ['--no-new-privs'] : []),
  ];
}

/** Makes the root and goes there. `$d` is an empty folder, `$r` the root on top of it. */
function script({ mounts, files, security, directory, command }: ContainerPlan): string {
  const base = join(directory, 'root');
  mkdirSync(base, { recursive: true });
  const lines = [
    `set -e; d=${quoted(base)}; r=$d/m`,
    'mount -t tmpfs -o mode=755 none $d; mkdir $d/u $d/w $r',
    'mount -t overlay overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w $r',
    // What is a file system of its own does not show through.
    ...['/proc', '/sys', '/dev'].map((path) => `mount --rbind ${path} $r${path}`),
    `for p in ${quoted(process.cwd())} ${quoted(process.execPath)}; do [ -e $r$p ] || { mkdir -p $r$p; mount --bind $p $r$p; }; done`,
  ];
  for (const [path, text] of Object.entries(files))
    lines.push(
      `rm -f $r${path}; printf %s ${quoted(text)} >$r${path}; chmod ${text.startsWith('#!') ? 755 : 644} $r${path}`,
    );
  // Those that lie in others come later.
  for (const { from, to, readOnly } of [...mounts].sort((a, b) => a.to.length - b.to.length)) {
    // Symbolic links, such as /var/run, are those of the new root.
    lines.push(`t=$r$(chroot $r readlink -m ${quoted(to)})`);
    lines.push(statSync(from).isDirectory() ? 'mkdir -p $t' : 'mkdir -p $(dirname $t); touch $t');
    lines.push(`mount --bind ${quoted(from)} $t`);
    if (readOnly) lines.push('mount -o remount,bind,ro $t');
  }
  if (security.readOnlyRootFilesystem === true) lines.push('mount -o remount,bind,ro $r');
  lines.push(`exec chroot $r ${[...setpriv(security), ...command].map(quoted).join(' ')}`);
  return lines.join('\n');
}

/** The root of a process; empty where that is gone. */
function rootOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/root`);
  } catch {
    return '';
  }
}

/** What it has said, and what it became. */
export class Container {
  readonly lines: string[] = [];
  /** The exit code; of what was killed 128 and the signal. */
  readonly exited: Promise<number>;
  code: number | null = null;
  readonly #child: ChildProcess;
  readonly #waiting = new Waiting();

  constructor(readonly plan: ContainerPlan) {
    const { namespace, env } = plan;
    const inside = ['nsenter', `--net=/run/netns/${namespace.name}`, 'unshare', '--mount', 'sh', '-c', script(plan)];
    this.#child = spawn(inside[0], inside.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH, ...env } });
    for (const stream of [this.#child.stdout, this.#child.stderr]) this.#collect(stream);
    this.exited = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        this.code = code ?? 128 + (signal === 'SIGKILL' ? 9 : 15);
        this.#waiting.wake();
        resolve(this.code);
      });
    });
  }

  #collect(stream: NodeJS.ReadableStream | null): void {
    let rest = '';
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.lines.push(...lines);
      this.#waiting.wake();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves with the first line, said or to be said, that matches. Rejects when it ends without. */
  async said(pattern: RegExp): Promise<string> {
    let found: string | undefined;
    await this.#waiting.until(
      () => {
        found = this.lines.find((line) => pattern.test(line));
        if (found === undefined && this.code !== null)
          throw new Error(`${this.plan.name} ended with ${this.code}:\n${this.lines.slice(-40).join('\n')}`);
        return found !== undefined;
      },
      () => `${this.plan.name}: ${pattern} in ${this.lines.slice(-40).join('\n')}`,
    );
    return found ?? '';
  }

  /** Resolves when `condition` holds; it is asked again with each line. */
  until(condition: () => boolean): Promise<void> {
    return this.#waiting.until(
      condition,
      () => `${this.plan.name}: what is waited for in ${this.lines.slice(-40).join('\n')}`,
    );
  }

  kill(signal: NodeJS.Signals): void {
    if (this.code === null) this.#child.kill(signal);
  }

  /** Runs a command beside the process: same root, same user, same environment. */
  async exec(command: readonly string[], timeoutMs = 120_000): Promise<Ran> {
    const atHome = (): boolean => this.code !== null || rootOf(this.pid) !== '/';
    await eventually(atHome, `${this.plan.name} has its root`);
    const { env, security } = this.plan;
    const inside = ['nsenter', '--target', String(this.pid), '--net', '--mount', '--root', '--wd'];
    const atRoot = ['sh', '-c', 'cd / && exec "$@"', 'sh'];
    const [program, ...args] = [...inside, ...setpriv(security), ...atRoot, ...command];
    return new Promise((resolve) => {
      const options = { timeout: timeoutMs, env: { PATH, ...env }, maxBuffer: 1 << 26 };
      execFile(program, args, options, (error, stdout, stderr) =>
        resolve({ code: error?.code ?? (error === null ? 0 : (error.signal ?? 1)), stdout, stderr }),
      );
    });
  }
}
