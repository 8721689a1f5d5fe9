// A port on which HTTP/2 is spoken: connections are counted and bounded before they cost anything, and with TLS only those get through who
// keep to what it asks for.
import { constants } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import type { Address } from '../config/model.js';
import { listenOn, portOf } from './place.js';
import { Sockets } from './sockets.js';

/** PEM of a certificate with its chain, and of its key. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** PEM of what clients' certificates must lead to; absent: nobody is asked for one. */
  readonly ca?: string;
}

export type MutualTls = Required<ServerTls>;

export interface ListeningLimits {
  /** One address never gets more than half of what is left. */
  readonly maxConnections: number;
  /** From the begin to the end of a TLS handshake. */
  readonly handshakeMs: number;
}

export interface ListeningEvents {
  connected(socket: Socket): void;
  /** `limit`: it is one too many; `handshake`: it did not get through it. */
  refused(reason: 'limit' | 'handshake'): void;
}

const ALPN = 'h2';

/** Without tickets: who comes again shows its certificate again. */
const contextOf = (tls: ServerTls): SecureContextOptions => ({
  ...tls,
  minVersion: 'TLSv1.3',
  secureOptions: constants.SSL_OP_NO_TICKET,
});

export class Listening {
  readonly #listener: Server | TlsServer;
  readonly #sockets: Sockets;

  /** `tls`: null for plain text. */
  constructor(
    tls: ServerTls | null,
    private readonly limits: ListeningLimits,
    private readonly events: ListeningEvents,
  ) {
    this.#sockets = new Sockets(limits.maxConnections);
    this.#listener = tls === null ? createServer() : this.#secure(tls);
    this.#listener.maxConnections = limits.maxConnections;
    this.#listener.on('drop', () => events.refused('limit'));
    this.#listener.on('connection', (socket: Socket) => {
      if (!this.#sockets.admit(socket)) {
        events.refused('limit');
        return;
      }
      socket.setNoDelay(true);
      if (tls === null) events.connected(socket);
    });
  }

  #secure(tls: ServerTls): TlsServer {
    const asked = tls.ca !== undefined;
    const manner = {
      requestCert: asked,
      rejectUnauthorized: asked,
      ALPNProtocols: [ALPN],
      handshakeTimeout: this.limits.handshakeMs,
    };
    const listener = createTlsServer({ ...contextOf(tls), ...manner }, (socket: TLSSocket) => {
      // Who names no protocol speaks HTTP/2, as Linkerd's proxies do; who names others only is refused in the handshake. Node's servers
      // would take the former for HTTP/1.1.
      if (socket.alpnProtocol === false) socket.alpnProtocol = ALPN;
      this.events.connected(socket);
    });
    listener.on('tlsClientError', (_error, socket: TLSSocket) => {
      this.events.refused('handshake');
      socket.destroy();
    });
    return listener;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  get port(): number {
    return portOf(this.#listener);
  }

  listen(address: Address): Promise<void> {
    return listenOn(this.#listener, address);
  }

  /** New connections are made with this; those that there are go on. */
  use(tls: ServerTls): void {
    if ('setSecureContext' in this.#listener) this.#listener.setSecureContext(contextOf(tls));
  }

  /** Accepts no more. */
  close(): void {
    this.#listener.close();
  }

  cut(): void {
    this.#sockets.cut();
  }
}
