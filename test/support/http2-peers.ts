// HTTP/2 servers and proxies that nobody here wrote, without TLS. What is not installed throws `Missing`, by name.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, Missing, need, type Ran, type RealServer, run, serve, start, temporary } from './servers.js';
import { eventually } from './sluice.js';

const PYTHON_PEER = fileURLToPath(new URL('../../../test/support/python-h2.py', import.meta.url));
const HOST = '127.0.0.1';

/** nginx as an HTTP/2 server: `/` says nginx, files of `files` under /files/, and the rest goes to an HTTP/1 server at `originPort`. */
export async function startNginx(
  originPort: number,
  files: Readonly<Record<string, Buffer>> = {},
): Promise<RealServer> {
  const nginx = need('nginx');
  const directory = temporary('nginx', null);
  mkdirSync(join(directory, 'files'));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(directory, 'files', name), bytes);
  const port = await freePort();
  const config = join(directory, 'nginx.conf');
  const temporaries = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${directory}/pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off; client_max_body_size 0; keepalive_requests 1000000; http2_max_requests 1000000;
  ${temporaries.map((name) => `${name}_temp_path ${directory}/${name};`).join(' ')}
  server {
    listen ${HOST}:${port} http2;
    location = / { return 200 "nginx"; }
    location /files/ { root ${directory}; }
    location / {
      proxy_pass http://${HOST}:${originPort}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_buffering off;
    }
  }
}
`,
  );
  const args = ['-e', 'stderr', '-p', directory, '-c', config];
  return serve('nginx', start(nginx, args, null, directory), port, directory, 'SIGTERM');
}

/** nghttpd: serves `files` under /, sends back what is posted. */
export async function startNghttpd(
  files: Readonly<Record<string, Buffer>> = {},
  more: readonly string[] = [],
): Promise<RealServer> {
  const nghttpd = need('nghttpd');
  const directory = temporary('nghttpd', null);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(directory, name), bytes);
  const port = await freePort();
  const args = ['--no-tls', '-a', HOST, '-d', directory, '--echo-upload', ...more, String(port)];
  return serve('nghttpd', start(nghttpd, args, null, directory), port, directory, 'SIGTERM');
}

/** nghttpx: HTTP/2 at its port, and what `proto` says to the server at `backendPort`. */
export async function startNghttpx(backendPort: number, proto: 'h2' | 'http/1.1'): Promise<RealServer> {
  const nghttpx = need('nghttpx');
  const directory = temporary('nghttpx', null);
  const config = join(directory, 'nghttpx.conf');
  writeFileSync(config, '');
  const port = await freePort();
  const args = [
    `--conf=${config}`,
    `--frontend=${HOST},${port};no-tls`,
    `--backend=${HOST},${backendPort};;proto=${proto}`,
    '--workers=1',
    '--errorlog-file=/dev/stderr',
    '--accesslog-file=/dev/null',
  ];
  return serve('nghttpx', start(nghttpx, args, null, directory), port, directory, 'SIGTERM');
}

/** HAProxy: `front` at its port, `back` to the server at `backendPort`. */
export async function startHaproxy(
  front: 'h1' | 'h2',
  backendPort: number,
  back: 'h1' | 'h2',
  more = '',
): Promise<RealServer> {
  const haproxy = need('haproxy');
  const directory = temporary('haproxy', null);
  const port = await freePort();
  const config = join(directory, 'haproxy.cfg');
  const proto = (version: 'h1' | 'h2'): string => (version === 'h2' ? ' proto h2' : '');
  writeFileSync(
    config,
    `global
  maxconn 2000
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind ${HOST}:${port}${proto(front)}
  default_backend out
backend out
  http-reuse always
  ${more}
  server s ${HOST}:${backendPort}${proto(back)}
`,
  );
  return serve('haproxy', start(haproxy, ['-db', '-f', config], null, directory), port, directory, 'SIGTERM');
}

let python: Promise<string> | undefined;

/** A Python that has the package `h2`. */
function pythonWithH2(): Promise<string> {
  python ??= (async () => {
    for (const candidate of ['/usr/bin/python3', 'python3']) {
      if ((await run(candidate, ['-c', 'import h2.connection'])).code === 0) return candidate;
    }
    throw new Missing('the Python package h2 is not installed (python3-h2)');
  })();
  return python;
}

/** Python's h2 as a server that echoes. */
export async function startPythonH2(): Promise<RealServer> {
  const directory = temporary('h2', null);
  const started = start(await pythonWithH2(), [PYTHON_PEER, 'server'], null, directory);
  const port = (): number => Number(/listening (\d+)/.exec(started.said())?.[1] ?? 0);
  await eventually(() => {
    if (started.child.exitCode !== null) throw new Error(`python-h2.py: ${started.said()}`);
    return port() !== 0;
  }, `python-h2.py listens: ${started.said()}`);
  return serve('python-h2.py', started, port(), directory, 'SIGTERM');
}

export interface PythonRequest {
  readonly method: string;
  readonly path: string;
  readonly size?: number;
  readonly trailers?: Readonly<Record<string, string>>;
}

export interface PythonReply {
  readonly status: number;
  readonly length: number;
  readonly sha1: string;
  /** SHA-1 of the request's body. */
  readonly sent: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly informational: readonly string[];
  readonly reset?: number;
}

/** Sends `requests` with Python's h2 on one connection, all at once. */
export async function pythonH2(port: number, requests: readonly PythonRequest[]): Promise<readonly PythonReply[]> {
  const { code, stdout, stderr } = await run(await pythonWithH2(), [
    PYTHON_PEER,
    'client',
    String(port),
    JSON.stringify(requests),
  ]);
  if (code !== 0) throw new Error(`python-h2.py client: ${stderr}`);
  return JSON.parse(stdout) as readonly PythonReply[];
}

export interface H2loadResult {
  readonly succeeded: number;
  readonly failed: number;
  readonly errored: number;
  readonly statuses: { readonly ok: number; readonly other: number };
  readonly text: string;
}

/** `requests` over `clients` connections with `streams` streams each. */
export async function h2load(
  port: number,
  clients: number,
  streams: number,
  requests: number,
  more: readonly string[] = [],
  path = '/',
): Promise<H2loadResult> {
  const shape = ['-t', '1', '-c', String(clients), '-m', String(streams), '-n', String(requests)];
  const { code, stdout, stderr }: Ran = await run(need('h2load'), [...shape, ...more, `http://${HOST}:${port}${path}`]);
  if (code !== 0) throw new Error(`h2load: ${code} ${stderr}${stdout}`);
  const [, succeeded, failed, errored] =
    /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(stdout) ?? ([] as readonly string[]);
  const [, ok, redirected, client, server] =
    /(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(stdout) ?? ([] as readonly string[]);
  return {
    succeeded: Number(succeeded),
    failed: Number(failed),
    errored: Number(errored),
    statuses: { ok: Number(ok), other: Number(redirected) + Number(client) + Number(server) },
    text: stdout,
  };
}

const running = new Set<RealServer>();

/** Ends what tests that failed have left running: for after the last test of a file. */
export async function stopServers(): Promise<void> {
  await Promise.all([...running].map((server) => server.stop()));
}

/** The server, or why there is none. */
export async function orMissing(starting: Promise<RealServer>): Promise<RealServer | string> {
  try {
    const server = await starting;
    const own: RealServer = {
      ...server,
      stop: () => {
        running.delete(own);
        return server.stop();
      },
    };
    running.add(own);
    return own;
  } catch (error) {
    if (error instanceof Missing) return error.message;
    throw error;
  }
}
