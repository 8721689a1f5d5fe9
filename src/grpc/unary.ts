// A call with one request and one response, on its own connection.
import { type ConnectionOptions, type ConnectionTls, openConnection } from './connection.js';
import { frame, MessageReader } from './framing.js';
import { headProblem, requestHead, type Status, statusOf } from './status.js';

/** The server answered with an error. */
export class StatusError extends Error {
  constructor(readonly status: Status) {
    super(status.message);
  }
}

export interface UnaryOptions extends ConnectionOptions {
  /** `/package.Service/Method`. */
  readonly method: string;
  readonly maxBytes: number;
}

/** The response. Throws a StatusError, or the reason why there is none. */
export async function callUnary(
  options: UnaryOptions,
  tls: ConnectionTls | null,
  request: Uint8Array,
): Promise<Buffer> {
  const session = await openConnection(options, tls);
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      options.signal?.addEventListener('abort', () => reject(new Error('given up')));
      const stream = session.request(requestHead(options.method));
      let status: Status | null = null;
      let response: Buffer | null = null;
      const reader = new MessageReader(options.maxBytes, (octets) => {
        response ??= octets;
      });
      stream.on('response', (fields) => {
        const problem = headProblem(fields);
        status ??= statusOf(fields);
        if (problem !== '' && status === null) reject(new Error(`the answer is none of gRPC: ${problem}`));
      });
      stream.on('trailers', (fields) => {
        status ??= statusOf(fields);
      });
      stream.on('data', (octets: Buffer) => {
        try {
          reader.push(octets);
        } catch (error) {
          reject(error);
        }
      });
      stream.on('error', reject);
      stream.once('close', () => {
        if (status !== null && status.name !== 'OK') reject(new StatusError(status));
        else if (response === null || status === null) reject(new Error('the answer was cut off'));
        else resolve(response);
      });
      stream.end(frame(request));
    });
  } finally {
    session.destroy();
  }
}
