// The small servers of bench/load as upstreams, on the load's core.
import { VARY } from './load.js';
import type { Session } from './session.js';

/** Starts bench/load/<program>.c: `answer` (HTTP, 40 bytes), `answer-h2` (HTTP/2, as many as told), `echo` or `source` (TCP). Returns its port. */
export async function startUpstream(
  session: Session,
  program: 'answer' | 'answer-h2' | 'echo' | 'source',
  bodyBytes?: number,
): Promise<number> {
  return listen(session, program, bodyBytes === undefined ? [] : [String(bodyBytes)]);
}

/** Starts an upstream whose answers are all different (bench/load/vary.h). Returns its port. */
export function startVariedUpstream(session: Session, http2: boolean): Promise<number> {
  return http2 ? listen(session, 'answer-h2', ['vary', ...VARY]) : listen(session, 'answer-vary', VARY);
}

async function listen(session: Session, program: string, args: readonly string[]): Promise<number> {
  const port = await session.port();
  const command = [session.compile(program), String(port), ...args];
  const started = session.start(program, String(session.loadCore), command);
  await session.listening(started, port);
  return port;
}
