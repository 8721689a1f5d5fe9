// The small servers of bench/load as upstreams, on the load's core.
import type { Session } from './session.js';

/** Starts bench/load/<program>.c: `answer` (HTTP, 40 bytes), `answer-h2` (HTTP/2, as many as told), `echo` or `source` (TCP). Returns its port. */
export async function startUpstream(
  session: Session,
  program: 'answer' | 'answer-h2' | 'echo' | 'source',
  bodyBytes?: number,
): Promise<number> {
  const port = await session.port();
  const started = session.start(program, String(session.loadCore), [
    session.compile(program),
    String(port),
    ...(bodyBytes === undefined ? [] : [String(bodyBytes)]),
  ]);
  await session.listening(started, port);
  return port;
}
