// Loads over HTTP/1.1 on servers of Node's and on such as answer what they should not, on both executors.
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { UnreachableError } from '../../src/load/run.js';
import { Enough, httpServer, type Listening, loadPlan, runToEnd, target, tcpServer } from '../support/load.js';
import { availableExecutors } from '../support/sluice.js';

for (const io of await availableExecutors()) {
  describe(`a load of HTTP/1.1 (${io})`, () => {
    it('in a closed loop counts what the server has answered', async () => {
      const enough = new Enough(500);
      let asked = 0;
      const server = await httpServer((_, response) => {
        asked++;
        enough.happened();
        response.end('hello');
      });
      const result = await enough.run(loadPlan([target(server.port)], { io, threads: 2 }));
      await server.close();
      assert.ok(result.done <= asked && result.done >= asked - 8, `${result.done} of ${asked}`);
      assert.ok(result.interrupted);
      assert.deepEqual(result.errors, {});
      assert.deepEqual(result.statuses, { 200: result.done });
      assert.equal(result.latency.count, result.done);
      assert.equal(result.connectionsOpened, 4);
      assert.equal(
        result.intervals.reduce((sum, { done }) => sum + done, 0),
        result.done,
      );
    });

    it('at a rate sends as many as are due, and says which were not', async () => {
      const server = await httpServer((_, response) => response.end());
      const plan = loadPlan([target(server.port)], { io, pace: { kind: 'constant', rate: 1000 }, seconds: 0.3 });
      const result = await runToEnd(plan);
      await server.close();
      assert.equal(result.done + result.unsent, 300);
      assert.equal(result.latency.count, result.done);
      assert.equal(result.service.count, result.done);
      // What waited before it was sent is part of the one and not of the other.
      assert.ok(result.latency.sum >= result.service.sum);
      assert.equal(result.wantedRate, 1000);
      assert.ok(!result.interrupted);
    });

    it('makes a connection for each request where they are not kept', async () => {
      const enough = new Enough(40);
      const closing: (string | undefined)[] = [];
      const server = await httpServer((request, response) => {
        closing.push(request.headers.connection);
        enough.happened();
        response.end('once');
      });
      const result = await enough.run(loadPlan([target(server.port)], { io, keepAlive: false }));
      await server.close();
      assert.deepEqual(result.errors, {});
      assert.ok(result.done >= 36, `${result.done}`);
      assert.ok(result.connectionsOpened >= result.done);
      assert.ok(closing.every((value) => value === 'close'));
    });
  });
}

describe('requests', () => {
  const seen: { request: IncomingMessage; body: string }[] = [];
  let enough = new Enough(0);
  let server: Listening;
  before(async () => {
    server = await httpServer((request, response) => {
      let body = '';
      request.setEncoding('latin1').on('data', (piece: string) => {
        body += piece;
      });
      request.on('end', () => {
        seen.push({ request, body });
        enough.happened();
        response.end();
      });
    });
  });
  after(() => server.close());

  const ask = async (times: number, ...[targets, more]: Parameters<typeof loadPlan>) => {
    seen.length = 0;
    enough = new Enough(times);
    return await enough.run(loadPlan(targets, more));
  };

  it('have the method, fields and body that are asked for', async () => {
    const headers = [
      ['x-one', '1'],
      ['host', 'shop'],
    ] as const;
    await ask(8, [target(server.port, { path: '/a?b=c' })], { method: 'PUT', headers, bodyBytes: 1000 });
    const [{ request, body }] = seen;
    assert.equal(request.method, 'PUT');
    assert.equal(request.url, '/a?b=c');
    assert.equal(request.headers['x-one'], '1');
    assert.equal(request.headers.host, 'shop');
    assert.equal(body.length, 1000);
    assert.match(body, /^abcdefghijklmnopqrstuvwxyzab/);
  });

  it('may be larger than a buffer', async () => {
    const bodyBytes = 600_001;
    const result = await ask(4, [target(server.port)], { method: 'POST', bodyBytes });
    assert.ok(seen.length >= 4);
    assert.ok(seen.every(({ body }) => body.length === bodyBytes));
    assert.deepEqual(result.errors, {});
  });

  it('go to several targets by their weights', async () => {
    await ask(400, [target(server.port, { path: '/a', weight: 3 }), target(server.port, { path: '/b' })]);
    const share = seen.filter(({ request }) => request.url === '/a').length / seen.length;
    // Exactly three of four, but for those under way at the end.
    assert.ok(Math.abs(share - 0.75) < 0.03, `${share}`);
  });

  it('of HEAD are over with the head', async () => {
    const result = await ask(20, [target(server.port)], { method: 'HEAD' });
    assert.deepEqual(result.errors, {});
    assert.ok(result.done >= 16);
  });
});

