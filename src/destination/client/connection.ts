// One HTTP/2 connection to a destination service: its name looked up anew, so that several replicas share those who ask.
import { lookup } from 'node:dns/promises';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { IdentityMaterial } from '../../identity/material.js';

/** Addresses of the name that are tried before it counts as a failure. */
const MOST_TRIES = 3;

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  /** For each address, ms. */
  readonly timeoutMs: number;
  readonly random: () => number;
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

/** A connection whose peer has sent its settings. `identity` null: in plain text. */
export async function openConnection(
  options: ConnectionOptions,
  identity: IdentityMaterial | null,
): Promise<ClientHttp2Session> {
  const addresses = await within(lookup(options.host, { all: true }), options.timeoutMs, `looking up ${options.host}`);
  let failure: unknown = new Error(`${options.host} has no address`);
  for (const { address } of shuffled(addresses, options.random).slice(0, MOST_TRIES)) {
    try {
      return await openTo(address, options, identity);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ConnectTimeout(`${what} took longer than ${ms} ms (destination.timeout)`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function openTo(
  address: string,
  { port, serverName, timeoutMs }: ConnectionOptions,
  identity: IdentityMaterial | null,
): Promise<ClientHttp2Session> {
  const socket =
    identity === null
      ? connectTcp({ host: address, port })
      : connectTls({
          host: address,
          port,
          servername: serverName,
          ALPNProtocols: ['h2'],
          minVersion: 'TLSv1.3',
          ca: [...identity.anchors],
          cert: identity.chain,
          key: identity.key,
        });
  const authority =
    identity === null ? `http://${address.includes(':') ? `[${address}]` : address}:${port}` : `https://${serverName}`;
  const session = connectHttp2(authority, { createConnection: () => socket, settings: { enablePush: false } });
  const opened = new Promise<ClientHttp2Session>((resolve, reject) => {
    session.once('remoteSettings', () => resolve(session));
    session.once('close', () => reject(new Error('the connection was closed before it stood')));
    // Stays: an error without a listener would end the process.
    session.on('error', reject);
    socket.on('error', reject);
  });
  return within(opened, timeoutMs, `connecting to ${address} port ${port}`).catch((error: unknown) => {
    session.destroy();
    socket.destroy();
    throw error;
  });
}
