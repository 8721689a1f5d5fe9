// The port: connections are counted and bounded before they cost anything, and with TLS only those get through who have a certificate of
// the mesh.
import { constants } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import type { Address } from '../../config/model.js';
import { fits } from '../../identity/issuing/admission.js';

/** PEM of a certificate with its chain, of its key, and of what clients' certificates must lead to. */
export interface MutualTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface ListeningLimits {
  /** One address never gets more than half of what is left. */
  readonly maxConnections: number;
  /** From the begin to the end of a TLS handshake. */
  readonly handshakeMs: number;
}

export interface ListeningEvents {
  connected(socket: Socket): void;
  /** `limit`: it is one too many; `handshake`: it did not show who it is. */
  refused(reason: 'limit' | 'handshake'): void;
}

const ALPN = 'h2';

/** Without tickets: who comes again shows its certificate again. */
const contextOf = (tls: MutualTls): SecureContextOptions => ({
  ...tls,
  minVersion: 'TLSv1.3',
  secureOptions: constants.SSL_OP_NO_TICKET,
});

export class Listening {
  readonly #listener: Server | TlsServer;
  readonly #sockets = new Set<Socket>();
  /** Connections of each address that has some. */
  readonly #addresses = new Map<string, number>();

  /** `tls`: null for plain text. */
  constructor(
    tls: MutualTls | null,
    private readonly limits: ListeningLimits,
    private readonly events: ListeningEvents,
  ) {
    this.#listener =
      tls === null ? createServer({ noDelay: true }, (socket) => events.connected(socket)) : this.#secure(tls);
    this.#listener.maxConnections = limits.maxConnections;
    this.#listener.on('drop', () => events.refused('limit'));
    this.#listener.on('connection', (socket: Socket) => this.#admit(socket));
  }

  #secure(tls: MutualTls): TlsServer {
    const manner = {
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [ALPN],
      handshakeTimeout: this.limits.handshakeMs,
    };
    const listener = createTlsServer({ ...contextOf(tls), ...manner }, (socket: TLSSocket) => {
      if (socket.alpnProtocol === ALPN) this.events.connected(socket);
      else socket.destroy();
    });
    listener.on('tlsClientError', (_error, socket: TLSSocket) => {
      this.events.refused('handshake');
      socket.destroy();
    });
    return listener;
  }

  #admit(socket: Socket): void {
    // Nobody else listens before there is a session; what goes wrong is the caller's own business.
    socket.on('error', () => undefined);
    const address = socket.remoteAddress ?? '';
    const own = this.#addresses.get(address) ?? 0;
    if (!fits(own, this.#sockets.size, this.limits.maxConnections)) {
      this.events.refused('limit');
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    this.#addresses.set(address, own + 1);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const left = (this.#addresses.get(address) ?? 1) - 1;
      if (left === 0) this.#addresses.delete(address);
      else this.#addresses.set(address, left);
    });
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  get port(): number {
    const address = this.#listener.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  listen({ host, port }: Address): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void =>
        reject(new Error(`cannot listen on ${host}:${port}: ${error.code ?? error.message}`, { cause: error }));
      this.#listener.once('error', failed);
      this.#listener.listen(port, host, () => {
        this.#listener.off('error', failed);
        this.#listener.on('error', () => undefined);
        resolve();
      });
    });
  }

  /** New connections are made with this; those that there are go on. */
  use(tls: MutualTls): void {
    if ('setSecureContext' in this.#listener) this.#listener.setSecureContext(contextOf(tls));
  }

  /** Accepts no more. */
  close(): void {
    this.#listener.close();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
