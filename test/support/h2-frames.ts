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
