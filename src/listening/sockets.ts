// Connections that have been accepted, counted and bounded before they cost anything.
import type { Socket } from 'node:net';
import { Shares } from './shares.js';

export class Sockets {
  readonly #open = new Set<Socket>();
  readonly #shares: Shares;

  /** One address never gets more than half of what is left of `most`. */
  constructor(most: number) {
    this.#shares = new Shares(most);
  }

  /** Those that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** false: it is one too many, and has been closed. */
  admit(socket: Socket): boolean {
    // Nobody else listens before there is a session; what goes wrong is the caller's own business.
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
