// Accepted connections, counted and limited before they cost anything.
import type { Socket } from 'node:net';
import { FairShare } from './fair-share.js';

export class ConnectionLimit {
  readonly #open = new Set<Socket>();
  readonly #shares: FairShare;

  /** No address gets more than half of the rest of `most`. */
  constructor(most: number) {
    this.#shares = new FairShare(most);
  }

  /** Open connections. */
  get size(): number {
    return this.#open.size;
  }

  /** false: over the limit; it has been closed. */
  admit(socket: Socket): boolean {
    // Nobody else listens before there is a session; errors concern only the caller.
    socket.on('error', () => undefined);
    const address = socket.remoteAddress ?? '';
    if (!this.#shares.take(address)) {
      socket.destroy();
      return false;
    }
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#shares.give(address);
    });
    return true;
  }

  destroyAll(): void {
    for (const socket of this.#open) socket.destroy();
  }
}
