// One HTTP/2 connection to a gRPC server: its name is looked up for each connection, so that clients spread over replicas.
import { lookup } from 'node:dns/promises';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** Addresses to try before it counts as a failure. */
const MAX_ATTEMPTS = 3;

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** Per address, ms. */
  readonly timeoutMs: number;
  /** The configuration key of the timeout, for messages. */
  readonly timeoutKey: string;
  readonly random: () => number;
  /** Cancels it. */
  readonly signal?: AbortSignal;
}

export interface ConnectionTls {
  readonly serverName: string;
  /** PEM. */
  readonly anchors: readonly string[];
  /** PEM: our own; without it the server does not authenticate us. */
  readonly own?: { readonly chain: string; readonly key: string };
}

export class ConnectTimeout extends Error {}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const all = [...list];
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all;
}

/** A connection whose peer has sent its settings. `tls` null: plain text. */
export async function openConnection(
  options: ConnectionOptions,
  tls: ConnectionTls | null,
): Promise<ClientHttp2Session> {
  const addresses = await within(options, lookup(options.host, { all: true }), `looking up ${options.host}`);
  let failure: unknown = new Error(`${options.host} has no address`);
  for (const { address } of shuffled(addresses, options.random).slice(0, MAX_ATTEMPTS)) {
    try {
      return await openTo(address, options, tls);
    } catch (error) {
      failure = error;
      if (options.signal?.aborted === true) break;
    }
  }
  throw failure;
}

async function within<T>(
  { timeoutMs, timeoutKey, signal }: ConnectionOptions,
  promise: Promise<T>,
  what: string,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let abort: () => void = () => undefined;
  const late = new Promise<never>((_, reject) => {
    abort = () => reject(new Error('given up'));
    timer = setTimeout(
      () => reject(new ConnectTimeout(`${what} took longer than ${timeoutMs} ms (${timeoutKey})`)),
      timeoutMs,
    );
    signal?.addEventListener('abort', abort);
    if (signal?.aborted === true) abort();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

function openTo(address: string, options: ConnectionOptions, tls: ConnectionTls | null): Promise<ClientHttp2Session> {
  const { port } = options;
  const socket =
    tls === null
      ? connectTcp({ host: address, port })
      : connectTls({
          host: address,
          port,
          servername: tls.serverName,
          ALPNProtocols: ['h2'],
          minVersion: 'TLSv1.3',
          ca: [...tls.anchors],
          ...(tls.own && { cert: tls.own.chain, key: tls.own.key }),
        });
  const plain = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
  const session = connectHttp2(tls === null ? plain : `https://${tls.serverName}`, {
    createConnection: () => socket,
    settings: { enablePush: false },
  });
  const opened = new Promise<ClientHttp2Session>((resolve, reject) => {
    session.once('remoteSettings', () => resolve(session));
    // Both listeners stay: an error without a listener would end the process.
    session.on('error', reject);
    socket.on('error', reject);
    // If a socket fails, its error has the reason.
    session.once('close', () => setImmediate(reject, new Error('the connection was closed before it stood')));
  });
  return within(options, opened, `connecting to ${address} port ${port}`).catch((error: unknown) => {
    session.destroy();
    socket.destroy();
    throw error;
  });
}
