// What the suites about hostile HTTP/2 peers share: someone else who is served meanwhile, and what it all may cost.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import type { H2Peer } from '../support/h2-peer.js';
import { type Executor, eventually } from '../support/sluice.js';
import { type Bench, type BenchSetup, onEachExecutor } from './http2-conformance-support.js';

/** Kept small, so that an attack which is not bounded is seen to take all of it. */
export const SLAB = '16MiB';
const SLAB_BYTES = 16 * 2 ** 20;
/** What code, maps and garbage not yet collected may add. */
const SLACK_BYTES = 64 * 2 ** 20;

/** CPU time that Sluice has used, ms. */
function used({ sluice }: Bench): number {
  const fields = readFileSync(`/proc/${sluice.pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** Resident memory of Sluice, bytes. */
function resident({ sluice }: Bench): number {
  return Number(readFileSync(`/proc/${sluice.pid}/statm`, 'latin1').split(' ')[1]) * 4096;
}

export interface Attack {
  readonly name: string;
  /** Entry of LIMITS that must have fired; null where a rule ends it. */
  readonly limit: string | null;
  readonly play: (bench: Bench) => Promise<void>;
}

/** Plays each attack while another connection's requests are served, and checks what it has cost. */
export async function declareAttacks(
  title: string,
  setup: BenchSetup & { readonly limits?: string },
  attacks: readonly Attack[],
): Promise<void> {
  const limits = setup.limits === undefined ? '' : `, http2: { ${setup.limits} }`;
  const complete = { ...setup, limits: null, top: `limits: { slab: ${SLAB}${limits} }` };
  let first = 0;
  await onEachExecutor(title, complete, (bench: () => Bench, _io: Executor) => {
    for (const { name, limit, play } of attacks) {
      it(name, async (t) => {
        const on = bench();
        if (attacks[0]?.name === name) {
          await on.play(() => on.serves());
          first = resident(on);
        }
        const fired = async (): Promise<number> =>
          limit === null ? 0 : on.sluice.metric('sluice_limit_total', { limit });
        const before = await fired();
        const cpu = used(on);
        await on.play(() => meanwhile(on, () => play(on)));
        if (limit !== null) await eventually(async () => (await fired()) > before, `limit ${limit} counted`);
        await on.settled();
        const grown = resident(on) - first;
        t.diagnostic(
          `cost ${used(on) - cpu} ms of CPU, ${Math.max(0, grown) >> 20} MiB, the other clients' requests included`,
        );
        assert.ok(grown < SLAB_BYTES + SLACK_BYTES, `grown by ${grown} bytes`);
      });
    }
  });
}

/** Somebody else asks one request after the other while `attack` goes on: each is answered, and at least one of them from beginning to end. */
async function meanwhile(on: Bench, attack: () => Promise<void>): Promise<void> {
  const bystander = await on.bystander();
  let over = false;
  let served = 0;
  const ask = async (): Promise<void> => {
    const { status, body } = await bystander.response(bystander.request());
    assert.equal(status, 200);
    assert.equal(body.toString(), 'ok');
    served++;
  };
  await ask();
  const asking = (async () => {
    while (!over) await ask();
    for (let i = 0; i < 3; i++) await ask();
  })();
  try {
    await Promise.all([attack().finally(() => (over = true)), asking]);
  } finally {
    over = true;
  }
  assert.ok(served > 4);
}

/** Writes what `next` returns, again and again, until the peer has been told to stop or the connection is over. */
async function flood(peer: H2Peer, next: (i: number) => Uint8Array, most = 20_000): Promise<void> {
  for (let i = 0; peer.end === null && peer.arrived('GOAWAY').length === 0; i++) {
    assert.ok(i < most, 'nobody stops it');
    await peer.written(next(i));
    // What has come is read before more is said; and not so much is under way that nobody would listen to its end.
    await new Promise((resolve) => (i % 8 === 7 ? setTimeout(resolve, 1) : setImmediate(resolve)));
  }
}

/** As `flood`, which must end in ENHANCE_YOUR_CALM. */
export async function floodUntilCalm(peer: H2Peer, next: (i: number) => Uint8Array, most?: number): Promise<void> {
  await flood(peer, next, most);
  // A client is listened to for a while, so that it hears why; an endpoint that goes on writing may not. The limit's metric tells.
  if (peer.role === 'server' && peer.end === 'reset' && peer.arrived('GOAWAY').length === 0) return;
  await peer.expect('GOAWAY', { code: 'ENHANCE_YOUR_CALM' });
  await peer.closed();
}
