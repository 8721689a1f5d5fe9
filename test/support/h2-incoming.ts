// What a raw HTTP/2 peer receives: octets become frames, header blocks become one frame each, and every rule is checked.
import { ACK, codeName, END_HEADERS, END_STREAM, FrameReader, type RawFrame } from './h2-frames.js';
import type { Frame } from './h2-inbox.js';
import type { Rules } from './h2-rules.js';

export class Incoming {
  /** Frames received of each type, ever. */
  readonly counts = new Map<string, number>();
  private readonly reader: FrameReader;
  /** The header block that has begun. */
  private block: { readonly stream: number; readonly flags: number; readonly parts: Buffer[] } | null = null;

  constructor(
    role: 'client' | 'server',
    private readonly rules: Rules,
    private readonly keep: (frame: Frame) => void,
  ) {
    this.reader = new FrameReader(role === 'server');
  }

  read(chunk: Buffer): void {
    const frames = this.reader.read(chunk);
    if (frames === null) this.rules.broken('no connection preface (3.4)');
    for (const one of frames ?? []) this.dispatch(one);
  }

  private dispatch({ type, flags, stream: rawStream, payload }: RawFrame): void {
    const stream = rawStream & 0x7fffffff;
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    if (!this.rules.frame(type, flags, rawStream, payload, this.block?.stream ?? 0)) return;
    const make = (more: Partial<Frame> = {}): Frame => ({
      type,
      flags,
      stream,
      payload,
      endStream: (type === 'DATA' || type === 'HEADERS') && (flags & END_STREAM) !== 0,
      ack: (type === 'SETTINGS' || type === 'PING') && (flags & ACK) !== 0,
      fields: [],
      code: '',
      lastStream: 0,
      increment: 0,
      weight: 0,
      ...more,
    });
    switch (type) {
      case 'DATA':
        this.keep(make({ payload: this.rules.content(type, flags, payload), weight: payload.length }));
        break;
      case 'HEADERS':
        this.block = { stream, flags, parts: [this.rules.content(type, flags, payload)] };
        if ((flags & END_HEADERS) !== 0) this.header(make);
        break;
      case 'CONTINUATION':
        this.block?.parts.push(payload);
        if ((flags & END_HEADERS) !== 0) this.header(make);
        break;
      case 'RST_STREAM':
        this.keep(make({ code: codeName(payload.readUInt32BE(0)) }));
        break;
      case 'GOAWAY':
        this.keep(make({ lastStream: payload.readUInt32BE(0), code: codeName(payload.readUInt32BE(4)) }));
        break;
      case 'WINDOW_UPDATE':
        this.keep(make({ increment: payload.readUInt32BE(0) }));
        break;
      default:
        this.keep(make());
    }
  }

  /** A header block is whole. */
  private header(make: (more: Partial<Frame>) => Frame): void {
    const { block } = this;
    if (block === null) return;
    this.block = null;
    const { stream, flags } = block;
    const payload = Buffer.concat(block.parts);
    const endStream = (flags & END_STREAM) !== 0;
    const fields = this.rules.headerBlock(stream, payload, endStream);
    this.keep(make({ type: 'HEADERS', flags, stream, payload, endStream, fields }));
  }
}
