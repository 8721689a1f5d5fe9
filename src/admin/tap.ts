// `/tap`: lines of JSON about requests as they end, for whoever has asked, until they leave.
import { ValueError } from '../config/values.js';
import { parseTap } from '../tap/parse.js';
import type { TapRequest } from '../tap/request.js';
import type { TapReader } from '../tap/taps.js';
import { type Answer, type Streamed, type StreamSink, text } from './answer.js';

/** What this needs of `Taps`. */
export interface Tappable {
  readonly maxRps: number;
  readonly maxBuffered: number;
  nextId(): number;
  /** Null where as many listen as may. */
  open(request: TapRequest, reader: TapReader): (() => void) | null;
}

export function tapAnswer(taps: Tappable, query: URLSearchParams): Answer | Streamed {
  let asked: TapRequest;
  try {
    asked = parseTap(query, taps.nextId(), taps.maxRps);
  } catch (error) {
    if (error instanceof ValueError) return text(400, error.message);
    throw error;
  }
  // Who finds no place is to be told so by the status; what comes before there is a reader is kept for it.
  let sink: StreamSink | null = null;
  let early = '';
  const close = taps.open(asked, {
    write(lines) {
      if (sink === null) early += lines;
      else if (sink.waiting > taps.maxBuffered) return false;
      else sink.write(lines);
      return true;
    },
  });
  if (close === null) {
    const headers = { 'Retry-After': '5' };
    return text(503, 'as many listen as may (tap.listeners); try again when one of them has left', headers);
  }
  return {
    type: 'application/x-ndjson; charset=utf-8',
    stream(to) {
      sink = to;
      to.write(early);
      return close;
    },
  };
}
