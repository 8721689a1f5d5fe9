// What can become of a request, as a table: what is done, and what the client gets, what is counted, and what the access log says,
// each of which must be the same in all four combinations of HTTP versions.
import assert from 'node:assert/strict';
import { eventually } from '../support/sluice.js';
import type { Answer, Version, Wish } from './combinations-legs.js';
import type { Cell, Counts } from './combinations-support.js';

export interface Case {
  readonly what: string;
  /** One of the services of combinations-answers.test.ts; `web` by default. */
  readonly service?: string;
  readonly prepare?: (cell: Cell) => Promise<void>;
  /** Returns what the client got; null where it has left. `base` has the path, and fields of gRPC where it is played as that. */
  readonly play: (cell: Cell, base: Wish & { readonly path: string }) => Promise<Answer | null>;
  /** What the client gets; 0 where it has left. */
  readonly status: number;
  /** The value of `sluice-error`. */
  readonly reason?: string;
  readonly body?: string;
  /** The response was cut off. */
  readonly cut?: boolean;
  /** One request unless said otherwise. */
  readonly counts: Partial<Counts>;
  /** The `grpc-status` where the request is one of gRPC; it may differ by what the endpoint speaks. */
  readonly grpc?: number | readonly [http1: number, http2: number];
  /** The status of its record in the access log, where the client has left. */
  readonly logged?: number;
  /** The reason in it, of an endpoint that speaks HTTP/2, where it differs. */
  readonly reasonOfStream?: string;
  /** Why its record says that it was cut off, if not `upstream-reset`; it may differ by what the endpoint speaks. */
  readonly because?: readonly [http1: string, http2: string];
  /** The target can't be logged: it was not read. */
  readonly unread?: boolean;
}

export const SERVED: Partial<Counts> = { sent: 1, responses: 1 };
const FAILED: Partial<Counts> = { sent: 1, failures: 1, own: 1 };
/** By a limit of the proxy's own, which is not held against the endpoint. */
const LIMITED: Partial<Counts> = { sent: 1, abandoned: 1, own: 1 };
const CUT: Partial<Counts> = { sent: 1, failures: 1, unanswered: 1 };
const LEFT: Partial<Counts> = { sent: 1, abandoned: 1, unanswered: 1 };

/** POST, so that nothing is sent again. */
export const posted = (base: Wish): Wish => ({ method: 'POST', body: 4, ...base });
/** Larger than a head may be. */
const HUGE = 'x'.repeat(70_000);
const UPLOAD = Buffer.alloc(500_000);

const asked = async (cell: Cell, wish: Wish): Promise<Answer> => (await cell.call(wish)).answer();

/** A request that has reached the endpoint with its body. */
async function delivered(cell: Cell, base: Wish): Promise<Awaited<ReturnType<Cell['exchange']>>> {
  const pair = await cell.exchange(posted(base));
  pair[0].write('body');
  pair[0].finish();
  await pair[1].whole();
  return pair;
}

export const OWN: readonly Case[] = [
  {
    what: 'endpoints that refuse connections',
    service: 'refused',
    play: asked,
    status: 502,
    reason: 'connect-failed',
    counts: { sent: 3, abandoned: 3, own: 1 },
    grpc: 14,
  },
  {
    what: 'endpoints that take no connections',
    service: 'full',
    play: asked,
    status: 504,
    reason: 'connect-timeout',
    counts: { sent: 3, abandoned: 3, own: 1 },
    grpc: 14,
  },
  {
    what: 'endpoints that are out, and were dialled just before',
    service: 'out',
    prepare: async (cell) => void (await asked(cell, {})),
    play: asked,
    status: 502,
    reason: 'connect-failed',
    counts: { own: 1 },
    grpc: 14,
  },
  {
    what: 'an upload to endpoints that are out',
    service: 'out',
    prepare: async (cell) => void (await asked(cell, {})),
    play: async (cell, base) => {
      const call = await cell.call({ ...base, method: 'POST', body: UPLOAD.length });
      // Nobody takes all of it.
      call.pour(UPLOAD).catch(() => undefined);
      return await call.answer();
    },
    status: 502,
    reason: 'connect-failed',
    counts: { own: 1 },
    grpc: 14,
  },
  {
    what: 'an endpoint that does not answer, and hears of it',
    service: 'slow',
    play: async (cell, base) => {
      const [call, arrived] = await delivered(cell, base);
      const answer = await call.answer();
      await arrived.gone();
      return answer;
    },
    status: 504,
    reason: 'response-timeout',
    counts: FAILED,
    grpc: 4,
  },
  {
    what: 'an endpoint whose every connection is busy',
    service: 'narrow',
    play: async (cell, base) => {
      const [first, arrived] = await cell.exchange({ path: cell.stage.path() });
      const answer = await asked(cell, base);
      arrived.respond(200);
      assert.equal((await first.answer()).status, 200);
      return answer;
    },
    status: 503,
    reason: 'pool-exhausted',
    counts: { requests: 2, sent: 1, responses: 1, own: 1 },
    grpc: 8,
  },
  {
    what: 'an endpoint that breaks the exchange off',
    play: async (cell, base) => {
      const [call, arrived] = await delivered(cell, base);
      arrived.abort();
      return await call.answer();
    },
    status: 502,
    reason: 'upstream-reset',
    counts: FAILED,
    grpc: [14, 13],
  },
  {
    what: 'an endpoint that breaks an upload off',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body: 'chunked' });
      call.write('some of it');
      arrived.abort();
      return await call.answer();
    },
    status: 502,
    reason: 'upstream-reset',
    counts: FAILED,
    grpc: [14, 13],
  },
  {
    what: 'an endpoint whose answer is none, and that hears of it',
    play: async (cell, base) => {
      const [call, arrived] = await delivered(cell, base);
      arrived.garbage();
      const answer = await call.answer();
      await arrived.gone();
      return answer;
    },
    status: 502,
    reason: 'upstream-protocol',
    counts: FAILED,
    grpc: 13,
  },
  {
    what: 'an endpoint that switches protocols unasked',
    play: async (cell, base) => {
      const [call, arrived] = await delivered(cell, base);
      arrived.interim(101, cell.endpoint === 1 ? { connection: 'upgrade', upgrade: 'tea' } : {});
      const answer = await call.answer();
      await arrived.gone();
      return answer;
    },
    status: 502,
    reason: 'upstream-protocol',
    counts: FAILED,
    grpc: 13,
  },
  {
    what: 'an endpoint whose head is too large',
    play: async (cell, base) => {
      const [call, arrived] = await delivered(cell, base);
      arrived.respond(200, { 'x-huge': HUGE }, 'ok');
      const answer = await call.answer();
      await arrived.gone();
      return answer;
    },
    status: 502,
    reason: 'header-too-large',
    counts: LIMITED,
    grpc: 8,
  },
  {
    what: 'a request whose head is too large',
    play: (cell, base) => asked(cell, { ...base, fields: { 'x-huge': HUGE } }),
    status: 431,
    reason: 'header-too-large',
    counts: { requests: 0, own: 1 },
    unread: true,
  },
];

