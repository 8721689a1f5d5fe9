// A Containerfile, read, and the root of its last stage put together by hand from this checkout, where there is nothing that builds images:
// what comes from the base image is this machine's, what is copied is what the build stage makes.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { page, repository } from '../docs/fences.js';

export interface Instruction {
  /** `COPY`, `RUN` … */
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  readonly base: string;
  readonly name: string;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Containerfile; lines that go on are joined. */
export function stagesOf(text: string): Stage[] {
  const lines = text.replaceAll(/\\\n/g, ' ').split('\n');
  const stages: { base: string; name: string; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const [, name, rest] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (name === 'FROM') {
      const [base, , as = ''] = rest.split(/\s+/);
      stages.push({ base, name: as, instructions: [] });
    } else if (name !== undefined) stages.at(-1)?.instructions.push({ name, text: rest });
  }
  return stages;
}

export interface Copied {
  readonly from: string;
  readonly sources: readonly string[];
  readonly to: string;
}

export function copies({ instructions }: Stage): Copied[] {
  return instructions
    .filter(({ name }) => name === 'COPY')
    .map(({ text }) => {
      const words = text.split(/\s+/);
      const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length) ?? '';
      const paths = words.filter((word) => !word.startsWith('--'));
      return { from, sources: paths.slice(0, -1), to: paths[paths.length - 1] };
    });
}

export const textOf = ({ instructions }: Stage, name: string): string =>
  instructions.findLast((instruction) => instruction.name === name)?.text ?? '';

/** Packages that are there when those of development are gone, as folders of the checkout. */
export function productionPackages(): string[] {
  const { packages } = JSON.parse(page('package-lock.json')) as {
    packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
  };
  const kept = Object.entries(packages).filter(([path, { dev, devOptional }]) => path !== '' && !(dev || devOptional));
  return kept.map(([path]) => path).filter((path) => existsSync(repository(path)));
}

/** What a stage removes of its packages. */
const removedPackages = ({ instructions }: Stage): string[] =>
  instructions.flatMap(({ name, text }) =>
    name === 'RUN' && text.startsWith('rm -rf ') ? text.split(' ').slice(2) : [],
  );

/** Of this checkout, what a path of the build stage is at its end. */
function built(path: string, stage: Stage): string[] {
  if (path === 'dist') return ['dist/src', 'dist/workers'];
  if (path !== 'node_modules') return [path];
  const gone = removedPackages(stage);
  return productionPackages().filter((folder) => !gone.some((one) => folder === one || folder.startsWith(`${one}/`)));
}

const COMMON_FILES = ['passwd', 'group', 'hosts', 'nsswitch.conf', 'resolv.conf', 'ld.so.cache', 'alternatives'];

/** Lays out `root`: the mount points of the base, and all that the last stage copies and runs. */
export function layOut(root: string, stages: readonly Stage[]): void {
  const last = stages[stages.length - 1];
  const build = stages[0];
  for (const folder of ['usr', 'proc', 'dev', 'tmp', 'run', 'etc', 'sluice', 'local/bin'])
    mkdirSync(join(root, folder), { recursive: true });
  for (const name of readdirSync('/').filter((entry) => /^(s?bin|lib\d*)$/.test(entry)))
    if (lstatSync(`/${name}`).isSymbolicLink()) symlinkSync(readlinkSync(`/${name}`), join(root, name));
  for (const name of COMMON_FILES)
    if (existsSync(`/etc/${name}`)) cpSync(`/etc/${name}`, join(root, 'etc', name), { recursive: true });
  // The base image has Node.js there.
  writeFileSync(join(root, 'local/bin/node'), '');
  const paths = copies(last).flatMap(({ sources, to }) =>
    sources.flatMap((source) => {
      const path = source.slice(`${textOf(build, 'WORKDIR')}/`.length);
      // Everything is where it was built.
      const target = to.endsWith('/') ? join(to, basename(path)) : to;
      if (target !== path) throw new Error(`${source} becomes ${target}`);
      return built(path, build);
    }),
  );
  const checkout = fileURLToPath(repository('.'));
  const archive = execFileSync('tar', ['-C', checkout, '-cf', '-', ...paths], { maxBuffer: 1 << 28 });
  execFileSync('tar', ['-C', join(root, textOf(last, 'WORKDIR')), '-xf', '-'], { input: archive });
  chmodSync(root, 0o755);
}

/** Runs a program of the image as container runtimes do: its user, no capabilities, nothing that could be written. */
export class Image {
  readonly #stages: readonly Stage[];

  constructor(
    private readonly root: string,
    text: string,
  ) {
    this.#stages = stagesOf(text);
    layOut(root, this.#stages);
  }

  get #last(): Stage {
    return this.#stages[this.#stages.length - 1];
  }

  /** What it runs where nothing else is said, and with these arguments. */
  command(args: readonly string[] | null = null): string[] {
    const list = (name: string): string[] => JSON.parse(textOf(this.#last, name)) as string[];
    return [...list('ENTRYPOINT'), ...(args ?? list('CMD'))];
  }

  #script(command: readonly string[], folders: Readonly<Record<string, string>>): string {
    const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
    const [uid, gid] = textOf(this.#last, 'USER').split(':');
    const workdir = textOf(this.#last, 'WORKDIR');
    const runs = this.#last.instructions.filter(({ name, text }) => name === 'RUN' && !text.startsWith('apt-get'));
    const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const user = `setpriv --reuid ${uid} --regid ${gid} --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs`;
    const env = `env -i ${path} ${this.#last.instructions.filter(({ name }) => name === 'ENV').map(({ text }) => text)}`;
    return [
      `set -e; cd ${quoted(this.root)}`,
      'mount --bind . .; cd "$PWD"',
      `mount --rbind /usr usr; mount --bind ${quoted(process.execPath)} local/bin/node; mount --rbind local usr/local`,
      'mount --rbind /proc proc; mount --rbind /dev dev',
      ...runs.map(
        ({ text }) =>
          `chroot . /usr/bin/env ${path} sh -ec ${quoted(`cd ${workdir}; ${text.replace('ln -s', 'ln -sf')}`)}`,
      ),
      ...Object.entries(folders).map(
        ([to, from]) => `mkdir -p .${to}; mount --bind ${quoted(from)} .${to}; mount -o remount,bind,ro .${to}`,
      ),
      'mount -o remount,bind,ro usr/local; mount -o remount,bind,ro .',
      `exec chroot . ${env} ${user} sh -c 'cd ${workdir} && exec "$@"' sh ${command.map(quoted).join(' ')}`,
    ].join('\n');
  }

  /** `folders` of this machine are mounted where they are named, as ConfigMaps are. */
  start(command: readonly string[], folders: Readonly<Record<string, string>> = {}): ChildProcess {
    const script = this.#script(command, folders);
    return spawn('unshare', ['--mount', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  }
}
