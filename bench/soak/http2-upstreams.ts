// HTTP/2 endpoints, with the faults that they are given.
import {
  constants,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.js';
import { listen, respond } from './upstreams.js';

export interface Http2Faults {
  /** At most so long before it answers, ms. */
  readonly slow?: number;
  /** Share of streams refused, which are to be sent elsewhere. */
  readonly refuses?: number;
  /** Share of streams reset in the middle, with any code. */
  readonly resets?: number;
  /** Leaves its connections every so often, in order, ms. */
  readonly leaves?: number;
  /** Dies about every so often, and comes back, ms. */
  readonly dies?: number;
}

const RESET_CODES = [
  constants.NGHTTP2_NO_ERROR,
  constants.NGHTTP2_PROTOCOL_ERROR,
  constants.NGHTTP2_INTERNAL_ERROR,
  constants.NGHTTP2_CANCEL,
  constants.NGHTTP2_ENHANCE_YOUR_CALM,
];

export class Http2Upstream {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<Socket>();
  #over = false;

  constructor(
    private readonly port: number,
    private readonly random: Random,
    private readonly faults: Http2Faults,
  ) {
    this.#server = createServer({ maxSessionMemory: 64 }, (request, response) => this.#request(request, response));
    this.#server.on('sessionError', () => undefined);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('session', (session) => {
      this.#sessions.add(session);
      session.once('close', () => this.#sessions.delete(session));
    });
  }

  async start(): Promise<void> {
    await listen(this.#server, this.port);
    void this.#leaving();
    void this.#dying();
  }

  close(): void {
    this.#over = true;
    this.#stop();
  }

  #stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #request(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const { random } = this;
    const { slow = 0, refuses = 0, resets = 0 } = this.faults;
    const { stream } = response;
    stream.on('error', () => undefined);
    if (random.chance(refuses)) return stream.close(constants.NGHTTP2_REFUSED_STREAM);
    if (random.chance(resets)) {
      const code = RESET_CODES[random.integer(0, RESET_CODES.length - 1)];
      setTimeout(() => stream.close(code), random.integer(0, 20));
    }
    if (slow > 0) await delay(random.integer(0, slow));
    if (!stream.destroyed) respond(request, response, () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  }

  /** GOAWAY, alone or with the end of the connection behind the last stream. */
  async #leaving(): Promise<void> {
    const { leaves = 0 } = this.faults;
    while (leaves > 0) {
      await delay(leaves, undefined, { ref: false });
      for (const session of this.#sessions) {
        if (session.closed || session.destroyed) continue;
        if (this.random.chance(0.5)) session.close();
        else session.goaway();
      }
    }
  }

  async #dying(): Promise<void> {
    const { dies = 0 } = this.faults;
    while (dies > 0) {
      await delay(dies * (0.5 + this.random.next()), undefined, { ref: false });
      if (this.#over) return;
      this.#stop();
      await delay(this.random.integer(50, 1000));
      if (this.#over) return;
      await listen(this.#server, this.port);
    }
  }
}
