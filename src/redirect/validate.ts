// Checks whether connections in this network namespace are redirected: a listener in the proxy's place says a word that nobody else knows.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export interface Probe {
  /** The proxy's port, where nobody may listen yet. */
  readonly port: number;
  /** An address that is dialled, but never reached. */
  readonly host: string;
  readonly target: number;
  readonly timeoutMs: number;
}

/** What the answering side says: '' for nothing. Rejects with the reason of a failure. */
function heard({ host, target, timeoutMs }: Probe): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    const socket = connect({ host, port: target });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    socket.setEncoding('latin1').on('data', (text) => {
      said += text;
      if (said.length > 1024) socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(said));
  });
}

/** null: they are. Otherwise the reason, in a sentence for people. */
export async function redirectProblem(probe: Probe): Promise<string | null> {
  const word = randomBytes(16).toString('hex');
  const proxy = createServer((socket) => socket.on('error', () => undefined).end(word));
  try {
    await once(proxy.listen(probe.port, probe.host.includes(':') ? '::1' : '127.0.0.1'), 'listening');
  } catch (error) {
    return `cannot listen on port ${probe.port} in the proxy's place: ${error instanceof Error ? error.message : error}`;
  }
  const to = `${probe.host}:${probe.target}`;
  try {
    if ((await heard(probe)) === word) return null;
    return `a connection to ${to} reached another listener: connections are not redirected to port ${probe.port}`;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `a connection to ${to} did not reach port ${probe.port}: ${why}`;
  } finally {
    proxy.close();
  }
}
