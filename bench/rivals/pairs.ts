// Two proxies in a row, with mutual TLS between them: what a mesh puts between a client and its server.
import { certificates, WEB } from '../../src/harness/certificates.js';
import { sluiceCommand, which } from '../../src/harness/paths.js';
import { startSluice } from '../../src/harness/subjects/sluice.js';
import { endpointSpeaksHttp2, type Subject, type Work } from '../../src/harness/subjects/subject.js';

const protocol = (work: Work): string => (endpointSpeaksHttp2(work) ? 'http2' : 'http1');

function sluiceFile(
  identity: string,
  listener: string,
  service: string,
  admin: number,
  work: Work,
  io: string,
): string {
  return `workers: ${work.workers}
io: ${io}
admin: { listen: "127.0.0.1:${admin}" }
drain: { hold: 0s, grace: 1s }
identity: { files: ${identity} }
listeners:
  - { name: edge, ${listener}, service: endpoints }
services:
  endpoints: { protocol: ${protocol(work)}, endpoints: [${service}] }
`;
}

/** `http2`: requests of HTTP/1 ride on HTTP/2 between the two. */
export function sluicePair(name: string, io: 'uring' | 'epoll', { http2 = false } = {}): Subject {
  return {
    name,
    missing: () => (sluiceCommand() === null ? 'Sluice is not built (make build)' : null),
    async start(session, work) {
      const [port, inner, admin, innerAdmin] = await session.ports(4);
      const { anchors, web, client } = certificates(session);
      const files = (of: typeof web) => `{ certificate: "${of.certificate}", key: "${of.key}", anchors: "${anchors}" }`;
      const { workers, cores } = work;
      const second = await startSluice(session, {
        name: `${name}-inner`,
        ...{ io, workers, cores, admin: innerAdmin },
        configuration: sluiceFile(
          files(web),
          `listen: "127.0.0.1:${inner}", mesh: true`,
          `"127.0.0.1:${work.upstream}"`,
          innerAdmin,
          work,
          io,
        ),
      });
      const proxy = http2 ? ', proxy: { http2: true }' : '';
      const started = await startSluice(session, {
        name,
        ...{ io, workers, cores, admin },
        configuration: sluiceFile(
          files(client),
          `listen: "127.0.0.1:${port}"`,
          `{ address: "127.0.0.1:${inner}", identity: ${WEB}${proxy} }`,
          admin,
          work,
          io,
        ),
      });
      return { name, port, started, second };
    },
  };
}

export function haproxyPair(name = 'haproxy-pair'): Subject {
  return {
    name,
    missing: () => (which('haproxy') === null ? 'HAProxy is not installed' : null),
    async start(session, work) {
      const program = which('haproxy') ?? 'haproxy';
      const [port, inner] = await session.ports(2);
      const { anchors, web, client } = certificates(session);
      const start = async (as: string, at: number, bind: string, server: string) => {
        const file = session.write(`haproxy-${at}.cfg`, haproxyFile(work, bind, server));
        const started = session.start(as, work.cores, [program, '-db', '-q', '-f', file]);
        await session.listening(started, at);
        return started;
      };
      const h2 = endpointSpeaksHttp2(work);
      const alpn = h2 ? 'h2' : 'http/1.1';
      const proto = h2 ? 'proto h2' : '';
      const ends = `ssl crt ${web.both} ca-file ${anchors} verify required ssl-min-ver TLSv1.3 no-tls-tickets alpn ${alpn}`;
      const begins = `ssl crt ${client.both} ca-file ${anchors} verify required sni str(${WEB}) verifyhost ${WEB} alpn ${alpn}`;
      const second = await start(
        `${name}-inner`,
        inner,
        `127.0.0.1:${inner} ${ends}`,
        `127.0.0.1:${work.upstream} ${proto}`,
      );
      const started = await start(name, port, `127.0.0.1:${port} ${proto}`, `127.0.0.1:${inner} ${begins}`);
      return { name, port, started, second };
    },
  };
}

function haproxyFile(work: Work, bind: string, server: string): string {
  return `global
  nbthread ${work.workers}
  maxconn ${Math.max(2000, work.connections + 500)}
  tune.ssl.cachesize 0
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
frontend edge
  bind ${bind}
  default_backend endpoints
backend endpoints
  server one ${server}
`;
}
