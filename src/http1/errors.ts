// Why a message is refused. The codec returns the negated code; the table has the answer.

import { ascii } from '../http/octets.js';
import { RESPONSE_REASONS, type ResponseReason } from '../http/response-reasons.js';

/** Codes of the peer's errors; `parseResponse` adds UPSTREAM to them. */
export const MESSAGE_ERROR = {
  REQUEST_LINE: 1,
  METHOD: 2,
  TARGET: 3,
  TARGET_FORM: 4,
  TARGET_TOO_LONG: 5,
  VERSION: 6,
  EMPTY_LINES: 7,
  HEADER_TOO_LARGE: 8,
  TOO_MANY_FIELDS: 9,
  LINE_END: 10,
  CONTROL: 11,
  FIELD_NAME: 12,
  SPACE_BEFORE_COLON: 13,
  OBS_FOLD: 14,
  LEADING_WHITESPACE: 15,
  UNDERSCORE_FRAMING: 16,
  HOST_MISSING: 17,
  HOST_DUPLICATE: 18,
  HOST_INVALID: 19,
  LENGTH_INVALID: 20,
  LENGTH_DUPLICATE: 21,
  LENGTH_TOO_LARGE: 22,
  LENGTH_AND_CODING: 23,
  CODING_INVALID: 24,
  CODING_DUPLICATE: 25,
  CODING_UNKNOWN: 26,
  CODING_IN_1_0: 27,
  BODY_NOT_ALLOWED: 28,
  CONNECTION_INVALID: 29,
  CONNECTION_NAMES: 30,
  EXPECTATION: 31,
  CONNECT_IN_1_0: 32,
  STATUS_LINE: 33,
  SWITCHING: 34,
  CHUNK_SIZE: 40,
  CHUNK_TOO_LARGE: 41,
  CHUNK_LINE_TOO_LONG: 42,
  CHUNK_LINE_END: 43,
  CHUNK_DATA_END: 44,
  TRAILER_TOO_LARGE: 45,
  /** From here on: messages that cannot be expressed in the other version of HTTP. */
  MALFORMED: 46,
  CONNECTION_FIELD: 47,
  PROTOCOL: 48,
  WEBSOCKET_KEY: 49,
  WEBSOCKET_ACCEPT: 50,
  NOT_SWITCHED: 51,
  UPGRADE_BODY: 52,
  /** Max-Forwards is not a number, or there are several. */
  MAX_FORWARDS: 53,
  /** Max-Forwards says that we are the last recipient. Not an error, but a reason to answer here. */
  LAST_OPTIONS: 54,
  LAST_TRACE: 55,
} as const;

/** Added to a code if the upstream is the offender: 502 with the same detail. */
export const UPSTREAM = 64;

export interface ErrorInfo {
  readonly status: number;
  readonly reason: ResponseReason;
  /** Index of `reason` in RESPONSE_REASONS. */
  readonly reasonIndex: number;
  readonly detail: string;
  /** `detail` in ASCII. */
  readonly detailBytes: Uint8Array;
  /** A limit of ours rather than a rule of HTTP: the sender did nothing wrong. */
  readonly limit: boolean;
}

const info = (status: number, reason: ResponseReason, detail: string): ErrorInfo => ({
  limit: reason === 'header-too-large',
  status,
  reason,
  reasonIndex: RESPONSE_REASONS.indexOf(reason),
  detail,
  detailBytes: ascii(detail),
});
const bad = (detail: string): ErrorInfo => info(400, 'bad-request', detail);

