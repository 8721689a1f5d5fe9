// HAProxy as a rival.
import { certificates } from '../certificates.js';
import { which } from '../paths.js';
import type { Processes } from '../processes.js';
import { clientsSpeakHttp2, endpointSpeaksHttp2, readVersion, type Subject, type Work } from './subject.js';

interface HaproxyOptions {
  /** `auto`: HAProxy decides when to splice; `always`: forced for responses and requests; undefined: no splicing. */
  readonly splice?: 'auto' | 'always';
  /** Buffer size in bytes; undefined: the default of 16 KiB. */
  readonly buffer?: number;
}

/** HAProxy as its documentation recommends for this work: shared idle connections, no log, a listener per thread. */
export function haproxy(name = 'haproxy', options: HaproxyOptions = {}): Subject {
  return {
    name,
    missing: () => (which('haproxy') === null ? 'HAProxy is not installed' : null),
    version: () => readVersion(which('haproxy') ?? 'haproxy', ['-v'], /version (\S+)/),
    async start(session, work) {
      const port = await session.port();
      const file = session.write(`haproxy-${port}.cfg`, text(port, work, options, tls(session, work)));
      const started = session.start(name, work.cores, [which('haproxy') ?? 'haproxy', '-db', '-q', '-f', file]);
      await session.listening(started, port);
      return { name, port, started };
    },
  };
}

/** TLS 1.3 only, full handshakes, as in Sluice. */
function tls(session: Processes, work: Work): string {
  if (work.tls === undefined) return '';
  const alpn = clientsSpeakHttp2(work) ? 'h2' : 'http/1.1';
  const { localhost, anchors } = certificates(session);
  const clients = work.tls === 'mutual' ? ` ca-file ${anchors} verify required` : '';
  return `ssl crt ${localhost.both} ssl-min-ver TLSv1.3 no-tls-tickets alpn ${alpn}${clients}`;
}

function text(port: number, work: Work, { splice, buffer }: HaproxyOptions, bindTls: string): string {
  const splicing = { auto: 'option splice-auto', always: 'option splice-response\n  option splice-request', off: '' };
  return `global
  nbthread ${work.workers}
  # Two descriptors a connection, and two a pipe where it splices.
  maxconn ${Math.max(2000, work.connections + 500)}
  ${buffer ? `tune.bufsize ${buffer}` : ''}
  tune.ssl.cachesize 0
defaults
  mode ${work.kind}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  ${work.kind === 'http' ? 'timeout http-keep-alive 600s\n  timeout tunnel 600s\n  http-reuse always' : ''}
  ${splicing[splice ?? 'off']}
frontend edge
  bind 127.0.0.1:${port} backlog 4096 ${work.workers > 1 ? 'shards by-thread' : ''} ${bindTls || (clientsSpeakHttp2(work) ? 'proto h2' : '')}
  default_backend endpoints
backend endpoints
  server one 127.0.0.1:${work.upstream} ${endpointSpeaksHttp2(work) ? 'proto h2' : ''}
`;
}
