// nghttpx, the proxy of the nghttp2 library, as a rival for HTTP/2.
import { which } from '../session.js';
import { type Contender, endpointSpeaksHttp2 } from './contender.js';

export function nghttpx(name = 'nghttpx'): Contender {
  return {
    name,
    missing: () => (which('nghttpx') === null ? 'nghttpx is not installed (Debian: nghttp2-proxy)' : null),
    async start(session, work) {
      const port = await session.port();
      const started = session.start(name, work.cores, [
        which('nghttpx') ?? 'nghttpx',
        '--conf=/dev/null',
        `--workers=${work.workers}`,
        `--frontend=127.0.0.1,${port};no-tls`,
        `--backend=127.0.0.1,${work.upstream};;proto=${endpointSpeaksHttp2(work) ? 'h2' : 'http/1.1'}`,
      ]);
      await session.listening(started, port);
      return { name, port, started };
    },
  };
}
