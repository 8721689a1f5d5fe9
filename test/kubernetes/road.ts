// A way to a server that can be closed, or blocked without anybody being told.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Road {
  private readonly sockets = new Set<Socket>();
  private closed = false;

  private constructor(private readonly server: Server) {}

  static async to(port: number): Promise<Road> {
    const server = createServer();
    const road = new Road(server);
    server.on('connection', (near) => {
      if (road.closed) {
        near.destroy();
        return;
      }
      const far = connect(port, '127.0.0.1');
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) {
        road.sockets.add(socket);
        socket
          .on('error', () => undefined)
          .once('close', () => {
            road.sockets.delete(socket);
            near.destroy();
            far.destroy();
          });
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return road;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Nothing gets through any more on connections that there are. */
  block(): void {
    for (const socket of this.sockets) socket.unpipe().pause();
  }

  /** Ends connections, and lets none through until `open`. */
  close(): void {
    this.closed = true;
    for (const socket of this.sockets) socket.destroy();
  }

  open(): void {
    this.closed = false;
  }

  stop(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}
