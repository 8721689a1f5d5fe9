// Plain TCP for end-to-end tests: servers on free ports, clients, and byte streams that can be checked at the far end.
import { spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { BLOCK_BYTES, slice } from './content.js';

import { eventually } from './sluice.js';

const HOST = '127.0.0.1';

/** How long a test waits for a peer, ms: what has not come by then does not come. A test that stood still would say nothing. */
const TIMEOUT_MS = 60_000;

/** `wanted`, or a failure that names `what` was waited for in vain. */
function patiently<T>(wanted: Promise<T>, what: () => string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${TIMEOUT_MS} ms for ${what()}`)), TIMEOUT_MS);
    wanted.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

export interface TcpServer {
  readonly port: number;
  readonly server: Server;
  /** Connections accepted so far, in order. */
  readonly sockets: Socket[];
  /** The next connection that nobody has taken with `next` yet. */
  next(): Promise<Socket>;
  close(): Promise<void>;
}

/** A server whose connections stay half open until the test ends them. Errors of connections are the test's to expect. */
export async function listen(onConnection: (socket: Socket) => void = () => undefined, port = 0): Promise<TcpServer> {
  const sockets: Socket[] = [];
  const waiting: ((socket: Socket) => void)[] = [];
  let taken = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
    onConnection(socket);
    const wants = waiting.shift();
    if (wants !== undefined) {
      taken++;
      wants(socket);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    server,
    sockets,
    next: () => {
      const ready = sockets[taken];
      if (ready !== undefined) {
        taken++;
        return Promise.resolve(ready);
      }
      const nextOne = new Promise<Socket>((resolve) => waiting.push(resolve));
      return patiently(nextOne, () => `connection ${taken + 1} to the server`);
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * A port on which nobody listens, nor can while this process lives. It is the local port of an open connection: the kernel refuses
 * connections to it and gives it to no listener. A port that was only free a moment ago goes to the next server that asks for any port.
 */
export async function deadPort(): Promise<number> {
  const server = await listen();
  const holder = connect(server.port, HOST);
  await once(holder, 'connect');
  const accepted = await server.next();
  for (const handle of [holder, accepted, server.server]) handle.unref();
  const { localPort } = holder;
  if (localPort === undefined) throw new Error('a connection to a local server has no local port');
  return localPort;
}

/** Whether `port` refuses a connection now. */
export function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST, () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}

/**
 * A listener whose accept queue is full, so that the kernel leaves connects without an answer. When it is opened it accepts, and answers
 * each GET with 200 and `ok`: the kernel asks again after a second.
 */
export async function fullListener(): Promise<{ address: string; open(): void; close(): void }> {
  const answer =
    "(s) => s.on('error', () => {}).on('data', () => s.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'))";
  const program = `const s = require('node:net').createServer(${answer}).listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => { console.log(s.address().port); });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  child.kill('SIGSTOP');
  const fillers = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  await eventually(() => fillers.filter(({ readyState }) => readyState === 'open').length >= 2, 'a full accept queue');
  return {
    address: `127.0.0.1:${port}`,
    open: () => {
      for (const filler of fillers) filler.destroy();
      child.kill('SIGCONT');
    },
    close: () => {
      for (const filler of fillers) filler.destroy();
      child.kill('SIGKILL');
    },
  };
}

const dialled = new Set<Socket>();

/** Destroys every connection that `dial` made: for after a test, so that one that failed leaves nothing open. */
export function hangUp(): void {
  for (const socket of dialled) socket.destroy();
  dialled.clear();
}

/** Connected, half-open capable. Errors are seen by `ended`. */
export function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: HOST, allowHalfOpen: true, noDelay: true }, () => {
      dialled.add(socket);
      socket.once('close', () => dialled.delete(socket));
      socket.off('error', reject);
      socket.on('error', () => undefined);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/** How the stream of `socket` ends: `end` for a FIN, else the code of its error. Reads, and drops, what comes. */
export function ended(socket: Socket): Promise<string> {
  if (socket.readableEnded) return Promise.resolve('end');
  if (socket.destroyed) return Promise.resolve('closed');
  const end = new Promise<string>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.once('end', () => resolve('end'));
    socket.once('close', () => resolve('closed'));
    socket.resume();
  });
  return patiently(end, () => 'the end of a connection');
}

