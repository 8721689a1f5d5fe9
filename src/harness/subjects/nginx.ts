// nginx: http and stream.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { certificates } from '../certificates.js';
import { packageRoot, which } from '../paths.js';
import type { Processes, Started } from '../processes.js';
import {
  clientsSpeakHttp2,
  endpointSpeaksHttp2,
  type Running,
  readVersion,
  type Subject,
  type Work,
} from './subject.js';

/** Possible places of the stream module: Debian ships it as libnginx-mod-stream; elsewhere it is often built in. */
const STREAM_MODULE = [
  process.env.SLUICE_BENCH_NGINX_STREAM ?? '',
  '/usr/lib/nginx/modules/ngx_stream_module.so',
  '/usr/lib64/nginx/modules/ngx_stream_module.so',
  join(packageRoot, '.bench/nginx-stream/usr/lib/nginx/modules/ngx_stream_module.so'),
].find((path) => path !== '' && existsSync(path));

interface NginxOptions {
  /**
   * `buffered` reads ahead of the client, a MiB at a time and into memory only; `unbuffered` passes on what it has; `untuned` has nginx's
   * defaults: 8 buffers of a page, and a file for the rest.
   */
  readonly buffering?: Buffering;
}

type Buffering = 'buffered' | 'unbuffered' | 'untuned';

const BUFFERS: Readonly<Record<Buffering, string>> = {
  buffered: 'proxy_buffers 16 64k;\n      proxy_busy_buffers_size 256k;\n      proxy_max_temp_file_size 0;',
  unbuffered:
    'proxy_buffering off;\n      proxy_buffer_size 128k;\n      proxy_buffers 8 128k;\n      proxy_busy_buffers_size 256k;',
  untuned: '',
};

/** nginx as a reverse proxy, tuned for the work: kept upstream connections, no log, a listener per worker. */
export function nginx(name = 'nginx', options: NginxOptions = {}): Subject {
  return {
    name,
    missing: () => (which('nginx') === null ? 'nginx is not installed' : null),
    unsupported: (work) => (endpointSpeaksHttp2(work) ? 'nginx speaks no HTTP/2 to endpoints' : null),
    version,
    start: (session, work) => startProxy(session, name, work, httpBlock(session, work, options)),
  };
}

/** nginx's stream module: plain TCP. */
export function nginxStream(name = 'nginx'): Subject {
  return {
    name,
    missing: () => {
      if (which('nginx') === null) return 'nginx is not installed';
      return STREAM_MODULE ? null : "nginx's stream module is not installed (Debian: libnginx-mod-stream)";
    },
    version,
    start: (session, work) => startProxy(session, name, work, streamBlock(work), `load_module ${STREAM_MODULE};`),
  };
}

const version = (): string => readVersion(which('nginx') ?? 'nginx', ['-v'], /nginx\/(\S+)/);

/** Whichever of the two the work needs. */
export function nginxForAll(name = 'nginx'): Subject {
  const [http, stream] = [nginx(name), nginxStream(name)];
  return {
    ...http,
    unsupported: (work) => (work.kind === 'tcp' ? stream.missing() : (http.unsupported?.(work) ?? null)),
    start: (session, work) => (work.kind === 'tcp' ? stream : http).start(session, work),
  };
}

type Block = (port: number) => string;

async function startProxy(session: Processes, name: string, work: Work, block: Block, modules = ''): Promise<Running> {
  const port = await session.port();
  const text = nginxConfiguration(session, port, work.workers, work.connections, block(port), modules);
  const started = await startNginx(session, name, work.cores, port, text);
  return { name, port, started };
}

export async function startNginx(
  session: Processes,
  name: string,
  cores: string,
  port: number,
  text: string,
): Promise<Started> {
  const file = session.write(`nginx-${port}.conf`, text);
  const started = session.start(name, cores, [which('nginx') ?? 'nginx', '-e', 'stderr', '-c', file]);
  await session.listening(started, port);
  return started;
}

export function nginxConfiguration(
  session: Processes,
  port: number,
  workers: number,
  connections: number,
  block: string,
  modules = '',
): string {
  return `${modules}
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes ${workers};
worker_rlimit_nofile 20000;
error_log stderr crit;
pid ${session.directory}/nginx-${port}.pid;
events { worker_connections ${Math.max(2048, connections * 2 + 512)}; }
${block}
`;
}

export function nginxHttp(session: Processes): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${session.directory}/nginx-${kind};`)
    .join('\n');
  return `${temporary}
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;`;
}

function httpBlock(session: Processes, work: Work, { buffering = 'buffered' }: NginxOptions): Block {
  return (port) => `http {
${nginxHttp(session)}
  upstream endpoint {
    server 127.0.0.1:${work.upstream};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:${port} reuseport backlog=4096${work.tls ? ' ssl' : ''}${clientsSpeakHttp2(work) ? ' http2' : ''};
    ${tls(session, work)}
    location / {
      proxy_pass http://endpoint;
      proxy_http_version 1.1;
      ${
        work.upgrade
          ? 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 600s;'
          : 'proxy_set_header Connection "";'
      }
      ${BUFFERS[buffering]}
    }
  }
}`;
}

/** TLS 1.3 only, full handshakes, as in Sluice. */
function tls(session: Processes, work: Work): string {
  if (work.tls === undefined) return '';
  const { localhost, anchors } = certificates(session);
  const { certificate, key } = localhost;
  const clients =
    work.tls === 'mutual' ? ` ssl_client_certificate ${anchors}; ssl_verify_client on; ssl_verify_depth 3;` : '';
  return `ssl_certificate ${certificate}; ssl_certificate_key ${key}; ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;${clients}`;
}

function streamBlock(work: Work): Block {
  return (port) => `stream {
  access_log off;
  upstream endpoint { server 127.0.0.1:${work.upstream}; }
  server {
    listen 127.0.0.1:${port} reuseport backlog=4096;
    proxy_pass endpoint;
    proxy_buffer_size 128k;
    proxy_timeout 600s;
    tcp_nodelay on;
  }
}`;
}