/** Lets the client see the beginning of a response. */
async function begun(cell: Cell, base: Wish, length?: number): Promise<Awaited<ReturnType<Cell['exchange']>>> {
  const pair = await cell.exchange(posted(base));
  const [call, arrived] = pair;
  call.write('body');
  call.finish();
  await arrived.whole();
  arrived.begin(200, length === undefined ? {} : { 'content-length': String(length) });
  arrived.write('half');
  await call.seen('half');
  return pair;
}

export const BROKEN: readonly Case[] = [
  ...[100, undefined].flatMap((length): Case[] => {
    const what = length === undefined ? 'without a length' : 'with a length';
    return [
      {
        what: `an endpoint that breaks off a response ${what}`,
        play: async (cell, base) => {
          const [call, arrived] = await begun(cell, base, length);
          arrived.abort();
          return await call.answer();
        },
        status: 200,
        cut: true,
        counts: CUT,
      },
      {
        what: `a client that leaves in a response ${what}, of which the endpoint hears`,
        play: async (cell, base) => {
          const [call, arrived] = await begun(cell, base, length);
          call.abort();
          await arrived.gone();
          return null;
        },
        status: 0,
        logged: 200,
        counts: LEFT,
      },
    ];
  }),
  {
    what: 'an endpoint that ends a response before its length',
    play: async (cell, base) => {
      const [call, arrived] = await begun(cell, base, 100);
      if (cell.endpoint === 1) (arrived.connection.socket as { end(): unknown }).end();
      else arrived.finish();
      return await call.answer();
    },
    status: 200,
    cut: true,
    // RFC 9113 section 8.1.1: such a message is malformed. In HTTP/1 it may as well be that the connection was lost.
    reasonOfStream: 'upstream-protocol',
    counts: CUT,
  },
  {
    what: 'a client that leaves before its response, of which the endpoint hears',
    play: async (cell, base) => {
      const [call, arrived] = await delivered(cell, base);
      call.abort();
      await arrived.gone();
      return null;
    },
    status: 0,
    counts: LEFT,
  },
  {
    what: 'a client that leaves while its endpoint is dialled',
    service: 'patient',
    play: async (cell, base) => {
      const { sent } = await cell.counts();
      const call = await cell.call(base);
      await eventually(async () => (await cell.counts()).sent > sent, 'it is dialled');
      call.abort();
      return null;
    },
    status: 0,
    counts: LEFT,
  },
  {
    what: 'a client that leaves in an upload, which the endpoint never takes for whole',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body: 'chunked' });
      const whole = assert.rejects(arrived.whole());
      call.write('some of it');
      call.abort();
      await arrived.gone();
      await whole;
      return null;
    },
    status: 0,
    counts: LEFT,
  },
];

/** What the access log must say of a case. */
export interface Line {
  readonly status: number;
  readonly unanswered: boolean;
  /** Why it is no whole response of an endpoint. */
  readonly reason: string | null;
  /** Whether it names an endpoint. */
  readonly endpoint: boolean;
}

export function lineOf(given: Case, endpoint: Version): Line {
  const left = given.status === 0;
  const reason = endpoint === 2 ? (given.reasonOfStream ?? given.reason) : given.reason;
  return {
    status: left ? (given.logged ?? 499) : given.status,
    unanswered: (given.counts.unanswered ?? 0) > 0,
    endpoint: true,
    reason: reason ?? (left ? 'client-left' : given.cut === true ? 'upstream-reset' : null),
  };
}

/** Clients that can play it as gRPC. */
export const grpcClients = (given: Case): readonly Version[] => (given.grpc === undefined ? [] : [2]);
