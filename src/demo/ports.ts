// The demo's ports: those of docs/demo.yaml, or all of them moved by the same number if one is in use.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CONFIG = fileURLToPath(new URL('../../../docs/demo.yaml', import.meta.url));
/** Tried in turn. All moved ports are below 32768, where the kernel's range of ephemeral ports begins. */
const SHIFTS = [0, 10_000, 20_000];

/** All on 127.0.0.1. */
export interface Ports {
  readonly admin: number;
  readonly edge: number;
  readonly chat: number;
  readonly mail: number;
  readonly servers: ServerPorts;
}

export interface ServerPorts {
  readonly web: readonly [number, number, number];
  readonly greeter: readonly [number, number, number];
  readonly chat: number;
  readonly echo: number;
  readonly mail: number;
}

export function demoPorts(shift: number): Ports {
  const at = (port: number): number => port + shift;
  return {
    admin: at(4191),
    edge: at(8080),
    chat: at(8081),
    mail: at(8082),
    servers: {
      web: [at(9001), at(9002), at(9003)],
      chat: at(9004),
      echo: at(9005),
      mail: at(9006),
      greeter: [at(9007), at(9008), at(9009)],
    },
  };
}

const allOf = ({ admin, edge, chat, mail, servers }: Ports): number[] => [
  admin,
  edge,
  chat,
  mail,
  ...servers.web,
  ...servers.greeter,
  servers.chat,
  servers.echo,
  servers.mail,
];

/** Those of `ports` that are in use now. */
export async function taken(ports: Ports): Promise<number[]> {
  const states = await Promise.all(allOf(ports).map(async (port) => ({ port, free: await isFree(port) })));
  return states.filter(({ free }) => !free).map(({ port }) => port);
}

/** The first shift with which all ports are free, and the default ports that are in use. Throws if there is none. */
export async function freeShift(): Promise<{ shift: number; inTheWay: readonly number[] }> {
  let inTheWay: readonly number[] = [];
  for (const shift of SHIFTS) {
    const occupied = await taken(demoPorts(shift));
    if (shift === 0) inTheWay = occupied;
    if (occupied.length === 0) return { shift, inTheWay };
  }
  throw new Error(`ports ${inTheWay.join(', ')} are taken, and so are the next ones tried; --shift N moves all by N`);
}

function advice({ code }: NodeJS.ErrnoException): string {
  if (code === 'EMFILE' || code === 'ENFILE')
    return '; the demo needs some 100 open files: raise the limit (ulimit -n)';
  return code === 'EACCES' ? '; take ports that this user may use: --shift N moves all by N' : '';
}

/** docs/demo.yaml for these ports: the file itself, or a copy with moved ports, which `remove` deletes. */
export function demoConfig(shift: number): { readonly file: string; remove(): void } {
  if (shift === 0) return { file: CONFIG, remove: () => undefined };
  const directory = mkdtempSync(join(tmpdir(), 'sluice-demo-'));
  const file = join(directory, 'demo.yaml');
  const text = readFileSync(CONFIG, 'utf8');
  writeFileSync(
    file,
    text.replace(/127\.0\.0\.1:(\d+)/g, (_, port) => `127.0.0.1:${Number(port) + shift}`),
  );
  return { file, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** Rejects if that can't be found out, for example because no file descriptor is left. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(new Error(`cannot listen on 127.0.0.1:${port}: ${error.message}${advice(error)}`));
    });
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
