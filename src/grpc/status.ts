// Statuses of gRPC calls and their texts, from the fields of a response or its trailers.
import type { IncomingHttpHeaders } from 'node:http2';

/** In numerical order. */
const NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
export type StatusName = (typeof NAMES)[number];

export interface Status {
  /** `UNKNOWN` for undefined numbers. */
  readonly name: StatusName;
  readonly message: string;
}

/** The name of a status; undefined for undefined numbers. */
export const statusName = (code: number): StatusName | undefined => NAMES[code];

/** The status in the fields; null if there is none. */
export function statusOf(fields: IncomingHttpHeaders): Status | null {
  const code = fields['grpc-status'];
  if (code === undefined) return null;
  const written = fields['grpc-message'];
  return { name: statusName(Number(code)) ?? 'UNKNOWN', message: typeof written === 'string' ? decoded(written) : '' };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Why a response head is not gRPC; empty if it is. */
export function headProblem(fields: IncomingHttpHeaders & { readonly ':status'?: number | undefined }): string {
  if (fields[':status'] !== 200) return `HTTP status ${fields[':status']}`;
  const type = fields['content-type'] ?? '';
  return type.startsWith('application/grpc') ? '' : `content type ${JSON.stringify(type.slice(0, 100))}`;
}

/** The fields of a request. */
export const requestHead = (method: string): Record<string, string> => ({
  ':method': 'POST',
  ':path': method,
  'content-type': 'application/grpc',
  te: 'trailers',
});
