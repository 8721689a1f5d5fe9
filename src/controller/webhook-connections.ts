// Connections of those who call the webhook: how many there may be, how long they may do nothing, and how they end. Node's server for both
// versions of HTTP bounds neither.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Sockets } from '../listening/sockets.js';

export interface ConnectionLimits {
  /** One address never gets more than half of what is left. */
  readonly maxConnections: number;
  /** From the begin of a connection to its first request. */
  readonly requestMs: number;
  readonly idleMs: number;
  readonly graceMs: number;
}

/** A connection of HTTP/1.1: what is open on it, and until when something must be. */
interface Http1Connection {
  open: number;
  deadline: NodeJS.Timeout | null;
}

export class WebhookConnections {
  readonly #sockets: Sockets;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #http1 = new Map<Socket, Http1Connection>();
  #closing = false;

  constructor(
    private readonly server: Http2SecureServer,
    private readonly limits: ConnectionLimits,
  ) {
    this.#sockets = new Sockets(limits.maxConnections);
    server.on('connection', (socket: Socket) => {
      if (this.#closing) socket.destroy();
      else this.#sockets.admit(socket);
    });
    server.on('secureConnection', (socket: TLSSocket) => this.#secured(socket));
    server.on('session', (session) => this.#session(session));
    // Those who don't get through a handshake are closed by the server itself.
    server.on('tlsClientError', (_, socket) => socket.destroy());
    server.on('sessionError', () => undefined);
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** A request has begun. */
  begun(request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse): void {
    if ('stream' in response) return;
    const { socket } = request;
    const connection = this.#http1.get(socket);
    if (connection === undefined) return;
    connection.open++;
    if (connection.deadline !== null) clearTimeout(connection.deadline);
    connection.deadline = null;
    response.once('close', () => {
      connection.open--;
      if (connection.open > 0 || socket.destroyed) return;
      if (this.#closing) socket.destroySoon();
      else this.#expect(socket, connection, this.limits.idleMs);
    });
  }

  /** No more are accepted; those that do nothing are closed, others when they have done. Whether none was cut off. */
  close(): Promise<boolean> {
    this.#closing = true;
    return new Promise((resolve) => {
      let clean = true;
      const force = setTimeout(() => {
        clean = false;
        this.#sockets.cut();
      }, this.limits.graceMs);
      this.server.close(() => {
        clearTimeout(force);
        resolve(clean);
      });
      for (const session of this.#sessions) session.close();
      for (const [socket, { open }] of this.#http1) if (open === 0) socket.destroySoon();
    });
  }

  #secured(socket: TLSSocket): void {
    socket.on('error', () => undefined);
    if (socket.alpnProtocol === 'h2') return;
    // A client has done with its handshake before the server has.
    if (this.#closing) {
      socket.destroySoon();
      return;
    }
    const connection: Http1Connection = { open: 0, deadline: null };
    this.#http1.set(socket, connection);
    socket.once('close', () => {
      this.#http1.delete(socket);
      if (connection.deadline !== null) clearTimeout(connection.deadline);
    });
    this.#expect(socket, connection, this.limits.requestMs);
  }

  #expect(socket: Socket, connection: Http1Connection, ms: number): void {
    connection.deadline = setTimeout(() => socket.destroy(), ms);
    connection.deadline.unref();
  }

  #session(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on('error', () => undefined);
    session.once('close', () => this.#sessions.delete(session));
    session.setTimeout(this.limits.idleMs, () => session.destroy());
    if (this.#closing) session.close();
  }
}
