// The connection to an API server: made on demand, with HTTP/2 if the server supports it (ALPN), and renewed when it ends.
import { isIP } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { ApiAccess, TlsParts } from './access.js';
import type { Received, Sent, Wire, WireTimes } from './wire.js';
import { Http2Wire } from './wire-http2.js';

const unbracketed = (hostname: string): string => hostname.replace(/^\[|\]$/g, '');

/** A TLS connection with negotiated ALPN. */
function secured(server: URL, tls: TlsParts, timeoutMs: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const host = unbracketed(server.hostname);
    const socket = connectTls({
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...tls,
      host,
      port: Number(server.port || 443),
      ALPNProtocols: ['h2', 'http/1.1'],
    });
    socket.setKeepAlive(true, 30_000);
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error('the server closed the connection during the handshake'));
    });
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

export class Connection {
  #wire: Wire | null = null;
  #making: Promise<Wire> | null = null;
  #closed = false;

  constructor(
    private readonly access: ApiAccess,
    private readonly times: WireTimes,
  ) {}

  /** The server's protocol; null without a connection. */
  get protocol(): Wire['protocol'] | null {
    return this.#wire?.ended === false ? this.#wire.protocol : null;
  }

  async send(sent: Sent, signal: AbortSignal): Promise<Received> {
    const wire = await abortable(this.#wireNow(), signal);
    try {
      return await wire.send(sent, signal);
    } catch (error) {
      // The next connection might reach another server, which has HTTP/2.
      if (wire.protocol === 'http/1.1' && !signal.aborted) {
        wire.leave();
        if (this.#wire === wire) this.#wire = null;
      }
      throw error;
    }
  }

  /** The next call makes a new connection, with the current certificates. */
  drop(): void {
    this.#wire?.destroy();
    this.#wire = null;
  }

  close(): void {
    this.#closed = true;
    this.drop();
  }

  #wireNow(): Promise<Wire> {
    if (this.#closed) return Promise.reject(new Error('the client is closed'));
    if (this.#wire !== null && !this.#wire.ended) return Promise.resolve(this.#wire);
    this.#making ??= this.#make().finally(() => {
      this.#making = null;
    });
    return this.#making;
  }

  async #make(): Promise<Wire> {
    const { server } = this.access;
    const tls = this.access.tls();
    let wire: Wire;
    if (server.protocol === 'http:') wire = await plain(server, {}, this.times);
    else {
      const socket = await secured(server, tls, this.times.connectMs);
      if (socket.alpnProtocol === 'h2') wire = new Http2Wire(server, socket, this.times);
      else {
        socket.destroy();
        wire = await plain(server, tls, this.times);
      }
    }
    if (this.#closed) {
      wire.destroy();
      throw new Error('the client is closed');
    }
    this.#wire = wire;
    return wire;
  }
}

/** Loaded only if needed: few servers lack HTTP/2, and it takes memory. */
async function plain(server: URL, tls: TlsParts, times: WireTimes): Promise<Wire> {
  const { Http1Wire } = await import('./wire-http1.js');
  return new Http1Wire(server, tls, times);
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