describe('answers', () => {
  /** Answers each request with one of `answers`, in turn, and runs until there have been `times`. */
  async function answered(answers: readonly string[], times: number, more: Parameters<typeof loadPlan>[1] = {}) {
    const enough = new Enough(times);
    let number = 0;
    const server = await tcpServer((socket) => {
      socket.on('data', () => {
        const answer = answers[number++ % answers.length];
        enough.happened();
        const close = answer.includes('onnection: close') || answer.startsWith('HTTP/1.0');
        // In two pieces: what is cut is put together.
        socket.write(answer.slice(0, answer.length >> 1), () => {
          setImmediate(() => {
            if (close) socket.end(answer.slice(answer.length >> 1));
            else socket.write(answer.slice(answer.length >> 1));
          });
        });
      });
    });
    try {
      return await enough.run(loadPlan([target(server.port)], { connections: 2, ...more }));
    } finally {
      await server.close();
    }
  }

  it('are read in every framing', async () => {
    const result = await answered(
      [
        'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n',
        'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
        'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end',
        'HTTP/1.0 200 OK\r\n\r\nold',
      ],
      100,
    );
    assert.deepEqual(result.errors, {});
    assert.ok(result.done >= 94, `${result.done}`);
    assert.ok((result.statuses[204] ?? 0) > 10);
  });

  it('of 400 and above count, and count as errors', async () => {
    const result = await answered(['HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'], 50);
    assert.equal(result.errors.status, result.done);
    assert.deepEqual(result.statuses, { 503: result.done });
  });

  for (const [name, answer, kind] of [
    ['that are none', 'what?\r\n\r\n', 'protocol'],
    ['with more than they say', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ntoo much', 'protocol'],
    ['in HTTP/2', '\0\0\0\x04\0\0\0\0\0', 'http2'],
    ['in TLS', '\x15\x03\x01\0\x02\x02\x46', 'tls-only'],
    ['of which half comes', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 99\r\n\r\nhalf', 'closed'],
  ] as const)
    it(`${name} are errors by their kind`, async () => {
      const result = await answered([answer], 4);
      assert.ok(result.errors[kind] > 0, JSON.stringify(result.errors));
    });
});

describe('a server', () => {
  it('that refuses ends the load before it begins', async () => {
    const server = await tcpServer(() => undefined);
    await server.close();
    const run = runToEnd(loadPlan([target(server.port)]));
    await assert.rejects(run, (error) => error instanceof UnreachableError && error.errors.refused === 4);
  });

  it('that answers nothing makes requests time out', async () => {
    const enough = new Enough(4);
    const server = await tcpServer((socket) => {
      socket.resume();
      socket.on('close', () => enough.happened());
    });
    const result = await enough.run(loadPlan([target(server.port)], { connections: 1, timeoutMs: 50 }));
    await server.close();
    assert.ok(result.errors.timeout >= 3, JSON.stringify(result.errors));
    assert.equal(result.done, 0);
  });

  it('that ends connections between requests is connected to again', async () => {
    const enough = new Enough(60);
    const server = await httpServer((_, response) => {
      enough.happened();
      response.end();
      response.socket?.end();
    });
    const result = await enough.run(loadPlan([target(server.port)]));
    await server.close();
    // A request that crosses the end comes to nothing.
    assert.ok(result.done > 10 && result.connectionsOpened > 10, `${result.done}, ${result.connectionsOpened}`);
    assert.deepEqual(
      Object.keys(result.errors).filter((kind) => kind !== 'closed' && kind !== 'reset'),
      [],
    );
  });

  it('finds no connection left open behind the load', async () => {
    const enough = new Enough(10);
    const server = await httpServer((_, response) => {
      enough.happened();
      response.end();
    });
    await enough.run(loadPlan([target(server.port)]));
    // It would not close while one is open.
    const closed = server.close();
    await closed;
    await assert.rejects(new Promise((_, reject) => connect(server.port, '127.0.0.1').once('error', reject)));
  });
});
