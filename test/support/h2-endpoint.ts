// An HTTP/2 server of raw peers on a real socket.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { END_STREAM } from './h2-frames.js';
import { fieldOf } from './h2-inbox.js';
import { H2Peer, type PeerOptions } from './h2-peer.js';
import type { DecodedField, Pair } from './naive-hpack.js';
import { Waiting } from './waiting.js';

const HOST = '127.0.0.1';

/** A request that has reached an endpoint. */
export interface Arrival {
  readonly peer: H2Peer;
  readonly stream: number;
  readonly fields: readonly DecodedField[];
  readonly endStream: boolean;
}

/**
 * An h2c server of raw peers. Requests for /ok and /echo are answered by themselves; every other is for the test to take with
 * `request`.
 */
export class H2Endpoint {
  /** Every connection, in the order of arrival. */
  readonly peers: H2Peer[] = [];
  /** Requests that have arrived, ever. */
  requests = 0;
  /** What a connection is told first; by default empty SETTINGS. */
  greet: (peer: H2Peer) => void = (peer) => void peer.settings().catch(() => undefined);
  /** For connections to come. */
  options: PeerOptions = {};
  private readonly arrivals: Arrival[] = [];
  private readonly waiting = new Waiting();

  private constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async listen(port = 0): Promise<H2Endpoint> {
    const server = createServer();
    server.listen(port, HOST);
    await once(server, 'listening');
    const endpoint = new H2Endpoint(server, (server.address() as AddressInfo).port);
    server.on('connection', (socket) => endpoint.accept(socket));
    return endpoint;
  }

  get address(): string {
    return `${HOST}:${this.port}`;
  }

  /** Connection number `index`. */
  async connection(index: number): Promise<H2Peer> {
    await this.waiting.until(
      () => this.peers.length > index,
      () => `connection ${index} to the endpoint`,
    );
    return this.peers[index] as H2Peer;
  }

  /** Takes the next request that waits for an answer, of this path if one is given; null is a request without. */
  async request(path?: string | null): Promise<Arrival> {
    const at = (): number =>
      this.arrivals.findIndex(({ fields }) => path === undefined || fieldOf(fields, ':path') === path);
    await this.waiting.until(
      () => at() >= 0,
      () => `a request${path === undefined ? '' : ` for ${path}`} at the endpoint`,
    );
    return this.arrivals.splice(at(), 1)[0] as Arrival;
  }

  /** Ends every connection, and resolves when the other side has too. */
  async quiet(): Promise<void> {
    await Promise.all(this.peers.map((peer) => peer.bye().catch(() => peer.destroy())));
    this.arrivals.length = 0;
  }

  async close(): Promise<void> {
    for (const peer of this.peers) peer.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(socket: Socket): void {
    const peer = new H2Peer(socket, 'server', this.options);
    const echoes = new Set<number>();
    peer.onFrame = (frame) => {
      if (frame.type === 'RST_STREAM') echoes.delete(frame.stream);
      const path = fieldOf(frame.fields, ':path');
      if (frame.type === 'HEADERS' && (path !== null || fieldOf(frame.fields, ':method') !== null)) {
        this.requests++;
        if (path?.startsWith('/echo')) {
          peer.headers(frame.stream, { ':status': '200' });
          if (frame.endStream) peer.data(frame.stream, '', END_STREAM);
          else echoes.add(frame.stream);
          return true;
        }
        if (path?.startsWith('/ok')) {
          peer.headers(frame.stream, { ':status': '200', 'content-length': '2' });
          peer.data(frame.stream, 'ok', END_STREAM);
          return true;
        }
        this.arrivals.push({ peer, stream: frame.stream, fields: frame.fields, endStream: frame.endStream });
        this.waiting.wake();
        return true;
      }
      if (!echoes.has(frame.stream)) return false;
      if (frame.type === 'DATA') peer.data(frame.stream, frame.payload, frame.endStream ? END_STREAM : 0);
      else if (frame.type === 'HEADERS') {
        peer.headers(
          frame.stream,
          frame.fields.map(({ name, value }): Pair => [name, value]),
          END_STREAM,
        );
      } else return false;
      if (frame.endStream) echoes.delete(frame.stream);
      return true;
    };
    this.peers.push(peer);
    this.greet(peer);
    this.waiting.wake();
  }
}
