// Last resort when memory is short: a connection that holds too much for slow readers is not read until some of it has been sent, or there
// is memory again. Windows once given can't be taken back.
import { objectArray } from '../../http/object-array.js';
import type { Connection } from '../../http2/connection.js';
import { SOCKET } from '../../io/sockets.js';
import type { Context } from '../context.js';

export class ReadPauses {
  /** Connections that are paused. */
  private readonly paused = objectArray<Connection>();

  constructor(
    private readonly context: Context,
    private readonly of: (socket: number) => Connection | undefined,
  ) {}

  /** After something was received on a connection. */
  check(connection: Connection): void {
    if (!connection.overBuffered || this.context.slab.share > 0) return;
    const { sockets, outputLimits } = this.context;
    if ((sockets.flags[connection.socket] & SOCKET.PAUSED) !== 0) return;
    outputLimits.count();
    sockets.pause(connection.socket);
    this.paused.push(connection);
  }

  /** Once per loop turn. */
  turn(): void {
    const { paused } = this;
    if (paused.length === 0) return;
    const { slab, sockets } = this.context;
    for (let i = paused.length - 1; i >= 0; i--) {
      const connection = paused[i];
      const { socket } = connection;
      const there = this.of(socket) === connection;
      if (there && slab.share === 0 && connection.overBuffered) continue;
      paused.splice(i, 1);
      if (there) sockets.resumeSlowly(socket);
    }
  }
}
