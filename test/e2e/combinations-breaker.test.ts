// What an endpoint is blamed for, and what it is not, in all four combinations of HTTP versions: the breaker takes it out after failures
// of its own in a row, and after nothing else.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { http2Only } from './combinations-http2.js';
import type { Arrived, Call, Version } from './combinations-legs.js';
import { type Cell, COMBINATIONS, onEachExecutor, TEST_MS, title, VERSIONS } from './combinations-support.js';

const FAILURES = 2;

interface Kind {
  readonly name: string;
  readonly what: string;
  readonly blamed: boolean;
  /** Versions of endpoints that can do that; by default both. */
  readonly only?: readonly Version[];
  /** The request has reached the endpoint with its body. */
  readonly end: (call: Call, arrived: Arrived, cell: Cell) => Promise<unknown> | undefined;
}

/** What only some endpoints can do. */
const ONLY_HTTP2: readonly Version[] = [2];

const answered =
  (status: number, fields: Readonly<Record<string, string>> = {}) =>
  (call: Call, arrived: Arrived) => {
    arrived.respond(status, fields, 'so it is');
    return call.answer();
  };

async function begin(call: Call, arrived: Arrived): Promise<void> {
  arrived.begin(200, { 'content-length': '100' });
  arrived.write('half');
  await call.seen('half');
}

const KINDS: readonly Kind[] = [
  { name: 'error', what: 'answers 500', blamed: true, end: answered(500) },
  { name: 'missing', what: 'answers 404', blamed: false, end: answered(404) },
  {
    name: 'reset',
    what: 'breaks exchanges off',
    blamed: true,
    end: (call, arrived) => {
      arrived.abort();
      return call.answer();
    },
  },
  { name: 'slow', what: 'does not answer in the time that is configured', blamed: true, end: (call) => call.answer() },
  {
    name: 'cut',
    what: 'breaks responses off that had begun',
    blamed: false,
    end: async (call, arrived) => {
      await begin(call, arrived);
      arrived.abort();
      await call.answer();
    },
  },
  {
    name: 'silent',
    what: 'is silent in a response for bodyTimeout',
    blamed: false,
    end: async (call, arrived) => {
      await begin(call, arrived);
      await call.answer();
    },
  },
  {
    name: 'garbage',
    what: 'says what Sluice refuses',
    blamed: false,
    end: (call, arrived) => {
      arrived.garbage();
      return call.answer();
    },
  },
  {
    name: 'large',
    what: 'sends larger heads than are allowed',
    blamed: false,
    end: answered(200, { 'x-large': 'x'.repeat(9000) }),
  },
  {
    name: 'refused',
    what: 'refuses requests unprocessed',
    blamed: false,
    only: ONLY_HTTP2,
    end: (call, arrived) => {
      http2Only(arrived).refuse();
      return call.answer();
    },
  },
  {
    name: 'leaving',
    what: 'says goodbye before it looks at requests',
    blamed: false,
    only: ONLY_HTTP2,
    end: async (call, arrived, { origin }) => {
      const over = call.answer().then(() => null);
      // It is sent again, some times.
      for (let one: Arrived | null = arrived; one !== null; one = await Promise.race([origin.next(arrived.path), over]))
        http2Only(one).goaway();
    },
  },
  {
    name: 'left',
    what: 'has clients that leave before it answers',
    blamed: false,
    end: (call, arrived) => {
      call.abort();
      return arrived.gone();
    },
  },
  {
    name: 'lost',
    what: 'has clients that leave in its responses',
    blamed: false,
    end: async (call, arrived) => {
      await begin(call, arrived);
      call.abort();
      await arrived.gone();
    },
  },
];

/** For each version of client an endpoint of its own: nobody is to find what another has brought about. */
const nameOf = ({ name }: Kind, client: Version): string => `${name}-${client}-`;
const yaml = [
  `    breaker: { failures: ${FAILURES}, minBackoff: 60s }`,
  '    responseTimeout: 300ms',
  // What may be tried again would hide what is not held against anybody.
  '    retry: { budget: 0, minPerSecond: 0 }',
].join('\n');
const top =
  'limits: { http1: { bodyTimeout: 300ms, maxHeaderBytes: 8KiB }, http2: { bodyTimeout: 300ms, maxHeaderBytes: 8KiB } }';

async function blame(cell: Cell, kind: Kind): Promise<void> {
  for (let i = 0; i < FAILURES; i++) {
    const [call, arrived] = await cell.exchange({ method: 'POST', path: cell.stage.path(), body: 4 });
    call.write('body');
    call.finish();
    await arrived.whole();
    await kind.end(call, arrived, cell);
  }
  const opened = await cell.sluice.metric('sluice_endpoint_breaker_opened_total', {
    service: cell.service,
    target_addr: cell.origin.address,
  });
  // In or out, it is the only one there is.
  const path = cell.stage.path();
  const call = await cell.call({ path });
  (await cell.origin.next(path)).respond(200, {}, 'still here');
  const { status } = await call.answer();
  assert.deepEqual([opened, status], [kind.blamed ? 1 : 0, 200]);
}

for (const kinds of [KINDS.slice(0, 4), KINDS.slice(4, 8), KINDS.slice(8)]) {
  const services = Object.fromEntries(
    kinds.flatMap((kind) => VERSIONS.map((client) => [nameOf(kind, client), { yaml }] as const)),
  );
  await onEachExecutor('what endpoints are blamed for', { services, top }, (stage) => {
    for (const kind of kinds) {
      const { only = VERSIONS } = kind;
      for (const combination of COMBINATIONS.filter(({ endpoint }) => only.includes(endpoint))) {
        it(
          `${title(combination)}: one that ${kind.what} is ${kind.blamed ? '' : 'not '}taken out`,
          { timeout: TEST_MS },
          () => blame(stage().cell(combination, nameOf(kind, combination.client)), kind),
        );
      }
    }
  });
}
