// HTTP/2 and gRPC requests: header blocks and bodies, in the slab, to be copied or sent from there.

import type { Connection } from '../http2/connection.js';
import { FLAG, FRAME, FRAME_HEADER_BYTES, putFrameHeader } from '../http2/frame.js';
import type { Sender } from '../http2/sender.js';
import type { Core } from '../http2/shared-state.js';
import { STREAM } from '../http2/streams.js';
import { BUFFER_CAPACITY } from '../io/slab.js';
import type { DriverContext } from './driver.js';
import { type Field, type HeaderBlocks, headerBlocks, TABLE_BYTES } from './header-blocks.js';
import type { LoadPlan, LoadTarget } from './plan.js';
import { bodyOf, filler, WeightedRoundRobin } from './requests.js';

const isGrpc = ({ protocol }: LoadPlan): boolean => protocol.startsWith('grpc');
/** Fields of HTTP/1 only (RFC 9113 section 8.2.2). */
const CONNECTION_FIELDS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

export function requestFields(plan: LoadPlan, { authority, path }: LoadTarget): Field[] {
  const given = new Set(plan.headers.map(([name]) => name));
  const own = plan.headers.filter(([name]) => name !== 'host' && !CONNECTION_FIELDS.has(name));
  const host = plan.headers.find(([name]) => name === 'host')?.[1] ?? authority;
  const grpc = isGrpc(plan);
  const fields: Field[] = [
    [':method', grpc ? 'POST' : plan.method],
    [':scheme', plan.tls === null ? 'http' : 'https'],
    [':path', path],
    [':authority', host],
  ];
  if (grpc && !given.has('te')) fields.push(['te', 'trailers']);
  if (grpc && !given.has('content-type')) fields.push(['content-type', 'application/grpc']);
  fields.push(...own);
  if (!grpc && plan.bodyBytes > 0 && !given.has('content-length'))
    fields.push(['content-length', String(plan.bodyBytes)]);
  return fields;
}

/** A gRPC message with its prefix. */
export function grpcMessage(message: Uint8Array): Uint8Array {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** A message of Protocol Buffers: a bytes field with number 1, filling up to `length` bytes. */
export function fillerMessage(length: number): Uint8Array {
  let bytes = 0;
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
  if (length >= 2) {
    bytes = length - 2;
    while (bytes + 1 + varint(bytes).length > length) bytes--;
  }
  const head = length >= 2 ? [0x0a, ...varint(bytes)] : [];
  return Buffer.concat([Uint8Array.from(head), filler(bytes)]);
}

export class Http2Requests {
  private readonly rotation: readonly WeightedRoundRobin[];
  private readonly blocks: readonly (readonly HeaderBlocks[])[];
  /** 1: the fields of its requests are in the table of the connection's peer. */
  private readonly primed: Uint8Array;
  /** Body: positions and lengths of its pieces, each in a buffer of its own. */
  private readonly pieceAt: number[] = [];
  private readonly pieceLength: number[] = [];
  private readonly bodyBytes: number;

  constructor(
    private readonly context: DriverContext,
    private readonly core: Core,
    private readonly sender: Sender,
  ) {
    const { plan, shares, shareOf, reactor } = context;
    this.primed = new Uint8Array(shareOf.length);
    this.rotation = shares.map(({ targets }) => new WeightedRoundRobin(targets.map(({ weight }) => weight)));
    this.blocks = shares.map(({ targets }) => headerBlocks(targets.map((target) => requestFields(plan, target))));
    const body = isGrpc(plan) ? grpcMessage(plan.body ?? fillerMessage(plan.bodyBytes)) : bodyOf(plan);
    this.bodyBytes = body.length;
    for (let from = 0; from < body.length; from += BUFFER_CAPACITY) {
      const bid = reactor.slab.take();
      if (bid < 0) throw new Error('there is not enough memory for the body');
      const at = reactor.slab.dataStart(bid);
      const piece = body.subarray(from, from + BUFFER_CAPACITY);
      reactor.slab.bytes.set(piece, at);
      this.pieceAt.push(at);
      this.pieceLength.push(piece.length);
    }
  }

  /** Bytes of the slab for bodies. */
  static slabBytes({ bodyBytes }: LoadPlan): number {
    return Math.ceil((bodyBytes + 16) / BUFFER_CAPACITY) * 16_384;
  }

  renew(connection: number): void {
    this.primed[connection] = 0;
  }

  /** Sends the head of the next request on an open stream; `end`: without a body. False if there is no memory. */
  head(connection: number, on: Connection, slot: number, end: boolean): boolean {
    const { core, context, primed } = this;
    const share = context.shareOf[connection];
    const blocks = this.blocks[share][this.rotation[share].next()];
    const small = on.encoder.tableLimit < TABLE_BYTES;
    const block = small ? blocks.plain : primed[connection] === 0 ? blocks.first : blocks.next;
    primed[connection] = 1;
    const { length } = block;
    const at = core.output.room(on, FRAME_HEADER_BYTES + length);
    if (at < 0) return false;
    const flags = end ? FLAG.END_HEADERS | FLAG.END_STREAM : FLAG.END_HEADERS;
    putFrameHeader(core.bytes, at, length, FRAME.HEADERS, flags, core.streams.id[slot]);
    // Usually a few bytes, for which a call would cost more.
    const to = at + FRAME_HEADER_BYTES;
    if (length > 32) core.bytes.set(block, to);
    else for (let i = 0; i < length; i++) core.bytes[to + i] = block[i];
    core.output.wrote(on, to + length);
    core.streams.state[slot] |= end ? STREAM.HEAD_OUT | STREAM.LOCAL_END : STREAM.HEAD_OUT;
    return true;
  }

  get hasBody(): boolean {
    return this.bodyBytes > 0;
  }

  /** Sends the body, or a message, as far as windows allow. False if there is no memory. */
  body(slot: number, end: boolean): boolean {
    const { pieceAt, pieceLength, core, sender } = this;
    for (let i = 0; i < pieceAt.length; i++) {
      const last = i === pieceAt.length - 1;
      if (pieceLength[i] < 2048 && core.pending.empty(slot)) {
        if (sender.data(slot, pieceAt[i], pieceLength[i], end && last) < 0) return false;
      } else {
        if (!core.pending.append(slot, pieceAt[i], pieceLength[i])) return false;
        if (last) sender.sendQueued(slot, end);
      }
    }
    return true;
  }
}
