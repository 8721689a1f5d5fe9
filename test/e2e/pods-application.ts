// An application in a pod, which knows nothing of a proxy: it serves on some ports, says whom it sees, and calls others on command.
//
//   node pods-application.js [--hold MS]
//
// Commands come to its control port, one JSON object by POST; the answer is JSON too. With `--hold` it stays that long after SIGTERM.
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import * as tls from 'node:tls';
import { fileURLToPath } from 'node:url';

export const PORT = {
  CONTROL: 7000,
  HTTP: 8080,
  H2C: 9090,
  TLS: 8443,
  GREETS: 2525,
  ECHO: 6000,
  SKIPPED: 9100,
} as const;
export const APPLICATION = fileURLToPath(import.meta.url);
/** Where a pod that serves TLS has its certificate. */
export const CERTIFICATES = '/etc/application';

export interface Said {
  readonly status?: number;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
}

export type Call =
  | {
      readonly call: 'http';
      readonly host: string;
      readonly port: number;
      readonly path?: string;
      readonly agent?: boolean;
      readonly method?: string;
    }
  | { readonly call: 'h2c'; readonly host: string; readonly port: number; readonly path?: string }
  | { readonly call: 'tls'; readonly host: string; readonly port: number; readonly name: string }
  /** Waits for the greeting, says `text`, and ends; or says `first` at once, and ends. */
  | {
      readonly call: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly text?: string;
      readonly first?: string;
    }
  /** Asks again and again until it is told to stop, on `connections` at once; then says what came of it. */
  | { readonly call: 'load'; readonly host: string; readonly port: number; readonly connections: number }
  | { readonly call: 'unload' }
  /** Finishes the requests that there are, and ends. */
  | { readonly call: 'drain' }
  /** Ends with this code. */
  | { readonly call: 'exit'; readonly code: number };

const bare = (address: string | undefined): string => (address ?? '').replace('::ffff:', '');
const seen = (socket: { remoteAddress?: string | undefined; localAddress?: string | undefined }): string =>
  `${bare(socket.remoteAddress)} at ${bare(socket.localAddress)}`;

let web = http.createServer();

function drain(): void {
  web.close(() => process.exit(0));
  // Connections that are kept alive are idle once their request is done.
  setInterval(() => web.closeIdleConnections(), 20);
}

function serve(): void {
  const answer = (
    request: http.IncomingMessage | http2.Http2ServerRequest,
    response: http.ServerResponse | http2.Http2ServerResponse,
  ) => {
    const headers = { 'content-type': 'text/plain', 'x-served-by': process.env.HOSTNAME ?? '' };
    response.writeHead(200, headers);
    (response as http.ServerResponse).end(
      request.url === '/headers' ? JSON.stringify(request.headers) : `served ${seen(request.socket)}`,
    );
  };
  web = http.createServer({ keepAliveTimeout: 60_000 }, answer).listen(PORT.HTTP, '::');
  const grpc = http2.createServer();
  grpc.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    stream.respond(
      { ':status': 200, 'content-type': String(headers['content-type'] ?? 'text/plain') },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(`served ${seen(stream.session?.socket as Socket)}`);
  });
  grpc.listen(PORT.H2C, '::');
  for (const port of [PORT.GREETS, PORT.SKIPPED])
    createServer((socket) => {
      socket.on('error', () => undefined).write(`hello ${seen(socket)}\n`);
      socket.on('data', (text) => socket.end(`you said ${text}`));
    }).listen(port, '::');
  createServer((socket) => socket.on('error', () => undefined).pipe(socket)).listen(PORT.ECHO, '::');
  try {
    const files = { cert: readFileSync(`${CERTIFICATES}/tls.crt`), key: readFileSync(`${CERTIFICATES}/tls.key`) };
    tls
      .createServer(files, (socket) => socket.on('error', () => undefined).end(`sealed ${seen(socket)}`))
      .listen(PORT.TLS, '::');
  } catch {
    // It has none.
  }
}

