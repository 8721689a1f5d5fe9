// What an endpoint is blamed for, and what it is not, in all four combinations of HTTP versions: the breaker takes it out after failures
// of its own in a row, and after nothing else.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Arrived, Call, Version } from './combinations-legs.js';
import { type Cell, COMBINATIONS, onEachExecutor, TEST_MS, title, VERSIONS } from './combinations-support.js';

const FAILURES = 2;

interface Kind {
  readonly name: string;
  readonly what: string;
  readonly blamed: boolean;
  /** The request has reached the endpoint with its body. */
  readonly end: (call: Call, arrived: Arrived) => Promise<unknown> | undefined;
}

const answered = (status: number) => (call: Call, arrived: Arrived) => {
  arrived.respond(status, {}, 'so it is');
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
  {
    name: 'cut',
    what: 'breaks responses off',
    blamed: true,
    end: async (call, arrived) => {
      await begin(call, arrived);
      arrived.abort();
      await call.answer();
    },
  },
  {
    name: 'garbage',
    what: 'says what nobody understands',
    blamed: true,
    end: (call, arrived) => {
      arrived.garbage();
      return call.answer();
    },
  },
  { name: 'slow', what: 'does not answer in time', blamed: true, end: (call) => call.answer() },
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
const yaml = `    breaker: { failures: ${FAILURES}, minBackoff: 60s }\n    responseTimeout: 300ms`;

async function blame(cell: Cell, kind: Kind): Promise<void> {
  for (let i = 0; i < FAILURES; i++) {
    const [call, arrived] = await cell.exchange({ method: 'POST', path: cell.stage.path(), body: 4 });
    call.write('body');
    call.finish();
    await arrived.whole();
    await kind.end(call, arrived);
  }
  const path = cell.stage.path();
  const call = await cell.call({ path });
  if (!kind.blamed) (await cell.origin.next(path)).respond(200, {}, 'still here');
  const { status, field } = await call.answer();
  assert.deepEqual([status, field('sluice-error')], kind.blamed ? [503, 'no-endpoint'] : [200, null]);
}

for (const kinds of [KINDS.slice(0, 4), KINDS.slice(4)]) {
  const services = Object.fromEntries(
    kinds.flatMap((kind) => VERSIONS.map((client) => [nameOf(kind, client), { yaml }] as const)),
  );
  await onEachExecutor('what endpoints are blamed for', { services }, (stage) => {
    for (const kind of kinds) {
      for (const combination of COMBINATIONS) {
        it(
          `${title(combination)}: one that ${kind.what} is ${kind.blamed ? '' : 'not '}taken out`,
          { timeout: TEST_MS },
          () => blame(stage().cell(combination, nameOf(kind, combination.client)), kind),
        );
      }
    }
  });
}
