// Node's own TLS at the other end of the native engine: its socket is a stream whose bytes are passed on by hand.
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import type { End } from './tls-engine.js';

/** What Node.js writes goes to the engine at once, and what that answers goes back. */
class Wire extends Duplex {
  constructor(readonly engine: End) {
    super({ allowHalfOpen: true });
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.engine.receive(chunk);
    this.flush();
    done();
  }

  override _final(done: () => void): void {
    done();
  }

  flush(): void {
    const wire = this.engine.wire();
    if (wire.length > 0) this.push(wire);
  }
}

export class NodePeer {
  private readonly chunks: Buffer[] = [];
  ended = false;
  error: NodeJS.ErrnoException | undefined;
  /** The last ticket. */
  session: Buffer | undefined;
  readonly secrets = new Map<string, Buffer>();

  constructor(
    readonly socket: TLSSocket,
    readonly wire: Wire,
  ) {
    socket.on('data', (chunk: Buffer) => this.chunks.push(chunk));
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error) => {
      this.error ??= error;
    });
    socket.on('session', (session: Buffer) => {
      this.session = session;
    });
    socket.on('keylog', (line: Buffer) => this.note(line));
  }

  note(line: Buffer): void {
    const [label, , secret] = line.toString().trim().split(' ');
    this.secrets.set(label, Buffer.from(secret, 'hex'));
  }

  get plain(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** Lets both ends go on until nothing moves any more. */
  async settle(): Promise<this> {
    for (let quiet = 0; quiet < 6; quiet++) {
      const before = this.plain.length + this.wire.readableLength + this.wire.writableLength;
      this.wire.flush();
      await new Promise((resolve) => setImmediate(resolve));
      if (this.plain.length + this.wire.readableLength + this.wire.writableLength !== before) quiet = 0;
    }
    return this;
  }
}

/** Node.js as the client of `end`. */
export async function nodeClient(end: End, options: ConnectionOptions): Promise<NodePeer> {
  const wire = new Wire(end);
  const peer = new NodePeer(connect({ ...options, socket: wire }), wire);
  return peer.settle();
}

/** Node.js as the server of `end`. */
export async function nodeServer(end: End, options: TlsOptions): Promise<NodePeer> {
  const server = createServer({ ...options, allowHalfOpen: true });
  const wire = new Wire(end);
  const accepted = once(server, 'secureConnection');
  const failed = once(server, 'tlsClientError');
  accepted.catch(() => {});
  failed.catch(() => {});
  const lines: Buffer[] = [];
  server.on('keylog', (line) => lines.push(line));
  server.emit('connection', wire);
  end.receive();
  wire.flush();
  const first = await Promise.race([
    accepted.then(([socket]) => ({ socket: socket as TLSSocket, error: undefined })),
    failed.then(([error, socket]) => ({ socket: socket as TLSSocket, error: error as NodeJS.ErrnoException })),
  ]);
  const peer = new NodePeer(first.socket, wire);
  peer.error = first.error;
  for (const line of lines) peer.note(line);
  return peer.settle();
}
