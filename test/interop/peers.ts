// Servers and clients of other ecosystems, built by peers/setup.sh (`make peers`). What is not there throws `Missing`, by name.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Missing, need, type RealServer, run, serve, start, temporary } from '../support/servers.js';
import { eventually } from '../support/sluice.js';

const SOURCES = fileURLToPath(new URL('../../../test/interop/peers/', import.meta.url));

export type Language = 'go' | 'java' | 'python';

const folders = new Map<Language, string>();

function folder(language: Language): string {
  let found = folders.get(language);
  if (found === undefined) {
    found = execFileSync('bash', [join(SOURCES, 'setup.sh'), 'where', language], { encoding: 'utf8' }).trim();
    folders.set(language, found);
  }
  if (!existsSync(join(found, '.built'))) throw new Missing(`peers in ${language} are not built (make peers)`);
  return found;
}

/** Program and first arguments of the peers in `language`. */
function command(language: Language): readonly [program: string, ...args: string[]] {
  const built = folder(language);
  switch (language) {
    case 'go':
      return [join(built, 'peers')];
    case 'java':
      return [need('java'), '-XX:TieredStopAtLevel=1', '-Xmx256m', '-cp', `${built}/lib/*:${built}/classes`, 'Peers'];
    case 'python':
      return [join(built, 'bin/python'), join(SOURCES, 'python/peers.py')];
  }
}

/** Why the peers in `language` can't be had; false where they can: for `skip`. */
export function lacking(language: Language): string | false {
  try {
    command(language);
    return false;
  } catch (error) {
    if (error instanceof Missing) return error.message;
    throw error;
  }
}

const running = new Set<RealServer>();

/** A server; see the sources for what it takes. */
export async function peerServer(
  language: Language,
  ...args: readonly string[]
): Promise<RealServer & { readonly address: string }> {
  const [program, ...first] = command(language);
  const directory = temporary(language, null);
  const started = start(program, [...first, ...args], null, directory);
  const port = (): number => Number(/\{"listening": ?(\d+)\}/.exec(started.said())?.[1] ?? 0);
  await eventually(
    () => {
      if (started.child.exitCode !== null) throw new Error(`peer in ${language}: ${started.said()}`);
      return port() !== 0;
    },
    `the peer in ${language} listens`,
    30_000,
  );
  const server = await serve(`peer in ${language}`, started, port(), directory, 'SIGTERM');
  const own = {
    ...server,
    address: `127.0.0.1:${server.port}`,
    stop: () => {
      running.delete(own);
      return server.stop();
    },
  };
  running.add(own);
  return own;
}

/** What a client says that it saw. */
export async function peerClient<T>(language: Language, ...args: readonly (string | number)[]): Promise<T> {
  const [program, ...first] = command(language);
  const { code, stdout, stderr } = await run(program, [...first, ...args.map(String)]);
  if (code !== 0) throw new Error(`peer in ${language} ${args.join(' ')}: ${code} ${stderr}`);
  return JSON.parse(stdout) as T;
}

/** Outcomes by name, such as a status; a word about the first of each. */
export interface Tally {
  readonly counts: Readonly<Record<string, number>>;
  readonly said: Readonly<Record<string, string>>;
  readonly bytes: number;
}

/** Ends what tests that failed have left running: for after the last test of a file. */
export async function stopPeers(): Promise<void> {
  await Promise.all([...running].map((server) => server.stop()));
}
