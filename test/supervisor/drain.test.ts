// The order of a drain, with listeners that come in and go out.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Config, ListenerConfig } from '../../src/config/model.js';
import type { DrainMessage } from '../../src/proxy/snapshot.js';
import { drain } from '../../src/supervisor/drain.js';
import { socketsIn } from '../../src/supervisor/other-sockets.js';
import { at, config, listener } from '../policy/fixture.js';

const listeners = [
  listener(at('127.0.0.1', 1), { name: 'in', direction: 'inbound' }),
  listener(at('127.0.0.1', 2), { name: 'out', direction: 'outbound' }),
];
const whose = (outbound: 'together' | 'last', among = listeners): Config =>
  config({ listeners: among, drain: { holdMs: 0, graceMs: 60_000, outbound } });

interface Seen {
  readonly messages: string[];
  readonly warnings: string[];
}

/** Drains where neighbours are seen as `there` says, look by look; all is over as soon as everything is told to stop. */
async function drained(of: Config, there: (boolean | null)[], ended = () => false): Promise<Seen & { whole: boolean }> {
  const seen: Seen = { messages: [], warnings: [] };
  let end: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  const whole = await drain(
    {
      config: of,
      logger: { info: () => undefined, warn: (message) => void seen.warnings.push(message) },
      done,
      send: ({ phase, listeners: which }: DrainMessage) => {
        seen.messages.push(`${phase} ${which ?? 'all'}`);
        if (phase === 'stop' && which === null) end();
      },
      slotOf: ({ name }: ListenerConfig) => of.listeners.findIndex((one) => one.name === name),
      othersHaveSockets: () => {
        seen.messages.push('look');
        const next = there.shift();
        return next === undefined ? false : next;
      },
      ended,
    },
    0,
  );
  return { ...seen, whole };
}

describe('a drain', () => {
  it('is of all listeners together', async () => {
    const { messages, whole } = await drained(whose('together'), []);
    assert.deepEqual(messages, ['hold all', 'stop all']);
    assert.equal(whole, true);
  });

  it('leaves outbound listeners open until nobody else has a socket', async () => {
    const { messages, whole } = await drained(whose('last'), [true, true, false]);
    assert.deepEqual(messages, ['hold 0', 'stop 0', 'look', 'look', 'look', 'stop all']);
    assert.equal(whole, true);
  });

  it('waits for nobody where nothing goes out, or where neighbours cannot be seen', async () => {
    const [inbound] = listeners;
    assert.deepEqual((await drained(whose('last', [inbound]), [true])).messages, ['hold all', 'stop all']);
    const { messages, warnings } = await drained(whose('last'), [null]);
    assert.deepEqual(messages, ['hold 0', 'stop 0', 'look', 'stop all']);
    assert.equal(warnings.length, 1);
  });

  it('goes on where the application outlives the grace', async () => {
    const of = { ...whose('last'), drain: { holdMs: 0, graceMs: 1, outbound: 'last' as const } };
    const { messages, whole } = await drained(of, Array(1000).fill(true));
    assert.equal(messages.at(-1), 'stop all');
    assert.equal(whole, true);
  });

  it('ends at once when it is told to', async () => {
    let looks = 0;
    const { messages, whole } = await drained(whose('last'), Array(1000).fill(true), () => ++looks > 3);
    assert.notEqual(messages.at(-1), 'stop all');
    assert.equal(whole, false);
  });
});

describe('tables of sockets', () => {
  it('name those that somebody holds', () => {
    const row = (state: string, inode: number): string =>
      `   0: 0100007F:1F90 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 0000000000000000 100 0 0 10 0`;
    const table = [
      '  sl  local_address …',
      row('0A', 11),
      row('01', 12),
      row('06', 0),
      row('08', 13),
      row('07', 14),
      '',
    ];
    assert.deepEqual(socketsIn(table.join('\n')), ['11', '12', '13']);
    assert.deepEqual(socketsIn(''), []);
    assert.deepEqual(socketsIn('garbage\nmore of it\n'), []);
  });
});
