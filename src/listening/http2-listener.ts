// A port for HTTP/2: connections are counted and limited before they cost anything, and with TLS only clients that meet its requirements
// get through.
import { constants } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import type { Address } from '../config/model.js';
import { ConnectionLimit } from './connection-limit.js';
import { listenOn, portOf } from './listen-address.js';

/** PEM of a certificate with its chain, and of its key. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** PEM of the CAs for client certificates; absent: none are requested. */
  readonly ca?: string;
}

export type MutualTls = Required<ServerTls>;

export interface ListeningLimits {
  /** No address gets more than half of the rest. */
  readonly maxConnections: number;
  /** Timeout of a TLS handshake. */
  readonly handshakeMs: number;
}

export interface ListeningEvents {
  connected(socket: Socket): void;
  /** `limit`: over the limit; `handshake`: it failed. */
  refused(reason: 'limit' | 'handshake'): void;
}

const ALPN = 'h2';

/** Without tickets: a returning client presents its certificate again. */
const contextOf = (tls: ServerTls): SecureContextOptions => ({
  ...tls,
  minVersion: 'TLSv1.3',
  secureOptions: constants.SSL_OP_NO_TICKET,
});

export class Http2Listener {
  readonly #listener: Server | TlsServer;
  readonly #sockets: ConnectionLimit;

  /** `tls`: null for plain text. */
  constructor(
    tls: ServerTls | null,
    private readonly limits: ListeningLimits,
    private readonly events: ListeningEvents,
  ) {
    this.#sockets = new ConnectionLimit(limits.maxConnections);
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
      // A client without ALPN is taken to speak HTTP/2, like Linkerd's proxies; one that only offers other protocols fails the handshake.
      // Node's servers would take the former for HTTP/1.1.
      if (socket.alpnProtocol === false) socket.alpnProtocol = ALPN;
      this.events.connected(socket);
    });
    listener.on('tlsClientError', (_error, socket: TLSSocket) => {
      this.events.refused('handshake');
      socket.destroy();
    });
    return listener;
  }

  /** Open connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  get port(): number {
    return portOf(this.#listener);
  }

  listen(address: Address): Promise<void> {
    return listenOn(this.#listener, address);
  }

  /** Sets the certificate for new connections; existing ones continue. */
  use(tls: ServerTls): void {
    if ('setSecureContext' in this.#listener) this.#listener.setSecureContext(contextOf(tls));
  }

  /** Accepts no more connections. */
  close(): void {
    this.#listener.close();
  }

  destroyAll(): void {
    this.#sockets.destroyAll();
  }
}
