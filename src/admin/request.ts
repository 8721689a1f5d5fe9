// Requests to the admin port, and the dependencies of its answers.
import type { LogLevel } from '../config/telemetry-model.js';
import type { LiveFacts } from '../live/assemble.js';
import type { FeedBounds } from '../live/feed.js';
import type { MetricsReader } from '../metrics/reader.js';
import type { Client } from '../policy/explain-authorization.js';
import type { TapSource } from './tap.js';

export interface AdminRequest {
  /** HEAD comes as GET. */
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly accept: string;
  /** Body of a PUT. */
  readonly body: string;
  /** From this machine, and not from a web page. */
  readonly trusted: boolean;
  /** The answer takes this long: silence until then does not close the connection, ms. */
  readonly takes: (ms: number) => void;
}

export interface RouteDeps {
  /** `notes`: facts worth knowing although it is ready. */
  readonly ready: () => {
    readonly ok: boolean;
    readonly reasons: readonly string[];
    readonly notes?: readonly string[];
  };
  readonly reader: MetricsReader;
  /** Anything that JSON can say. */
  readonly explain: (host: string, port: number, listener: string | null, client: Client) => unknown;
  readonly getLogLevel: () => LogLevel;
  readonly setLogLevel: (level: LogLevel) => void;
  /** Without it /tap does not exist. */
  readonly taps?: TapSource;
  readonly version: string;
  /** `uring` or `epoll`. */
  readonly executor: string;
  readonly live?: Pick<LiveFacts, 'identity' | 'errors'>;
  readonly liveBounds: () => FeedBounds;
  /** Maximum number of /metrics pages being made at once, and of answers of /histograms. */
  readonly maxScrapes: number;
  /** Starts a drain; without it /shutdown does not exist. */
  readonly shutdown?: () => void;
}
