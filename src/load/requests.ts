// Requests as bytes: written once into the slab's fixed region, and sent from there any number of times. They have no buffer of their own.

import type { DriverContext } from './driver.js';
import type { LoadPlan, LoadTarget } from './plan.js';
import type { Share } from './shares.js';

/** Larger bodies of letters are sent as one piece several times. */
export const PIECE_BYTES = 256 * 1024;

/** Content to send: letters, so that it is readable. */
export function filler(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = 0x61 + (i % 26);
  return bytes;
}

/** The body of a plan's requests. */
export const bodyOf = ({ body, bodyBytes }: Pick<LoadPlan, 'body' | 'bodyBytes'>): Uint8Array =>
  body ?? filler(bodyBytes);

/** Bytes of the body that are kept in memory: a file's all, of letters one piece at most. */
export const pieceBytes = ({ body, bodyBytes }: Pick<LoadPlan, 'body' | 'bodyBytes'>): number =>
  body === undefined ? Math.min(Math.max(bodyBytes, 1), PIECE_BYTES) : Math.max(1, body.length);

/** The head of a request; the plan's own fields replace defaults. */
export function requestHead(plan: LoadPlan, { authority, path }: LoadTarget): string {
  const given = new Set(plan.headers.map(([name]) => name));
  const fields: (readonly [string, string])[] = [];
  if (!given.has('host')) fields.push(['Host', authority]);
  fields.push(...plan.headers);
  if (plan.bodyBytes > 0 && !given.has('content-length') && !given.has('transfer-encoding'))
    fields.push(['Content-Length', String(plan.bodyBytes)]);
  if (!plan.keepAlive && !given.has('connection')) fields.push(['Connection', 'close']);
  return `${plan.method} ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

/** Takes turns by weight, as evenly as possible ("smooth weighted round robin", nginx). */
export class WeightedRoundRobin {
  private readonly weights: Float64Array;
  private readonly current: Float64Array;
  private readonly total: number;

  constructor(weights: readonly number[]) {
    this.weights = Float64Array.from(weights);
    this.current = new Float64Array(weights.length);
    this.total = weights.reduce((sum, weight) => sum + weight, 0);
  }

  next(): number {
    const { weights, current } = this;
    if (weights.length === 1) return 0;
    let best = 0;
    for (let i = 0; i < weights.length; i++) {
      current[i] += weights[i];
      if (current[i] > current[best]) best = i;
    }
    current[best] -= this.total;
    return best;
  }
}

/** HTTP/1.1 requests, for each target of each share. */
export class Requests {
  private readonly rotation: WeightedRoundRobin[];
  /** For each share its targets: start of the request, and its length including the first piece of its body. */
  private readonly at: Int32Array[];
  private readonly length: Int32Array[];
  private readonly pieceAt: number = 0;
  private readonly piece: number = 0;
  private readonly pieces: number = 0;
  private readonly rest: number = 0;

  constructor(private readonly context: DriverContext) {
    const { plan, shares, reactor } = context;
    const { slab } = reactor;
    const bytes = plan.bodyBytes;
    const joined = bytes <= PIECE_BYTES;
    const piece = pieceBytes(plan);
    const put = (bytes: Uint8Array): number => {
      const at = slab.fixed(bytes.length);
      slab.bytes.set(bytes, at);
      return at;
    };
    if (!joined) {
      this.pieceAt = put(plan.body ?? filler(piece));
      this.piece = piece;
      this.pieces = Math.floor(bytes / piece);
      this.rest = bytes % piece;
    }
    this.rotation = shares.map(({ targets }) => new WeightedRoundRobin(targets.map(({ weight }) => weight)));
    const texts = shares.map(({ targets }) =>
      targets.map((target) => {
        const head = Buffer.from(requestHead(plan, target), 'latin1');
        return joined ? Buffer.concat([head, bodyOf(plan)]) : head;
      }),
    );
    this.at = texts.map((list) => Int32Array.from(list, put));
    this.length = texts.map((list) => Int32Array.from(list, ({ length }) => length));
  }

  /** Bytes of the fixed region. */
  static fixedBytes(plan: LoadPlan, shares: readonly Share[]): number {
    const targets = shares.flatMap((share) => share.targets);
    const heads = targets.reduce((sum, target) => sum + requestHead(plan, target).length + 32 + pieceBytes(plan), 0);
    return heads + pieceBytes(plan) + 32;
  }

  /** Queues the next request of `connection`'s share. */
  queue(connection: number, socket: number): void {
    const { sockets } = this.context.reactor;
    const share = this.context.shareOf[connection];
    const target = this.rotation[share].next();
    sockets.queue(socket, this.at[share][target], this.length[share][target], -1);
    for (let i = 0; i < this.pieces; i++) sockets.queue(socket, this.pieceAt, this.piece, -1);
    if (this.rest > 0) sockets.queue(socket, this.pieceAt, this.rest, -1);
  }
}
