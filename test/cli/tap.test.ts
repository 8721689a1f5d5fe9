// `sluice tap`: what it prints, whatever strangers have sent, and what it says where it cannot.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { succeeded, tapLine } from '../../src/cli/tap-line.js';
import { follow, tapCall } from '../../src/cli/tap-options.js';
import { escapeForTerminal, formatBytes, formatDuration } from '../../src/cli/terminal-text.js';
import { tcpServer } from '../support/load.js';

const PLAIN = { wide: false, colours: false };
const request = {
  time: '2026-01-02T03:04:05.678Z',
  message: 'request',
  client: '10.0.0.1:5000',
  service: 'web',
  method: 'GET',
  path: '/a?b=c',
  authority: 'web.example',
  status: 200,
  endpoint: '10.0.0.2:80',
  received: 0,
  sent: 2048,
  durationMs: 12.5,
  responseMs: 3.1449,
};

describe('a line of sluice tap', () => {
  it('has what is asked for and what came of it', () => {
    assert.equal(
      tapLine(request, PLAIN),
      '03:04:05.678 200 GET web.example/a?b=c 3.14ms 10.0.0.1:5000 -> web 10.0.0.2:80',
    );
    assert.equal(
      tapLine({ ...request, status: 503, reason: 'no-endpoint', endpoint: '', responseMs: undefined }, PLAIN),
      '03:04:05.678 503 GET web.example/a?b=c - 10.0.0.1:5000 -> web - no-endpoint',
    );
    assert.match(tapLine({ ...request, grpcStatus: 14 }, PLAIN), / 200 grpc=14 GET /);
    assert.match(
      tapLine({ ...request, identity: 'a.b', traceId: 'abc', attempts: 2 }, { ...PLAIN, wide: true }),
      /in=0B out=2\.0KiB took=12\.5ms attempts=2 identity="a\.b" traceId="abc"$/,
    );
    assert.ok(tapLine(request, { ...PLAIN, colours: true }).includes('\u001b[32m200\u001b[0m'));
  });

  it('has bytes and the end of a connection', () => {
    const connection = { ...request, message: 'connection', closed: 'reset', clientProtocol: 'opaque', received: 5 };
    assert.equal(
      tapLine(connection, PLAIN),
      '03:04:05.678 reset opaque in=5B out=2.0KiB took=12.5ms 10.0.0.1:5000 -> web 10.0.0.2:80',
    );
    assert.equal(tapLine({ message: 'tap', shown: 1 }, PLAIN), '');
  });

  it('lets no octet of a stranger do anything to a terminal', () => {
    const hostile = '/\u001b[2J\u001b]0;owned\u0007\r\n\u0000\u009b31m\u202egnp.exe\u200b\ud800é漢😀';
    for (const wide of [false, true]) {
      const fields = { method: hostile, path: hostile, authority: hostile, reason: hostile, client: hostile };
      const more = { endpoint: hostile, service: hostile, userAgent: hostile, time: `2026-01-02T${hostile}` };
      for (const message of ['request', 'connection']) {
        const line = tapLine(
          { ...request, ...fields, ...more, message, closed: hostile, identity: hostile },
          { ...PLAIN, wide },
        );
        assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
        assert.match(line, /\\x1b\[2J/);
        assert.match(line, /é漢😀/);
      }
    }
  });

  it('cuts a long path, and says so', () => {
    const line = tapLine({ ...request, path: `/${'x'.repeat(1500)}` }, PLAIN);
    assert.match(line, / web\.example\/x+… 3\.14ms /);
    assert.ok(line.length < 250);
    assert.equal(
      tapLine({ ...request, path: `/${'x'.repeat(1500)}` }, { ...PLAIN, wide: true }).includes('x'.repeat(1500)),
      true,
    );
  });

  it('takes a record of anything', () => {
    for (const odd of [{}, { message: 'request' }, { message: 'request', status: 'x', path: 5, time: null }])
      assert.equal(typeof tapLine(odd, PLAIN), 'string');
  });
});

it('tells good ends from bad ones as the metrics do', () => {
  assert.equal(succeeded(request), true);
  assert.equal(succeeded({ ...request, status: 404 }), true);
  assert.equal(succeeded({ ...request, status: 503 }), false);
  assert.equal(succeeded({ ...request, grpcStatus: 5 }), true);
  assert.equal(succeeded({ ...request, grpcStatus: 14 }), false);
  assert.equal(succeeded({ ...request, unanswered: true }), false);
});

it('numbers have three digits and a unit', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 10_240, 5 * 2 ** 30].map(formatBytes), [
    '0B',
    '1023B',
    '1.0KiB',
    '1.5KiB',
    '10KiB',
    '5.0GiB',
  ]);
  assert.deepEqual([0.001, 0.9, 1, 12.34, 123.4, 1234, 61_000].map(formatDuration), [
    '1µs',
    '900µs',
    '1.00ms',
    '12.3ms',
    '123ms',
    '1.23s',
    '1m',
  ]);
  assert.equal(escapeForTerminal('abcdef', 4), 'abc…');
  assert.equal(escapeForTerminal('😀😀😀', 3), '😀😀😀');
});

describe('options of sluice tap', () => {
  it('become a query', () => {
    const { host, port, query } = tapCall({
      from: '[::1]:99',
      'latency-above': '100ms',
      path: '/a b',
      'max-rps': '5',
    });
    assert.deepEqual([host, port, String(query)], ['::1', 99, 'path=%2Fa+b&latencyAbove=100ms&maxRps=5']);
    assert.deepEqual(tapCall({}).port, 4191);
    assert.deepEqual(tapCall({ address: '127.0.0.1:98' }).port, 98);
    assert.throws(() => tapCall({ address: '127.0.0.1:98', from: '127.0.0.1:99' }), /give one of them/);
  });

  it('are named where they are wrong', () => {
    assert.throws(() => tapCall({ 'latency-above': 'x' }), /--latency-above: /);
    assert.throws(() => tapCall({ 'max-rps': '0' }), /--max-rps: /);
    assert.throws(() => tapCall({ status: '1' }), /--status: "1" is not a status; write for example/);
    assert.throws(() => tapCall({ from: 'x' }), /--from: /);
  });
});

describe('who is no admin port', () => {
  const heard = async (answer: (socket: Socket) => void, answerMs?: number): Promise<string> => {
    const server = await tcpServer(answer);
    const call = tapCall({ from: `127.0.0.1:${server.port}` });
    const said = await follow(call, new AbortController().signal, () => undefined, answerMs).then(
      () => 'nothing',
      (error: unknown) => String(error),
    );
    await server.close();
    return said;
  };

  it('is told when it says nothing', async () => {
    assert.match(
      await heard((socket) => socket.resume(), 50),
      /no answer from the admin port .*: nothing came in 0\.05 s/,
    );
  });

  it('is told when it says something else', async () => {
    const page = 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello';
    assert.match(await heard((socket) => socket.end(page)), /answers something else \(text\/html\): .* see --from/);
  });

  it('is told when it breaks off', async () => {
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n';
    assert.match(await heard((socket) => socket.end(head)), /the admin port .* does not go on: aborted/);
  });
});
