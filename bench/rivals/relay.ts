// The least that a proxy has to ask of the kernel, to tell what is a proxy's own from what is nobody's: bytes from socket to socket, unread.
import type { Subject } from '../../src/harness/subjects/subject.js';
import { Session } from '../session.js';

/** bench/load/relay.c, on the proxy's core. Shown, never judged. */
export function relay(name = 'relay'): Subject {
  return {
    name,
    missing: () => null,
    async start(session, work) {
      if (!(session instanceof Session)) throw new Error('it has to be compiled');
      const port = await session.port();
      const command = [session.compile('relay'), String(port), String(work.upstream)];
      const started = session.start(name, work.cores, command);
      await session.listening(started, port);
      return { name, port, started };
    },
  };
}
