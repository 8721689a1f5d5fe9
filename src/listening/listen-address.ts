// Where a Node.js server listens.
import type { Server } from 'node:net';
import type { Address } from '../config/model.js';

/** Rejects with the address, and `what` as the subject. */
export function listenOn(server: Server, { host, port }: Address, what = 'on'): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      reject(new Error(`cannot listen ${what} ${host}:${port}: ${error.code ?? error.message}`, { cause: error }));
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      server.on('error', () => undefined);
      resolve();
    });
  });
}

/** 0 if it does not listen. */
export function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
