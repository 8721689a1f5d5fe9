// Real servers for end-to-end tests, each in a temporary directory on a port of 22000-27999 (they take no port 0).
// What is not installed or not allowed here is named, so that a test can skip loudly.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { eventually } from './sluice.js';

const FIRST_PORT = 22_000;
const LAST_PORT = 27_999;
const HOST = '127.0.0.1';
const isRoot = process.getuid?.() === 0;

export interface RealServer {
  readonly port: number;
  readonly directory: string;
  stop(): Promise<void>;
}

/** Why a server cannot be had here. */
export class Missing extends Error {}

let nextPort = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));

/** A port below the kernel's ephemeral range that nobody listens on. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries <= LAST_PORT - FIRST_PORT; tries++) {
    const port = nextPort;
    nextPort = port === LAST_PORT ? FIRST_PORT : port + 1;
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once('error', () => resolve(false));
      probe.listen(port, HOST, () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error(`every port of ${FIRST_PORT}-${LAST_PORT} is taken`);
}

/** Path of an installed program, or null. */
export function which(program: string): string | null {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  for (const directory of directories) {
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there.
    }
  }
  return null;
}

/** Path of a program that has to be there. */
export function need(program: string): string {
  const path = program.includes('/') ? (existsSync(program) ? program : null) : which(program);
  if (path === null) throw new Missing(`${program} is not installed`);
  return path;
}

