// Limits on the webhook's connections: their number, their idle time, and their shutdown. Node's HTTP servers limit none of these.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ConnectionLimit } from '../listening/connection-limit.js';

export interface ConnectionLimits {
  /** No address gets more than half of the rest. */
  readonly maxConnections: number;
  /** Time from the start of a connection to its first request. */
  readonly requestMs: number;
  readonly idleMs: number;
  readonly graceMs: number;
}

/** An HTTP/1.1 connection: its open requests, and the deadline for the next one. */
interface Http1Connection {
  open: number;
  deadline: NodeJS.Timeout | null;
}

export class WebhookConnections {
  readonly #sockets: ConnectionLimit;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #http1 = new Map<Socket, Http1Connection>();
  #closing = false;

  constructor(
    private readonly server: Http2SecureServer,
    private readonly limits: ConnectionLimits,
  ) {
    this.#sockets = new ConnectionLimit(limits.maxConnections);
    server.on('connection', (socket: Socket) => {
      if (this.#closing) socket.destroy();
      else this.#sockets.admit(socket);
    });
    server.on('secureConnection', (socket: TLSSocket) => this.#secured(socket));
    server.on('session', (session) => this.#session(session));
    // The server itself closes connections with failed handshakes.
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

  /** Accepts no more connections; closes idle ones now, and others when they are done. Returns whether none was cut off. */
  close(): Promise<boolean> {
    this.#closing = true;
    return new Promise((resolve) => {
      let clean = true;
      const force = setTimeout(() => {
        clean = false;
        this.#sockets.destroyAll();
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
    // A client may complete its handshake before the server does.
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
