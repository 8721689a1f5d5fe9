// An API server for faults only: a script answers each request, in whatever wrong way it wants. HTTP/2 or HTTP/1.1, over TLS.
import { once } from 'node:events';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ApiAccess } from '../../src/kubernetes/access.js';
import { Pki } from './pki.js';
import { Waiting } from './waiting.js';

interface Reply {
  on(event: 'error', listener: () => void): unknown;
  writeHead(status: number, headers?: Readonly<Record<string, string>>): Reply;
  write(text: string): boolean;
  end(text?: string): unknown;
}

interface Request extends AsyncIterable<unknown> {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface Asked {
  readonly method: string;
  /** Without its query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string;
  readonly type: string;
  readonly body: string;
  readonly response: Reply;
}

/** Answers JSON with a status. */
export function answer(
  { response }: Asked,
  body: object | string,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

/** A Status, as API servers refuse. */
export function refuse(
  asked: Asked,
  code: number,
  reason: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  answer(asked, { kind: 'Status', status: 'Failure', code, reason, message }, code, headers);
}

export class FaultyApi {
  /** Everything asked so far. */
  readonly asked: Asked[] = [];
  readonly arrived = new Waiting();
  readonly sessions = new Set<ServerHttp2Session>();
  readonly sockets = new Set<TLSSocket>();
  connections = 0;
  /** Names in certificates that clients have shown. */
  readonly clients = new Set<string>();
  /** What becomes of the next requests. */
  script: (asked: Asked) => void = (asked) => refuse(asked, 404, 'NotFound', 'nothing is here');
  token = 'a-token';

  private constructor(
    private readonly server: Http2SecureServer | Server,
    readonly pki: Pki,
    readonly anchor: string,
  ) {}

  static async start(protocol: 'h2' | 'http/1.1' = 'h2'): Promise<FaultyApi> {
    const pki = await Pki.make({ name: 'faulty' });
    const { chain: cert, key } = await pki.leaf({ ips: ['127.0.0.1'] });
    const options = { cert, key, ca: pki.anchor, requestCert: true, rejectUnauthorized: false };
    const server = protocol === 'h2' ? createSecureServer(options) : createServer(options);
    const api = new FaultyApi(server, pki, pki.anchor);
    server.on('secureConnection', (socket: TLSSocket) => {
      api.connections++;
      const { CN: name } = socket.getPeerCertificate().subject ?? {};
      if (typeof name === 'string') api.clients.add(name);
      api.sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => api.sockets.delete(socket));
    });
    server.on('session', (session: ServerHttp2Session) => {
      api.sessions.add(session);
      session.on('error', () => undefined).once('close', () => api.sessions.delete(session));
    });
    server.on('request', (request: Request, response: Reply) => void api.take(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return api;
  }

  get access(): ApiAccess {
    const { port } = this.server.address() as AddressInfo;
    return {
      server: new URL(`https://127.0.0.1:${port}`),
      tls: () => ({ ca: this.anchor }),
      authorization: () => `Bearer ${this.token}`,
      refused: () => undefined,
    };
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.cut();
    await closed;
  }

  private async take(request: Request, response: Reply): Promise<void> {
    const chunks: Buffer[] = [];
    response.on('error', () => undefined);
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '', 'https://api');
    const asked: Asked = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      token: String(request.headers.authorization ?? '').replace(/^Bearer /, ''),
      type: String(request.headers['content-type'] ?? ''),
      body: Buffer.concat(chunks).toString(),
      response,
    };
    this.asked.push(asked);
    this.script(asked);
    this.arrived.wake();
  }
}
