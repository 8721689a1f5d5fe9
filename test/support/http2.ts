// HTTP/2 by Node's own `http2`: endpoints that count what reaches them, and a client that keeps what it is told. The endpoints'
// behaviour is the same for HTTP/1 (`http1Endpoint`).
import { once } from 'node:events';
import { createServer as createHttp1Server } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerOptions,
} from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { type Answering, type Asked, type Behaviour, usual } from './content.js';

const HOST = '127.0.0.1';

export interface Endpoint {
  readonly port: number;
  readonly address: string;
  /** Requests that have arrived. */
  readonly requests: number;
  /** Connections that have arrived. */
  readonly connections: number;
  /** Connections that are open. */
  readonly open: number;
  /** Ends everything that is open, and the port. */
  close(): Promise<void>;
}

export interface Http2Endpoint extends Endpoint {
  readonly server: Http2Server;
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  readonly sockets: ReadonlySet<Socket>;
  /** Most streams that were open on one connection at once. */
  readonly peak: number;
}

/** Endpoints that are not closed. */
const running = new Set<Endpoint>();

async function listening(server: Server, port: number): Promise<number> {
  server.listen(port, HOST);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** An HTTP/2 server with prior knowledge. Without a behaviour the test listens to the `stream` events of `server` itself. */
export async function http2Endpoint(
  behaviour: Behaviour | null = usual('hello'),
  options: ServerOptions = {},
  at = 0,
): Promise<Http2Endpoint> {
  const server = createServer({ maxSessionMemory: SESSION_MEMORY, ...options });
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<Socket>();
  let requests = 0;
  let connections = 0;
  let peak = 0;
  server.on('sessionError', () => undefined);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('session', (session) => {
    connections++;
    sessions.add(session);
    let open = 0;
    session.once('close', () => sessions.delete(session));
    session.on('stream', (stream) => {
      requests++;
      open++;
      peak = Math.max(peak, open);
      stream.on('error', () => undefined);
      stream.once('close', () => open--);
    });
  });
  if (behaviour !== null) {
    server.on('request', (request, response) => {
      response.stream.on('error', () => undefined);
      behaviour(request as unknown as Asked, response as unknown as Answering);
    });
  }
  const port = await listening(server, at);
  const endpoint: Http2Endpoint = {
    server,
    sessions,
    sockets,
    port,
    address: `${HOST}:${port}`,
    get requests() {
      return requests;
    },
    get connections() {
      return connections;
    },
    get open() {
      return sessions.size;
    },
    get peak() {
      return peak;
    },
    close: async () => {
      running.delete(endpoint);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  running.add(endpoint);
  return endpoint;
}

/** An HTTP/1 server of the same behaviour. */
export async function http1Endpoint(behaviour: Behaviour = usual('hello'), at = 0): Promise<Endpoint> {
  const sockets = new Set<Socket>();
  let requests = 0;
  let connections = 0;
  const server = createHttp1Server((request, response) => {
    requests++;
    behaviour(request, response as unknown as Answering);
  });
  server.keepAliveTimeout = 0;
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const port = await listening(server, at);
  const endpoint: Endpoint = {
    port,
    address: `${HOST}:${port}`,
    get requests() {
      return requests;
    },
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    close: () => {
      running.delete(endpoint);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      return closed;
    },
  };
  running.add(endpoint);
  return endpoint;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  readonly trailers: IncomingHttpHeaders;
  /** Every 1xx before the response. */
  readonly informational: readonly IncomingHttpHeaders[];
}

/** A stream that was reset instead of answered. */
export class Reset extends Error {
  constructor(
    readonly code: number,
    what: string,
  ) {
    super(`${what}: reset with code ${code}`);
  }
}

/** The whole answer to a request. */
export function reply(stream: ClientHttp2Stream): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const informational: IncomingHttpHeaders[] = [];
    let headers: IncomingHttpHeaders | undefined;
    let trailers: IncomingHttpHeaders = {};
    let ended = false;
    let failure: Error | undefined;
    stream.on('headers', (fields: IncomingHttpHeaders) => informational.push(fields));
    stream.once('response', (fields: IncomingHttpHeaders) => {
      headers = fields;
    });
    stream.once('trailers', (fields: IncomingHttpHeaders) => {
      trailers = fields;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => {
      ended = true;
    });
    stream.on('error', (error: Error) => {
      failure = error;
    });
    stream.once('close', () => {
      // A server may end the stream with NO_ERROR once its response is whole (RFC 9113 section 8.1).
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) {
        reject(new Reset(stream.rstCode, failure?.message ?? 'stream'));
      } else if (failure !== undefined) {
        reject(failure);
      } else if (headers === undefined || !ended) {
        reject(new Error(headers === undefined ? 'closed without a response' : 'closed before its end'));
      } else {
        const body = Buffer.concat(chunks);
        resolve({
          status: Number(headers[':status']),
          headers,
          body,
          text: body.toString(),
          trailers,
          informational,
        });
      }
    });
  });
}

export interface Sending {
  readonly body?: Uint8Array | string;
  readonly trailers?: OutgoingHttpHeaders;
}

