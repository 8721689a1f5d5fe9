// Octets that can be checked at the far end, and what endpoints do with them, whichever version of HTTP they speak.
import { createHash } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';

export const BLOCK_BYTES = 1 << 20;
/** A prime of octets behind the block: as many streams begin at places of their own. */
const STREAMS = 4099;

const BLOCK = Buffer.alloc(BLOCK_BYTES + STREAMS);
for (let i = 0, x = 0x2545f491; i < BLOCK.length; i++) {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  BLOCK[i] = x;
}

/** `length` bytes that repeat nowhere near a frame's, a buffer's or a window's length. */
export const content = (length: number): Buffer => (length === 0 ? Buffer.alloc(0) : Buffer.alloc(length, BLOCK));

/** `length` bytes of a stream named by `seed`, from `offset` on; at most a block. */
export function slice(seed: number, offset: number, length: number): Buffer {
  const start = (seed * 977 + offset / BLOCK_BYTES) % STREAMS;
  return BLOCK.subarray(start, start + length);
}

export const sha1 = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex');

/** What `/digest` answers: what arrived, to be compared with what was sent. */
export interface Digest {
  readonly length: number;
  readonly sha1: string;
  readonly trailers: Readonly<Record<string, string>>;
}

export const digestOf = (bytes: Uint8Array, trailers: Readonly<Record<string, string>> = {}): Digest => ({
  length: bytes.length,
  sha1: sha1(bytes),
  trailers,
});

/** A request as both versions' servers of Node show it. */
export interface Asked extends Readable {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly trailers: Readonly<Record<string, unknown>>;
}

/** A response as both versions' servers of Node write it. */
export interface Answering extends Writable {
  statusCode: number;
  setHeader(name: string, value: string | string[]): unknown;
  addTrailers(trailers: Record<string, string>): void;
}

export type Behaviour = (request: Asked, response: Answering) => void;

/**
 * The usual behaviour: `/echo` sends back what comes, as it comes; `/digest` says what came; `/bytes/N` sends N bytes, with their
 * length in front, with `?unknown` without; `?trailers` ends with trailers; everything else is `name`.
 */
export function usual(name: string): Behaviour {
  return (request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    if (query.includes('trailers')) response.setHeader('trailer', 'x-sum, x-last');
    const end = (bytes: Buffer): void => {
      if (query.includes('trailers')) {
        response.addTrailers({ 'x-sum': sha1(bytes), 'x-last': 'yes' });
        response.write(bytes);
        response.end();
      } else if (query.includes('unknown')) {
        response.write(bytes);
        response.end();
      } else {
        response.setHeader('content-length', String(bytes.length));
        response.end(request.method === 'HEAD' ? undefined : bytes);
      }
    };
    if (path === '/echo') {
      request.pipe(response);
    } else if (path === '/digest') {
      const hash = createHash('sha1');
      let length = 0;
      request.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        length += chunk.length;
      });
      request.once('end', () => {
        end(Buffer.from(JSON.stringify({ length, sha1: hash.digest('hex'), trailers: request.trailers })));
      });
    } else {
      request.resume();
      end(path.startsWith('/bytes/') ? content(Number(path.slice(7))) : Buffer.from(name));
    }
  };
}
