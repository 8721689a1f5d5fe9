// A call that counts as open, with its request, until its stream is gone.
import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import type { Feed } from './feed.js';
import { GrpcCall } from './grpc-call.js';

export const METHODS = ['get', 'profile', 'rules'] as const;
export type Method = (typeof METHODS)[number];

export class Call extends GrpcCall {
  /** Its feed; null: it has not sent its request yet. */
  feed: Feed | null = null;
  /** Timer of its caller's deadline. */
  timer: NodeJS.Timeout | null = null;
  /** Kept here, because its stream forgets it. */
  readonly session: Http2Session | undefined;

  constructor(
    stream: ServerHttp2Stream,
    readonly method: Method,
    /** The address of its caller. */
    readonly peer: string,
    private readonly gone: (call: Call) => void,
  ) {
    super(stream);
    this.session = stream.session;
  }

  override closed(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.feed?.end();
    this.gone(this);
  }
}
