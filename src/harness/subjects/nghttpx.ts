// nghttpx, the proxy of the nghttp2 library, as a rival for HTTP/2.
import { certificates } from '../certificates.js';
import { which } from '../paths.js';
import { endpointSpeaksHttp2, readVersion, type Subject } from './subject.js';

const NONE = { certificate: '', key: '' };

export function nghttpx(name = 'nghttpx'): Subject {
  return {
    name,
    missing: () => (which('nghttpx') === null ? 'nghttpx is not installed (Debian: nghttp2-proxy)' : null),
    unsupported: ({ kind }) => (kind === 'tcp' ? 'nghttpx relays no plain TCP' : null),
    version: () => readVersion(which('nghttpx') ?? 'nghttpx', ['--version'], /nghttp2\/(\S+)/),
    async start(session, work) {
      const port = await session.port();
      const { certificate, key } = work.tls === undefined ? NONE : certificates(session).localhost;
      const started = session.start(name, work.cores, [
        which('nghttpx') ?? 'nghttpx',
        '--conf=/dev/null',
        `--workers=${work.workers}`,
        `--frontend=127.0.0.1,${port}${work.tls === undefined ? ';no-tls' : ''}`,
        `--backend=127.0.0.1,${work.upstream};;proto=${endpointSpeaksHttp2(work) ? 'h2' : 'http/1.1'}`,
        ...(work.tls === 'mutual'
          ? ['--verify-client', `--verify-client-cacert=${certificates(session).anchors}`]
          : []),
        ...(work.tls === undefined ? [] : ['--tls-min-proto-version=TLSv1.3', key, certificate]),
      ]);
      await session.listening(started, port);
      return { name, port, started };
    },
  };
}