const agent = new http.Agent({ keepAlive: true });

function overHttp({
  host,
  port,
  path = '/',
  method = 'GET',
  ...call
}: {
  host: string;
  port: number;
  path?: string;
  agent?: boolean;
  method?: string;
}): Promise<Said> {
  return new Promise((resolve) => {
    const options = { host, port, path, method, agent: call.agent === false ? false : agent };
    http
      .request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
        response.on('error', (error: NodeJS.ErrnoException) => resolve({ text: String(error.code) }));
      })
      .on('error', (error: NodeJS.ErrnoException) => resolve({ text: String(error.code) }))
      .end();
  });
}

function overHttp2(host: string, port: number, path: string): Promise<Said> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => resolve({ text: String(error.code) });
    const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const session = http2.connect(`http://${authority}`).on('error', failed);
    const stream = session.request({
      // By itself Node.js writes IPv6 addresses without their brackets.
      ':authority': authority,
      ':path': path,
      ':method': 'POST',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let text = '';
    let status = 0;
    let headers: http2.IncomingHttpHeaders = {};
    stream.setEncoding('utf8').on('error', failed);
    stream.on('response', (fields) => {
      status = Number(fields[':status']);
    });
    stream.on('trailers', (fields) => {
      headers = { ...fields };
    });
    stream.on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('end', () => {
      session.close();
      resolve({ status, text, headers });
    });
    stream.end();
  });
}

function overTcp(socket: Socket, text?: string, first?: string): Promise<Said> {
  return new Promise((resolve) => {
    if (first !== undefined) socket.end(first);
    let got = '';
    let said = false;
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      got += chunk;
      if (text === undefined || said || !got.includes('\n')) return;
      said = true;
      socket.end(text);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve({ text: String(error.code) }));
    socket.on('end', () => {
      resolve({ text: got });
      socket.end();
    });
  });
}

let loading: Promise<Record<string, number>> | null = null;
let go = false;

async function load(host: string, port: number, connections: number): Promise<Record<string, number>> {
  const results: Record<string, number> = {};
  const one = async (): Promise<void> => {
    while (go) {
      const { status, text } = await overHttp({ host, port });
      const result = String(status ?? text);
      results[result] = (results[result] ?? 0) + 1;
      // Others have to work as well.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await Promise.all(Array.from({ length: connections }, one));
  return results;
}

async function carryOut(call: Call): Promise<unknown> {
  switch (call.call) {
    case 'http':
      return overHttp(call);
    case 'h2c':
      return overHttp2(call.host, call.port, call.path ?? '/');
    case 'tcp':
      return overTcp(connect(call.port, call.host), call.text, call.first);
    case 'tls':
      return overTcp(
        tls.connect({ host: call.host, port: call.port, servername: call.name, rejectUnauthorized: false }),
      );
    case 'load':
      go = true;
      loading = load(call.host, call.port, call.connections);
      return {};
    case 'unload':
      go = false;
      return (await loading) ?? {};
    case 'drain':
      setImmediate(drain);
      return {};
    case 'exit':
      setImmediate(() => process.exit(call.code));
      return {};
    default:
      throw new Error(`unknown call ${JSON.stringify(call satisfies never)}`);
  }
}

if (process.argv[1] === APPLICATION) {
  serve();
  const hold = process.argv.indexOf('--hold');
  process.on('SIGTERM', () => {
    console.log('SIGTERM');
    setTimeout(() => process.exit(0), hold < 0 ? 0 : Number(process.argv[hold + 1]));
  });
  http
    .createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      request.on('end', () => {
        void carryOut(text === '' ? { call: 'unload' } : (JSON.parse(text) as Call)).then(
          (said) => response.end(JSON.stringify(said)),
          (error: Error) => response.writeHead(500).end(JSON.stringify({ text: error.message })),
        );
      });
    })
    .listen(PORT.CONTROL, '::', () => console.log('ready'));
}
