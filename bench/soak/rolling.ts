// Endpoints that are restarted one after the other, as a deployment does it: one is away at any time, for a moment or for long enough to
// be taken for dead.
import { createServer as createHttp2Server, type ServerHttp2Session } from 'node:http2';
import type { Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.js';
import { httpUpstream, listen, respond } from './upstreams.js';

const DOWN_MS = [50, 3000] as const;
const UP_MS = [0, 1000] as const;

class RestartingServer {
  #server: Server | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(
    readonly port: number,
    private readonly http2: boolean,
  ) {}

  async start(): Promise<void> {
    const server = this.http2 ? this.#http2() : httpUpstream();
    this.#server = server;
    await listen(server, this.port);
  }

  /** What is under way comes to its end. */
  stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server?.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    return closed;
  }

  kill(): void {
    this.#server?.close();
    for (const session of this.#sessions) session.destroy();
  }

  #http2(): Server {
    const server = createHttp2Server((request, response) => respond(request, response, () => undefined));
    server.on('sessionError', () => undefined);
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.once('close', () => this.#sessions.delete(session));
    });
    return server;
  }
}

/** Starts endpoints at `ports`, and restarts them until what it returns is called. */
export async function restartInTurn(ports: readonly number[], http2: boolean, random: Random): Promise<() => void> {
  const endpoints = ports.map((port) => new RestartingServer(port, http2));
  for (const endpoint of endpoints) await endpoint.start();
  let stopped = false;
  const restart = async (): Promise<void> => {
    for (let i = 0; !stopped; i++) {
      const endpoint = endpoints[i % endpoints.length];
      await endpoint?.stop();
      await delay(random.integer(...DOWN_MS));
      await endpoint?.start();
      await delay(random.integer(...UP_MS));
    }
  };
  void restart();
  return () => {
    stopped = true;
    for (const endpoint of endpoints) endpoint.kill();
  };
}
