// nginx as the upstream that serves files.
import { nginxConfiguration, nginxHttp, startNginx } from '../../src/harness/subjects/nginx.js';
import type { Session } from '../session.js';

/** Serves the session's memory directory over HTTP. Returns its port. */
export async function startFileUpstream(session: Session): Promise<number> {
  const port = await session.port();
  const block = `http {
${nginxHttp(session)}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { root ${session.memoryDirectory}; open_file_cache max=16; }
  }
}`;
  const text = nginxConfiguration(session, port, 1, 1024, block);
  await startNginx(session, 'upstream', String(session.loadCore), port, text);
  return port;
}
