// Two Sluices of one mesh, each with an identity from files: `near`, which clients talk to, and `far`, in front of the applications.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Certified, type LeafOptions, meshName, Pki } from '../support/pki.js';
import { type Executor, type Sluice, startSluice } from '../support/sluice.js';

export const NEAR = meshName('near');
export const FAR = meshName('far');

const running = new Set<Sluice>();

/** The keys of the mesh, and where they are. */
export class Mesh {
  private constructor(
    readonly pki: Pki,
    readonly directory: string,
    readonly anchors: string,
  ) {}

  static async make(): Promise<Mesh> {
    const directory = mkdtempSync(join(tmpdir(), 'mesh-'));
    const pki = await Pki.make();
    return new Mesh(pki, directory, pki.writeAnchor(directory));
  }

  /** The section `identity` of `account`. */
  async identity(account: string, options: LeafOptions = {}, pki = this.pki): Promise<string> {
    const { certificate, key } = (await pki.workload(account, options)).write(this.directory, account);
    return `identity: { files: { certificate: ${certificate}, key: ${key}, anchors: ${this.anchors} } }`;
  }

  /** A certificate for clients and servers of the test's own. */
  workload(account: string, options: LeafOptions = {}): Promise<Certified> {
    return this.pki.workload(account, options);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface App {
  /** Of the application itself, or of who is in front of it. */
  readonly address: string;
  /** Keys of its service. */
  readonly service?: string;
  /** Keys of its listener. */
  readonly listener?: string;
  /** Of `near` only: keys of the endpoint beside its address; unless said otherwise the name of `far`. */
  readonly endpoint?: string;
}
export type Apps = Readonly<Record<string, App>>;

async function start(lines: readonly string[], io: Executor): Promise<Sluice> {
  const sluice = await startSluice(['drain: { hold: 0 }', ...lines, ''].join('\n'), io);
  running.add(sluice);
  void sluice.exited.then(() => running.delete(sluice));
  return sluice;
}

const listeners = (apps: Apps, more: string): string[] => [
  'listeners:',
  ...Object.entries(apps).map(
    ([name, { listener = '' }]) =>
      `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name}${more}${listener === '' ? '' : `, ${listener}`} }`,
  ),
];

const services = (apps: Apps, endpoint: (app: App) => string): string[] => [
  'services:',
  ...Object.entries(apps).map(
    ([name, app]) =>
      `  ${name}: { endpoints: [${endpoint(app)}]${app.service === undefined ? '' : `, ${app.service}`} }`,
  ),
];

/** In front of applications, each behind a listener of its name. */
export async function startFar(mesh: Mesh, io: Executor, apps: Apps, identity?: string): Promise<Sluice> {
  const own = identity ?? (await mesh.identity('far'));
  return start([own, ...listeners(apps, ', mesh: true'), ...services(apps, ({ address }) => `"${address}"`)], io);
}

/** For clients, each application behind a listener of its name. `identity` null: none. */
export async function startNear(mesh: Mesh, io: Executor, apps: Apps, identity?: string | null): Promise<Sluice> {
  const own = identity === undefined ? await mesh.identity('near') : (identity ?? '');
  const endpoint = ({ address, endpoint: keys = `identity: ${FAR}` }: App): string =>
    keys === '' ? `"${address}"` : `{ address: "${address}", ${keys} }`;
  return start([own, ...listeners(apps, ''), ...services(apps, endpoint)], io);
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((sluice) => sluice.stop()));
}

export interface Tap {
  readonly port: number;
  /** All that has passed, in either direction. */
  bytes(): Buffer;
  close(): void;
}

/** Relays to `port`, and keeps what passes. */
export async function tap(port: number): Promise<Tap> {
  const chunks: Buffer[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const onward = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      from.on('data', (chunk: Buffer) => chunks.push(chunk));
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    bytes: () => Buffer.concat(chunks),
    close: () => server.close(),
  };
}