export interface Ran {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a client program to its end. */
export function run(program: string, args: readonly string[], input = '', env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { maxBuffer: 1 << 28, timeout: 60_000, env: { ...process.env, ...env } };
    const child = execFile(program, args, options, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? (error === null ? 0 : (error.signal ?? 1)), stdout, stderr }),
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** Ids of a user to run as, where the tests run as root and the server refuses to. */
export async function idsOf(user: string): Promise<{ uid: number; gid: number }> {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${user}:`));
  if (line === undefined) throw new Missing(`there is no user ${user} to run it as`);
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

interface Started {
  readonly child: ChildProcess;
  readonly said: () => string;
}

export function start(
  program: string,
  args: readonly string[],
  as: { uid: number; gid: number } | null,
  cwd: string,
): Started {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd, ...(as ?? {}) });
  let text = '';
  const collect = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-8000);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  child.on('error', (error) => {
    text += error.message;
  });
  return { child, said: () => text };
}

/** A server that accepts, once it does; `stop` ends it with `signal`. */
export async function serve(
  name: string,
  started: Started,
  port: number,
  directory: string,
  signal: NodeJS.Signals,
): Promise<RealServer> {
  const { child, said } = started;
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const accepts = (): Promise<boolean> =>
    new Promise((resolve) => {
      if (child.exitCode !== null) throw new Error(`${name} exited with ${child.exitCode}: ${said()}`);
      const socket = connect(port, HOST, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    const force = setTimeout(() => child.kill('SIGKILL'), 5000);
    await exited;
    clearTimeout(force);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await eventually(accepts, `${name} accepts: ${said()}`, 30_000);
  } catch (error) {
    await stop();
    throw new Error(`${(error as Error).message}\n${said()}`);
  }
  return { port, directory, stop };
}

export function temporary(name: string, owner: { uid: number; gid: number } | null): string {
  const directory = mkdtempSync(join(tmpdir(), `sluice-${name}-`));
  chmodSync(directory, 0o755);
  if (owner !== null) chownSync(directory, owner.uid, owner.gid);
  return directory;
}

/** Programs of PostgreSQL, which distributions keep out of the way. */
export function postgresPrograms(): { readonly initdb: string; readonly postgres: string } {
  const versions = '/usr/lib/postgresql';
  const version = existsSync(versions) ? readdirSync(versions).sort().at(-1) : undefined;
  const find = (name: string): string => need(version === undefined ? name : join(versions, version, 'bin', name));
  return { initdb: find('initdb'), postgres: find('postgres') };
}

export async function startPostgres(): Promise<RealServer> {
  const { initdb, postgres } = postgresPrograms();
  const as = isRoot ? await idsOf('postgres') : null;
  const directory = temporary('postgres', as);
  const data = join(directory, 'data');
  const made = await new Promise<string>((resolve) => {
    const child = start(
      initdb,
      ['-D', data, '-A', 'trust', '-U', 'postgres', '-N', '--locale=C', '-E', 'UTF8'],
      as,
      directory,
    );
    child.child.once('close', (code) => resolve(code === 0 ? '' : child.said()));
  });
  if (made !== '') throw new Error(`initdb: ${made}`);
  const port = await freePort();
  const args = [
    '-D',
    data,
    '-p',
    String(port),
    '-h',
    HOST,
    '-k',
    directory,
    '-c',
    'fsync=off',
    '-c',
    'logging_collector=off',
  ];
  return serve('postgres', start(postgres, args, as, directory), port, directory, 'SIGINT');
}

export async function startMariadb(): Promise<RealServer> {
  const server = need('mariadbd');
  const install = need('mariadb-install-db');
  const as = isRoot ? await idsOf('mysql') : null;
  const directory = temporary('mariadb', as);
  const data = join(directory, 'data');
  const common = ['--no-defaults', `--datadir=${data}`];
  const made = await new Promise<string>((resolve) => {
    const options = ['--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve'];
    const child = start(install, [...common, ...options], as, directory);
    child.child.once('close', (code) => resolve(code === 0 ? '' : child.said()));
  });
  if (made !== '') throw new Error(`mariadb-install-db: ${made}`);
  const port = await freePort();
  const own = [
    `--port=${port}`,
    `--bind-address=${HOST}`,
    `--socket=${join(directory, 's')}`,
    `--pid-file=${join(directory, 'pid')}`,
  ];
  // Host names are not resolved, and a probe that only connects does not get this host blocked.
  const settings = [
    '--skip-name-resolve',
    '--max-connect-errors=1000000',
    '--innodb-flush-log-at-trx-commit=0',
    '--skip-log-bin',
  ];
  return serve('mariadbd', start(server, [...common, ...own, ...settings], as, directory), port, directory, 'SIGTERM');
}

export async function startRedis(): Promise<RealServer> {
  const server = need('redis-server');
  const directory = temporary('redis', null);
  const port = await freePort();
  const args = ['--port', String(port), '--bind', HOST, '--save', '', '--appendonly', 'no', '--dir', directory];
  return serve('redis-server', start(server, args, null, directory), port, directory, 'SIGTERM');
}

export async function startMemcached(): Promise<RealServer> {
  const server = need('memcached');
  const directory = temporary('memcached', null);
  const port = await freePort();
  const args = ['-p', String(port), '-l', HOST, '-U', '0', ...(isRoot ? ['-u', 'nobody'] : [])];
  return serve('memcached', start(server, args, null, directory), port, directory, 'SIGTERM');
}

/** An sshd that can be asked for its keys; nobody can log in. */
export async function startSshd(): Promise<RealServer> {
  const server = need('sshd');
  const keygen = need('ssh-keygen');
  // As root it wants a directory of the system; as anybody else it doesn't.
  const as = isRoot ? await idsOf('nobody') : null;
  const directory = temporary('sshd', as);
  const key = join(directory, 'key');
  const made = await run(keygen, ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  if (made.code !== 0) throw new Error(`ssh-keygen: ${made.stderr}`);
  if (as !== null) chownSync(key, as.uid, as.gid);
  const port = await freePort();
  const config = join(directory, 'config');
  writeFileSync(
    config,
    `Port ${port}\nListenAddress ${HOST}\nHostKey ${key}\nPidFile none\nUsePAM no\nMaxStartups 1000\n`,
  );
  return serve('sshd', start(server, ['-D', '-e', '-f', config], as, directory), port, directory, 'SIGTERM');
}

/** Where the SMTP server puts what it accepted for alice@mail.test. */
export const mailDirectory = (server: RealServer): string => join(server.directory, 'mail', 'new');

/** OpenSMTPD. Its spool and control socket have fixed places, so it gets a mount namespace where they are its own. */
export async function startSmtpd(): Promise<RealServer> {
  const server = need('smtpd');
  const unshare = need('unshare');
  if (!isRoot) throw new Missing('smtpd has to start as root');
  const probe = await run(unshare, ['--mount', 'sh', '-c', 'mount -t tmpfs none /var/spool']);
  if (probe.code !== 0) throw new Missing(`smtpd needs a mount namespace, which is refused: ${probe.stderr.trim()}`);
  const as = await idsOf('nobody');
  const directory = temporary('smtpd', null);
  const mail = join(directory, 'mail');
  mkdirSync(mail);
  chownSync(mail, as.uid, as.gid);
  const port = await freePort();
  const config = join(directory, 'config');
  writeFileSync(
    config,
    [
      `listen on ${HOST} port ${port} hostname mail.test`,
      'table users { "alice@mail.test" = "nobody" }',
      `action "deliver" maildir "${mail}" virtual <users>`,
      'match from any for any action "deliver"',
      '',
    ].join('\n'),
  );
  const script =
    'mount -t tmpfs none /var/spool && mkdir -m 711 /var/spool/smtpd && mount -t tmpfs none /run && exec "$0" -d -f "$1"';
  return serve(
    'smtpd',
    start(unshare, ['--mount', 'sh', '-c', script, server, config], null, directory),
    port,
    directory,
    'SIGTERM',
  );
}