/**
 * Whether the stream of `socket` ends with a RST. libuv takes a RST that arrives right behind data for the end of the stream,
 * but the kernel then refuses to send.
 */
export async function wasReset(socket: Socket): Promise<boolean> {
  const how = await ended(socket);
  if (how !== 'end') return how === 'ECONNRESET' || how === 'EPIPE';
  return new Promise((resolve) => socket.write('?', (error) => resolve(error instanceof Error)));
}

/** How a connection ends that says `words` and no more: `end`, or the code of its error. It may end before it stands. */
export const fate = (port: number, words: string | Buffer = ''): Promise<string> => {
  const client = connect(port, HOST);
  const end = new Promise<string>((resolve) => {
    client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    client.once('end', () => resolve('end'));
    client.resume();
    if (words.length > 0) client.write(words);
  });
  return patiently(end, () => `the end of a connection to port ${port} (${client.readyState})`);
};

/** Everything until the FIN; rejects on an error. */
export function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const all = new Promise<Buffer>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => resolve(Buffer.concat(chunks)));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without a FIN')));
  });
  return patiently(all, () => `the end behind ${inWords(chunks)}`);
}

/** What has come, for the message of a failure. */
const inWords = (chunks: readonly Buffer[]): string =>
  JSON.stringify(Buffer.concat(chunks).subarray(0, 400).toString('latin1'));

/** Everything up to where `pattern` matches what has come, taken as latin1. */
export function readUntil(socket: Socket, pattern: RegExp): Promise<string> {
  const chunks: Buffer[] = [];
  let stop = (): void => undefined;
  const matching = new Promise<string>((resolve, reject) => {
    const data = (chunk: Buffer): void => {
      chunks.push(chunk);
      const text = Buffer.concat(chunks).toString('latin1');
      if (pattern.test(text)) resolve(text);
    };
    const early = (): void => reject(new Error(`the stream ended after ${inWords(chunks)}`));
    socket.on('data', data).once('error', reject).once('close', early).once('end', early);
    stop = () => socket.off('data', data).off('error', reject).off('close', early).off('end', early);
  });
  return patiently(matching, () => `${pattern} behind ${inWords(chunks)}`).finally(stop);
}

/** Exactly `length` bytes, and no more so far. */
export function read(socket: Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let got = 0;
  const exact = new Promise<Buffer>((resolve, reject) => {
    const data = (chunk: Buffer): void => {
      chunks.push(chunk);
      got += chunk.length;
      if (got < length) return;
      socket.off('data', data).off('error', reject).off('end', early);
      if (got > length) reject(new Error(`${got} bytes instead of ${length}`));
      else resolve(Buffer.concat(chunks));
    };
    const early = (): void => reject(new Error(`the stream ended after ${got} of ${length} bytes`));
    socket.on('data', data).once('error', reject).once('end', early);
  });
  return patiently(exact, () => `${length} bytes behind ${inWords(chunks)}`);
}

/** Writes `length` bytes with respect for backpressure; resolves with their SHA-1 when all are handed to the kernel. */
export async function pour(socket: Socket, seed: number, length: number): Promise<string> {
  const hash = createHash('sha1');
  for (let at = 0; at < length; at += BLOCK_BYTES) {
    const bytes = slice(seed, at, Math.min(BLOCK_BYTES, length - at));
    hash.update(bytes);
    await new Promise<void>((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve())));
  }
  return hash.digest('hex');
}

/** Reads `length` bytes; resolves with their SHA-1. */
export function drink(socket: Socket, length: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const hash: Hash = createHash('sha1');
    let got = 0;
    const data = (chunk: Buffer): void => {
      hash.update(chunk);
      got += chunk.length;
      if (got < length) return;
      socket.off('data', data).off('error', reject).off('end', early);
      if (got > length) reject(new Error(`${got} bytes instead of ${length}`));
      else resolve(hash.digest('hex'));
    };
    const early = (): void => reject(new Error(`the stream ended after ${got} of ${length} bytes`));
    socket.on('data', data).once('error', reject).once('end', early);
  });
}
