// Accepted connections, counted and limited before they cost anything.
import type { Socket } from 'node:net';
import { Shares } from './shares.js';

export class Sockets {
  readonly #open = new Set<Socket>();
  readonly #shares: Shares;

  /** No address gets more than half of the rest of `most`. */
  constructor(most: number) {
    this.#shares = new Shares(most);
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

  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }
}
