// HTTP/2 frames (RFC 9113 sections 4, 6 and 7) for tests, by their names in the RFC. Shares no code with src/http2.

export const TYPES = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
] as const;
export type FrameType = (typeof TYPES)[number];

export const CODES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
] as const;
export type Code = (typeof CODES)[number];

export const SETTINGS = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
  ENABLE_CONNECT_PROTOCOL: 8,
} as const;
export type Setting = keyof typeof SETTINGS;
export type SettingValues = { readonly [name in Setting]?: number };

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const PRIORITY = 0x20;

export const MAGIC = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
export const HEADER_OCTETS = 9;

export const u32 = (value: number): Buffer => {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value >>> 0);
  return octets;
};

/** One frame; `length` says something else than the payload's length where a test wants to lie. */
export function frame(
  type: FrameType | number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
  length = payload.length,
): Buffer {
  const octets = Buffer.alloc(HEADER_OCTETS + payload.length);
  octets.writeUIntBE(length, 0, 3);
  octets[3] = typeof type === 'number' ? type : TYPES.indexOf(type);
  octets[4] = flags;
  octets.writeUInt32BE(stream >>> 0, 5);
  octets.set(payload, HEADER_OCTETS);
  return octets;
}

/** The payload of a SETTINGS frame; pairs say what a record cannot: order, repetition, unknown identifiers. */
export function settingsPayload(values: SettingValues | readonly (readonly [id: number, value: number])[]): Buffer {
  const pairs: readonly (readonly [number, number])[] = Array.isArray(values)
    ? (values as readonly (readonly [number, number])[])
    : Object.entries(values as SettingValues).map(([name, value]) => [SETTINGS[name as Setting], value]);
  const octets = Buffer.alloc(pairs.length * 6);
  for (const [i, [id, value]] of pairs.entries()) {
    octets.writeUInt16BE(id, i * 6);
    octets.writeUInt32BE(value >>> 0, i * 6 + 2);
  }
  return octets;
}

/** `payload` with `padding` octets behind it, as the PADDED flag wants it. */
export const padded = (payload: Uint8Array, padding: number): Buffer =>
  Buffer.concat([Buffer.from([padding]), payload, Buffer.alloc(padding)]);

/** The priority fields that the PRIORITY flag announces. */
export const priorityFields = (dependency = 0, weight = 15): Buffer =>
  Buffer.concat([u32(dependency), Buffer.from([weight])]);

export const codeName = (code: number): string => CODES[code] ?? `0x${code.toString(16)}`;
export const codeNumber = (code: Code): number => CODES.indexOf(code);

/** A frame as it lies on the wire. */
export interface RawFrame {
  /** The name in the RFC, or a number. */
  readonly type: FrameType | `0x${string}`;
  readonly flags: number;
  /** With the reserved bit. */
  readonly stream: number;
  readonly payload: Buffer;
}

/** Cuts octets into frames, in whatever pieces they come. */
export class FrameReader {
  private pending: Buffer = Buffer.alloc(0);

  /** With `magic`, the connection preface of a client comes first. */
  constructor(private magic: boolean) {}

  /** Octets that are not a whole frame yet. */
  get rest(): number {
    return this.pending.length;
  }

  /** The frames that `chunk` completes; null where something else comes instead of the preface. */
  read(chunk: Buffer): RawFrame[] | null {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    if (this.magic) {
      if (this.pending.length < MAGIC.length) return [];
      if (!this.pending.subarray(0, MAGIC.length).equals(MAGIC)) return null;
      this.pending = this.pending.subarray(MAGIC.length);
      this.magic = false;
    }
    const frames: RawFrame[] = [];
    for (let end = this.end(); end <= this.pending.length; end = this.end()) {
      const octets = this.pending.subarray(0, end);
      this.pending = this.pending.subarray(end);
      frames.push({
        type: TYPES[octets[3]] ?? `0x${octets[3].toString(16)}`,
        flags: octets[4],
        stream: octets.readUInt32BE(5),
        payload: octets.subarray(HEADER_OCTETS),
      });
    }
    return frames;
  }

  /** Where the first frame ends. */
  private end(): number {
    const known = this.pending.length >= HEADER_OCTETS;
    return known ? HEADER_OCTETS + this.pending.readUIntBE(0, 3) : Number.POSITIVE_INFINITY;
  }
}

/** The frames of `octets`, which may begin with the connection preface; throws where the last one is cut. */
export function framesOf(octets: Buffer): RawFrame[] {
  const reader = new FrameReader(octets.subarray(0, MAGIC.length).equals(MAGIC));
  const frames = reader.read(octets) ?? [];
  if (reader.rest > 0) throw new Error('the last frame is cut');
  return frames;
}