const REQUEST_ERRORS: Readonly<Record<number, ErrorInfo>> = {
  [MESSAGE_ERROR.REQUEST_LINE]: bad('malformed request line'),
  [MESSAGE_ERROR.METHOD]: bad('invalid method'),
  [MESSAGE_ERROR.TARGET]: bad('invalid request target'),
  [MESSAGE_ERROR.TARGET_FORM]: bad('this form of request target does not go with the method'),
  [MESSAGE_ERROR.TARGET_TOO_LONG]: info(414, 'target-too-long', 'request target too long'),
  [MESSAGE_ERROR.VERSION]: info(505, 'version-not-supported', 'only HTTP/1.0 and HTTP/1.1 are spoken here'),
  [MESSAGE_ERROR.EMPTY_LINES]: bad('too many empty lines before the request line'),
  [MESSAGE_ERROR.HEADER_TOO_LARGE]: info(431, 'header-too-large', 'message head too large'),
  [MESSAGE_ERROR.TOO_MANY_FIELDS]: info(431, 'header-too-large', 'too many header fields'),
  [MESSAGE_ERROR.LINE_END]: bad('a line must end in CRLF'),
  [MESSAGE_ERROR.CONTROL]: bad('control character in a field value'),
  [MESSAGE_ERROR.FIELD_NAME]: bad('invalid field name'),
  [MESSAGE_ERROR.SPACE_BEFORE_COLON]: bad('whitespace between field name and colon'),
  [MESSAGE_ERROR.OBS_FOLD]: bad('folded field line'),
  [MESSAGE_ERROR.LEADING_WHITESPACE]: bad('whitespace before the first field'),
  [MESSAGE_ERROR.UNDERSCORE_FRAMING]: bad('field name imitates a framing field'),
  [MESSAGE_ERROR.HOST_MISSING]: bad('Host is missing'),
  [MESSAGE_ERROR.HOST_DUPLICATE]: bad('more than one Host'),
  [MESSAGE_ERROR.HOST_INVALID]: bad('invalid Host'),
  [MESSAGE_ERROR.LENGTH_INVALID]: bad('invalid Content-Length'),
  [MESSAGE_ERROR.LENGTH_DUPLICATE]: bad('more than one Content-Length'),
  [MESSAGE_ERROR.LENGTH_TOO_LARGE]: bad('Content-Length too large'),
  [MESSAGE_ERROR.LENGTH_AND_CODING]: bad('Content-Length and Transfer-Encoding together'),
  [MESSAGE_ERROR.CODING_INVALID]: bad('Transfer-Encoding does not end in one chunked'),
  [MESSAGE_ERROR.CODING_DUPLICATE]: bad('more than one Transfer-Encoding'),
  [MESSAGE_ERROR.CODING_UNKNOWN]: info(501, 'not-implemented', 'transfer coding other than chunked'),
  [MESSAGE_ERROR.CODING_IN_1_0]: bad('Transfer-Encoding in an HTTP/1.0 message'),
  [MESSAGE_ERROR.BODY_NOT_ALLOWED]: bad('this method takes no body'),
  [MESSAGE_ERROR.CONNECTION_INVALID]: bad('invalid Connection'),
  [MESSAGE_ERROR.CONNECTION_NAMES]: bad('Connection names an end-to-end field'),
  [MESSAGE_ERROR.EXPECTATION]: info(417, 'expectation', 'expectation other than 100-continue'),
  [MESSAGE_ERROR.CONNECT_IN_1_0]: bad('CONNECT in an HTTP/1.0 request'),
  [MESSAGE_ERROR.UPGRADE_BODY]: info(501, 'not-implemented', 'Upgrade with a large body, or one in chunks'),
  [MESSAGE_ERROR.MAX_FORWARDS]: bad('invalid Max-Forwards'),
  [MESSAGE_ERROR.LAST_OPTIONS]: info(200, 'max-forwards', ''),
  [MESSAGE_ERROR.LAST_TRACE]: info(501, 'max-forwards', 'TRACE ends here, and is not answered'),
  [MESSAGE_ERROR.STATUS_LINE]: bad('malformed status line'),
  [MESSAGE_ERROR.SWITCHING]: bad('101 without Upgrade'),
  [MESSAGE_ERROR.CHUNK_SIZE]: bad('invalid chunk size'),
  [MESSAGE_ERROR.CHUNK_TOO_LARGE]: bad('chunk size too large'),
  [MESSAGE_ERROR.CHUNK_LINE_TOO_LONG]: bad('chunk extension too long'),
  [MESSAGE_ERROR.CHUNK_LINE_END]: bad('a chunk line must end in CRLF'),
  [MESSAGE_ERROR.CHUNK_DATA_END]: bad('chunk data not followed by CRLF'),
  [MESSAGE_ERROR.TRAILER_TOO_LARGE]: info(431, 'header-too-large', 'trailer section too large'),
  [MESSAGE_ERROR.MALFORMED]: bad('malformed HTTP/2 message'),
  [MESSAGE_ERROR.CONNECTION_FIELD]: bad('connection-specific field in HTTP/2'),
  [MESSAGE_ERROR.PROTOCOL]: info(501, 'not-implemented', 'extended CONNECT for a protocol other than websocket'),
  [MESSAGE_ERROR.WEBSOCKET_KEY]: bad('invalid Sec-WebSocket-Key'),
  [MESSAGE_ERROR.WEBSOCKET_ACCEPT]: bad('Sec-WebSocket-Accept does not go with the key'),
  [MESSAGE_ERROR.NOT_SWITCHED]: bad('success without a switch of protocols'),
};

const UNKNOWN = bad('malformed message');

/** The answer by code. Codes with UPSTREAM added give a 502 with the same detail; messages too large only for our limits say so. */
export const MESSAGE_ERRORS: readonly ErrorInfo[] = Array.from({ length: 2 * UPSTREAM }, (_, code) => {
  const request = REQUEST_ERRORS[code % UPSTREAM] ?? UNKNOWN;
  return code < UPSTREAM ? request : info(502, request.limit ? request.reason : 'upstream-protocol', request.detail);
});
