// What the commands that show a running proxy make of answers that are none, and of names that would move the cursor.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it, test } from 'node:test';
import { edgesOf, shortIdentity } from '../../src/cli/edges.js';
import { fetchState, stateOptions } from '../../src/cli/fetch-state.js';
import { bytesPerSecond, milliseconds, rps, table, terminalWidth } from '../../src/cli/tables.js';
import type { LiveState } from '../../src/live/state.js';

describe('a question for the state', () => {
  let server: Server;
  let answer = { status: 200, body: '' };
  before(async () => {
    server = createServer((_, response) => {
      response.statusCode = answer.status;
      response.end(answer.body);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  after(() => server.close());

  const says = async (status: number, body: string, what: RegExp): Promise<void> => {
    answer = { status, body };
    const from = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await assert.rejects(fetchState(stateOptions({ from, window: 'start' })), what);
  };

  it('says what is wrong with the answer, and where', async () => {
    await says(200, '<html>', /^Error: 127\.0\.0\.1:\d+ did not answer with JSON/);
    await says(200, '{"stateVersion":99,"services":[]}', /another version/);
    await says(200, 'null', /another version/);
    await says(404, 'no', /has no \/state/);
    await says(503, '16 others wait\nand more', /answered 503: 16 others wait$/);
  });

  it('takes an address as people write it', () => {
    for (const from of ['http://127.0.0.1:4192/', '127.0.0.1:4192', ':4192'])
      assert.deepEqual([stateOptions({ from }).host, stateOptions({ from }).port], ['127.0.0.1', 4192]);
    assert.equal(stateOptions({ from: '[::1]:4192' }).host, '::1');
  });
});

test('names in a table cannot move the cursor, hide or turn what is behind them', () => {
  const columns = [{ head: 'NAME', left: true, cell: (name: string) => name }];
  const [, line] = table(columns, ['a\u001b[2Jb\u202ec\nd\u0000\u009b\u200b'], { width: 80, wide: false, none: '' });
  assert.equal(line, 'a\\x1b[2Jb\\u202ec\\x0ad\\x00\\x9b\\u200b');
});

test('a table that is too wide becomes lines that fit', () => {
  const columns = [
    { head: 'NAME', left: true, cell: ({ name }: { name: string }) => name },
    { head: 'A_LONG_HEAD', cell: () => '1' },
    { head: 'NONE', cell: () => '-' },
    { head: 'WIDE', wide: true, cell: () => 'w'.repeat(60) },
  ];
  const rows = [{ name: 'n'.repeat(50) }, { name: 'b' }];
  for (const line of table(columns, rows, { width: 40, wide: true, none: '' })) assert.ok(line.length <= 40, line);
  assert.deepEqual(table(columns, [{ name: 'b' }], { width: 80, wide: false, none: '' }), [
    'NAME  A_LONG_HEAD  NONE',
    'b               1     -',
  ]);
  assert.deepEqual(table(columns, [], { width: 40, wide: false, none: 'nothing' }), ['nothing']);
  assert.equal(terminalWidth({ isTTY: true, columns: 100 }, {}), 100);
  assert.equal(terminalWidth({}, {}), Number.POSITIVE_INFINITY);
  assert.equal(terminalWidth({ isTTY: true, columns: 100 }, { COLUMNS: '40' }), 40);
});

test('numbers are as short as they can be', () => {
  assert.deepEqual([rps(0), rps(12.34), rps(1234.5)], ['0.0rps', '12.3rps', '1235rps']);
  assert.deepEqual(
    [milliseconds(0.123), milliseconds(12.34), milliseconds(1234), milliseconds(null)],
    ['0.12ms', '12.3ms', '1234ms', '-'],
  );
  assert.deepEqual([bytesPerSecond(999), bytesPerSecond(1500), bytesPerSecond(2e9)], ['999B/s', '1.5kB/s', '2.0GB/s']);
});

test('edges join clients by who they are with endpoints by who they are to be', () => {
  assert.equal(shortIdentity('spiffe://example.org/ns/shop/sa/web'), 'web.shop');
  assert.equal(shortIdentity('web.shop.serviceaccount.identity.linkerd.cluster.local'), 'web.shop');
  const traffic = { opened: 0, requests: 2, read: 3, written: 4 };
  const endpoint = {
    ...traffic,
    direction: 'outbound',
    service: 'db',
    pool: { open: 1 },
    identity: 'db.shop',
    tls: 'true',
    noTlsReason: '',
  };
  const client = { ...traffic, open: 1, listener: 'in', direction: 'inbound' };
  const edges = edgesOf({
    identity: 'me.shop',
    clients: [
      { ...client, tls: 'true', noTlsReason: '', identity: 'web.shop' },
      { ...client, tls: 'no_identity', noTlsReason: 'no_tls_from_remote', identity: '' },
    ],
    listeners: [
      { name: 'in', direction: 'inbound', open: 2 },
      { name: 'plain', direction: 'inbound', noTlsReason: '', open: 1 },
      { name: 'out', direction: 'outbound', noTlsReason: 'loopback', open: 3 },
    ],
    endpoints: [endpoint, endpoint],
  } as unknown as LiveState);
  assert.deepEqual(
    edges.map(({ source, destination, secured, reason, connections }) => [
      source,
      destination,
      secured,
      reason,
      connections,
    ]),
    [
      ['web.shop', 'in', true, 'true', 1],
      ['unknown', 'in', false, 'no_tls_from_remote', 1],
      ['unknown', 'plain', false, 'no_tls', 1],
      ['unknown', 'out', false, 'loopback', 3],
      ['me.shop', 'db', true, '', 2],
    ],
  );
});
