// `/tap`: a line of JSON for each request that ends, until the reader leaves.
import { ValueError } from '../config/values.js';
import { parseTap } from '../tap/parse.js';
import type { TapRequest } from '../tap/request.js';
import type { TapReader } from '../tap/taps.js';
import { type Answer, type Streamed, type StreamSink, text } from './answer.js';

/** The required part of `Taps`. */
export interface TapSource {
  readonly maxRps: number;
  readonly maxBuffered: number;
  nextId(): number;
  /** Null if the maximum of readers is reached. */
  open(request: TapRequest, reader: TapReader): (() => void) | null;
}

export function tapAnswer(taps: TapSource, query: URLSearchParams): Answer | Streamed {
  let asked: TapRequest;
  try {
    asked = parseTap(query, taps.nextId(), taps.maxRps);
  } catch (error) {
    if (error instanceof ValueError) return text(400, error.message);
    throw error;
  }
  // A reader without a place must learn that from the status; records are kept until there is a reader.
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
    return text(503, 'too many taps (tap.listeners); try again when one has ended', headers);
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