function* pieces(bytes: Buffer): Iterable<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** Node's own guard against a peer that makes it hold much: these tests make it hold much. */
const SESSION_MEMORY = 256;
const PIECE = 256 << 10;

const clients = new Set<Http2Client>();

/** Ends every endpoint that is not closed. */
export async function closeEndpoints(): Promise<void> {
  await Promise.all([...running].map((endpoint) => endpoint.close()));
}

/** Destroys every connection that a test has left open, so that one that failed leaves nothing. */
export function hangUp(): void {
  for (const client of clients) client.close();
}

/** One HTTP/2 connection of a client. */
export class Http2Client {
  /** Every GOAWAY that came. */
  readonly goaways: { readonly code: number; readonly last: number }[] = [];

  private constructor(readonly session: ClientHttp2Session) {
    clients.add(this);
    session.once('close', () => clients.delete(this));
    session.on('error', () => undefined);
    session.on('goaway', (code: number, last: number) => this.goaways.push({ code, last }));
  }

  /** Connected, and the server's settings have arrived. */
  static async open(port: number, settings: Parameters<typeof connect>[1] = {}): Promise<Http2Client> {
    const session = connect(`http://${HOST}:${port}`, { maxSessionMemory: SESSION_MEMORY, ...settings });
    await once(session, 'remoteSettings');
    return new Http2Client(session);
  }

  /** A request whose body the test writes. */
  start(headers: OutgoingHttpHeaders = {}, endStream = false): ClientHttp2Stream {
    const stream = this.session.request({ ':authority': 'peers.test', ...headers }, { endStream });
    stream.on('error', () => undefined);
    return stream;
  }

  /** A whole request and its whole answer. */
  ask(headers: OutgoingHttpHeaders = {}, { body, trailers }: Sending = {}): Promise<Reply> {
    const stream = this.session.request(
      { ':authority': 'peers.test', ...headers },
      { endStream: body === undefined && trailers === undefined, waitForTrailers: trailers !== undefined },
    );
    if (trailers !== undefined) stream.once('wantTrailers', () => stream.sendTrailers(trailers));
    const answer = reply(stream);
    if (body !== undefined && body.length > PIECE) Readable.from(pieces(Buffer.from(body))).pipe(stream);
    else if (body !== undefined || trailers !== undefined) stream.end(body);
    return answer;
  }

  get closed(): boolean {
    return this.session.destroyed || this.session.closed;
  }

  close(): void {
    this.session.destroy();
  }
}

export interface Load {
  readonly failures: string[];
  /** Requests answered so far. */
  readonly count: () => number;
  /** Requests that the client's own library gave back, as the server's GOAWAY came before they went out. */
  readonly withdrawn: () => number;
  /** Connections made. */
  readonly connections: () => number;
  /** Ends after the requests under way. */
  readonly stop: () => Promise<void>;
}

/**
 * Node sends a request in the turn after the one that makes it. If a GOAWAY arrives between them, nghttp2 lets the request fail with
 * REFUSED_STREAM "so that application can send request again", though GOAWAY allows it and the server has not seen it.
 */
function withdrawn(client: Http2Client, error: unknown): boolean {
  return client.goaways.length > 0 && error instanceof Reset && error.code === constants.NGHTTP2_REFUSED_STREAM;
}

/**
 * `connections` clients with `streams` requests under way on each, one after the other. A connection whose server has said
 * GOAWAY gets no new streams and is replaced, and what was refused then is sent again, as clients do (RFC 9113 section 8.7);
 * everything else that is not a 200 is a failure. Whether a refusal was the client's own only the server can say.
 */
export function load(port: number, connections: number, streams: number, headers: OutgoingHttpHeaders = {}): Load {
  const failures: string[] = [];
  let count = 0;
  let made = 0;
  let back = 0;
  let running = true;
  const run = async (): Promise<void> => {
    let current: Promise<Http2Client> | undefined;
    const leaving = new Set<Http2Client>();
    const lane = async (): Promise<void> => {
      while (running) {
        const mine = current ?? Http2Client.open(port);
        if (current === undefined) {
          current = mine;
          made++;
        }
        let client: Http2Client;
        try {
          client = await mine;
        } catch (error) {
          failures.push(`connect: ${String(error)}`);
          return;
        }
        if (client.goaways.length > 0 || client.closed) {
          leaving.add(client);
          if (current === mine) current = undefined;
          continue;
        }
        try {
          const { status, text } = await client.ask(headers);
          if (status === 200) count++;
          else failures.push(`${status} ${text}`);
        } catch (error) {
          if (withdrawn(client, error)) {
            back++;
            continue;
          }
          const last = client.goaways.at(-1);
          failures.push(
            `${(error as Error).message}${last === undefined ? '' : ` after GOAWAY ${JSON.stringify(last)}`}`,
          );
          if (client.closed && current === mine) current = undefined;
        }
        // What the server has said about the connection is heard before it is used again.
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await Promise.all(Array.from({ length: streams }, lane));
    for (const client of leaving) client.close();
    if (current !== undefined) (await current.catch(() => null))?.close();
  };
  const done = Promise.all(Array.from({ length: connections }, run));
  return {
    failures,
    count: () => count,
    withdrawn: () => back,
    connections: () => made,
    stop: async () => {
      running = false;
      await done;
    },
  };
}
