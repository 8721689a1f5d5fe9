// The small servers of bench/load as upstreams, on the load's core.
import type { Session } from './session.js';

/** Starts bench/load/<program>.c: `answer` (HTTP, 40 bytes), `echo` or `source` (TCP). Returns its port. */
export async function startUpstream(session: Session, program: 'answer' | 'echo' | 'source'): Promise<number> {
  const port = await session.port();
  const started = session.start(program, String(session.loadCore), [session.compile(program), String(port)]);
  await session.listening(started, port);
  return port;
}
