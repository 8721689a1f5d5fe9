// Certificates, clients and endpoints for tests of TLS.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { type Certified, Pki } from '../support/pki.js';

export const NAME = 'web.example';
export const OTHER = 'shop.example';

/** A root and what it has signed, in files. */
export class Certificates {
  private constructor(
    readonly directory: string,
    readonly pki: Pki,
    readonly stranger: Pki,
    readonly web: Certified,
    readonly shop: Certified,
    readonly client: Certified,
  ) {}

  static async make(): Promise<Certificates> {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
    const [pki, stranger] = await Promise.all([Pki.make(), Pki.make({ name: 'stranger' })]);
    const web = await pki.leaf({ dns: [NAME, `*.${NAME}`] });
    const shop = await pki.leaf({ dns: [OTHER], kind: 'rsa' });
    const client = await pki.leaf({ dns: ['client.example'], uris: ['spiffe://test/client'] });
    pki.writeAnchor(directory, 'ca');
    stranger.writeAnchor(directory, 'stranger');
    web.write(directory, 'web');
    shop.write(directory, 'shop');
    client.write(directory, 'client');
    return new Certificates(directory, pki, stranger, web, shop, client);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** `tls:` of a listener. */
  listener(more = ''): string {
    const of = (name: string) => `{ certificate: ${this.path(`${name}.pem`)}, key: ${this.path(`${name}-key.pem`)} }`;
    return `{ certificates: [${of('web')}, ${of('shop')}]${more === '' ? '' : `, ${more}`} }`;
  }

  /** `tls:` of a service. */
  service(more = ''): string {
    return `{ serverName: ${NAME}, ca: ${this.path('ca.pem')}${more === '' ? '' : `, ${more}`} }`;
  }

  /** What Node's servers take. */
  get server(): { readonly cert: string; readonly key: string } {
    return { cert: this.web.chain, key: this.web.key };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A TLS connection that stands; rejects where the handshake fails. */
export async function secure(
  port: number,
  certificates: Certificates,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const ca = certificates.pki.anchor;
  // The types of Node.js do not know that it takes what sockets take.
  const halfOpen: ConnectionOptions & { readonly allowHalfOpen: boolean } = { allowHalfOpen: true, ...options };
  const socket = connect({ host: '127.0.0.1', port, ca, servername: NAME, ...halfOpen });
  await once(socket, 'secureConnect');
  socket.on('error', () => undefined);
  return socket;
}

/** Everything that comes on `socket`, and how it ended: `end` with close_notify or FIN, else the code of an error. */
export async function heard(socket: TLSSocket): Promise<{ readonly text: string; readonly how: string }> {
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  const how = await new Promise<string>((resolve) => {
    socket.once('end', () => resolve('end'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('close', () => resolve('close'));
  });
  return { text, how };
}

export async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
