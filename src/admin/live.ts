// `/state` and `/events`: current activity. Loaded on first use.
import { parseDuration, ValueError } from '../config/values.js';
import { LIVE_LIMITS, type LiveLimits } from '../live/assemble.js';
import { LiveFeed } from '../live/feed.js';
import { type Answer, type Streamed, text } from './answer.js';
import type { AdminRequest, RouteDeps } from './request.js';

const MAX_ITEMS = 100_000;
const RETRY = { 'Retry-After': '5' };

export function feedOf(deps: RouteDeps): LiveFeed {
  return new LiveFeed(
    deps.reader,
    {
      version: deps.version,
      get executor() {
        return deps.executor;
      },
      ready: deps.ready,
      ...deps.live,
    },
    deps.liveBounds,
  );
}

/** Milliseconds; 0: since the start. Throws a ValueError. */
function windowOf(query: URLSearchParams): number {
  const given = query.get('window') ?? '1s';
  if (given === 'start') return 0;
  return parseDuration(given, { in: 'ms', step: 1, min: '100ms', max: '1m' });
}

/** How many of each kind are listed. Throws a ValueError. */
function limitsOf(query: URLSearchParams): LiveLimits {
  const given = query.get('limit');
  if (given === null) return LIVE_LIMITS;
  const limit = /^\d+$/.test(given) ? Number(given) : -1;
  if (limit < 0 || limit > MAX_ITEMS) throw new ValueError(`limit: "${given}" is not a number from 0 to ${MAX_ITEMS}`);
  return { services: limit, endpoints: limit, clients: limit };
}

export async function stateAnswer(feed: LiveFeed, { query, trusted, takes }: AdminRequest): Promise<Answer> {
  try {
    const ms = windowOf(query);
    takes(ms);
    const state = await feed.over(ms, limitsOf(query));
    if (state === null) return text(503, 'too many requests wait for a state (live.waiting); ask again later', RETRY);
    return { status: 200, type: 'application/json', body: `${await feed.text(state, trusted)}\n` };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    const hint = 'Ask like this: /state?window=5s (100ms to 1m), or /state?window=start for all since the start.';
    return text(400, `${error.message}\n${hint}`);
  }
}

export function eventsAnswer(feed: LiveFeed, trusted: boolean): Answer | Streamed {
  if (feed.isFull()) return text(503, 'too many listeners (live.listeners); /state gives the same data once', RETRY);
  return {
    type: 'text/event-stream',
    stream(sink) {
      const leave = feed.listen(sink, trusted);
      if (leave === false) {
        sink.end();
        return () => undefined;
      }
      return leave;
    },
  };
}
