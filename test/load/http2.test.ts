// Loads over HTTP/2 and gRPC, on Node's own server and on the official gRPC library's.
import assert from 'node:assert/strict';
import type { Http2ServerRequest } from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { type HeaderBlocks, headerBlocks } from '../../src/load/header-blocks.js';
import { UnreachableError } from '../../src/load/run.js';
import { DEFAULT_HANDLERS, grpcEndpoint } from '../support/grpc.js';
import {
  Enough,
  http2Server,
  httpServer,
  type Listening,
  loadPlan,
  runToEnd,
  target,
  tcpServer,
} from '../support/load.js';
import { NaiveDecoder } from '../support/naive-hpack.js';
import { availableExecutors } from '../support/sluice.js';

const two = { protocol: 'http2', streams: 8, connections: 2 } as const;

for (const io of await availableExecutors()) {
  describe(`a load of HTTP/2 (${io})`, () => {
    it('in a closed loop has as many streams open as are asked for', async () => {
      const enough = new Enough(500);
      let open = 0;
      let most = 0;
      const server = await http2Server((request, response) => {
        most = Math.max(most, ++open);
        enough.happened();
        // Later, so that all of them come to be there.
        setTimeout(() => {
          open--;
          response.end('hello');
        }, 2);
        request.stream.once('error', () => undefined);
      });
      const result = await enough.run(loadPlan([target(server.port)], { ...two, io }));
      await server.close();
      assert.deepEqual(result.errors, {});
      assert.equal(most, 16);
      assert.ok(result.done >= 470, `${result.done}`);
      assert.deepEqual(result.statuses, { 200: result.done });
      assert.equal(result.connectionsOpened, 2);
    });

    it('at a rate sends what is due', async () => {
      const server = await http2Server((_, response) => response.end());
      const pace = { kind: 'constant', rate: 1000 } as const;
      const result = await runToEnd(loadPlan([target(server.port)], { ...two, io, pace, seconds: 0.3 }));
      await server.close();
      assert.equal(result.done + result.unsent, 300);
      assert.deepEqual(result.errors, {});
    });
  });
}

describe('requests over HTTP/2', () => {
  const seen: { request: Http2ServerRequest; body: string }[] = [];
  let enough = new Enough(0);
  let server: Listening;
  before(async () => {
    server = await http2Server((request, response) => {
      let body = '';
      request.setEncoding('latin1').on('data', (piece: string) => {
        body += piece;
      });
      request.on('end', () => {
        // What is cut off by the load's own end.
        if (body.length < Number(request.headers['content-length'] ?? 0)) return;
        seen.push({ request, body });
        enough.happened();
        response.end('x'.repeat(100_000));
      });
    });
  });
  after(() => server.close());

  const ask = async (times: number, ...[targets, more]: Parameters<typeof loadPlan>) => {
    seen.length = 0;
    enough = new Enough(times);
    return await enough.run(loadPlan(targets, { ...two, ...more }));
  };

  it('have the fields that are asked for, on later streams as on the first', async () => {
    const headers = [
      ['x-one', '1'],
      ['authorization', 'secret'],
      ['host', 'shop'],
      ['connection', 'close'],
    ] as const;
    const result = await ask(100, [target(server.port, { path: '/a?b' }), target(server.port, { path: '/c' })], {
      headers,
    });
    assert.deepEqual(result.errors, {});
    for (const { request } of seen) {
      assert.equal(request.headers['x-one'], '1');
      assert.equal(request.headers.authorization, 'secret');
      assert.equal(request.authority, 'shop');
      assert.ok(request.url === '/a?b' || request.url === '/c');
    }
    const first = seen.filter(({ request }) => request.url === '/c').length / seen.length;
    assert.ok(Math.abs(first - 0.5) < 0.1, `${first}`);
  });

  for (const bodyBytes of [100, 5000, 300_001])
    it(`have a body of ${bodyBytes} octets`, async () => {
      const result = await ask(20, [target(server.port)], { method: 'POST', bodyBytes });
      assert.deepEqual(result.errors, {});
      assert.ok(seen.length >= 20);
      for (const { body } of seen) {
        assert.equal(body.length, bodyBytes);
        assert.match(body, /^abcdefghij/);
      }
    });

  it('are sent on a connection each where they are not kept', async () => {
    const result = await ask(20, [target(server.port)], { keepAlive: false, streams: 1 });
    assert.deepEqual(result.errors, {});
    assert.ok(result.connectionsOpened >= result.done && result.done > 10);
  });
});

describe('header blocks', () => {
  const fields = [
    [':method', 'GET'],
    [':path', '/a'],
    ['x', 'y'],
    ['cookie', 'no'],
  ] as const;
  const lists = [fields, [...fields.slice(0, 1), [':path', '/b'], ...fields.slice(2)] as const];

  for (const order of [
    ['first', 'next', 'next'],
    ['plain', 'plain'],
  ] as const)
    it(`say the same, ${order.join(', ')}`, () => {
      const decoder = new NaiveDecoder();
      for (const [i, kind] of order.entries()) {
        const which = i % 2;
        const block: HeaderBlocks = headerBlocks(lists)[which];
        assert.deepEqual(
          decoder.decode(block[kind]).map(({ name, value }) => [name, value]),
          lists[which],
        );
      }
    });
});

describe('a server of HTTP/2', () => {
  it('that allows fewer streams gets no more', async () => {
    const enough = new Enough(100);
    const server = await http2Server(
      (_, response) => {
        enough.happened();
        response.end();
      },
      { settings: { maxConcurrentStreams: 3, headerTableSize: 0 } },
    );
    const result = await enough.run(loadPlan([target(server.port)], two));
    await server.close();
    assert.deepEqual(result.errors, {});
    assert.ok(result.done > 80);
  });

  it('that leaves is connected to again', async () => {
    const enough = new Enough(200);
    let number = 0;
    const server = await http2Server((request, response) => {
      enough.happened();
      if (++number % 20 === 0) request.stream.session?.close();
      response.end();
    });
    const result = await enough.run(loadPlan([target(server.port)], two));
    await server.close();
    assert.ok(result.done > 50, `${result.done}`);
    assert.ok(result.connectionsOpened > 4, `${result.connectionsOpened}`);
    assert.deepEqual(
      Object.keys(result.errors).filter((kind) => !['goaway', 'closed', 'reset'].includes(kind)),
      [],
    );
  });

  it('that resets streams makes errors of them', async () => {
    const enough = new Enough(50);
    const server = await http2Server((request) => {
      enough.happened();
      request.stream.close(2);
    });
    const result = await enough.run(loadPlan([target(server.port)], two));
    await server.close();
    assert.ok(result.errors.reset > 20, JSON.stringify(result.errors));
    assert.equal(result.done, 0);
  });

  it('that answers nothing makes requests time out', async () => {
    const enough = new Enough(40);
    const server = await http2Server((request) => {
      request.stream.once('close', () => enough.happened());
    });
    const result = await enough.run(loadPlan([target(server.port)], { ...two, timeoutMs: 50 }));
    await server.close();
    assert.ok(result.errors.timeout >= 39, JSON.stringify(result.errors));
  });

  for (const [name, answer, kind] of [
    ['that speaks HTTP/1', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'http1'],
    ['that speaks TLS', '\x15\x03\x01\0\x02\x02\x46', 'tls-only'],
    ['that speaks nothing known', 'what?what?what?', 'protocol'],
  ] as const)
    it(`${name} is told apart`, async () => {
      const server = await tcpServer((socket) => socket.on('data', () => socket.end(answer, 'latin1')));
      await assert.rejects(runToEnd(loadPlan([target(server.port)], two)), (error) => {
        assert.ok(error instanceof UnreachableError);
        return error.errors[kind] === 2;
      });
      await server.close();
    });
});

describe('a load of gRPC', () => {
  for (const [protocol, path] of [
    ['grpc', '/peers.Peers/Unary'],
    ['grpc-stream', '/peers.Peers/Chat'],
  ] as const)
    for (const bodyBytes of [0, 10, 70_000])
      it(`counts what the official server has answered (${protocol}, ${bodyBytes} octets)`, async () => {
        const enough = new Enough(100);
        const lengths = new Set<number>();
        const note = (message: Buffer): void => {
          lengths.add(message.length);
          enough.happened();
        };
        const server = await grpcEndpoint({
          ...DEFAULT_HANDLERS,
          unary: (call, answer) => {
            note(call.request);
            DEFAULT_HANDLERS.unary(call, answer);
          },
          chat: (call) => {
            call.on('data', note);
            DEFAULT_HANDLERS.chat(call);
          },
        });
        const plan = loadPlan([target(server.port, { path })], { protocol, bodyBytes, streams: 4, connections: 2 });
        const result = await enough.run(plan);
        await server.close();
        assert.deepEqual(result.errors, {});
        assert.ok(result.done >= 80, `${result.done}`);
        assert.deepEqual(result.statuses, { 0: result.done });
        assert.deepEqual([...lengths], [bodyBytes]);
      });

  it('counts errors by their status', async () => {
    const enough = new Enough(20);
    const server = await grpcEndpoint({
      ...DEFAULT_HANDLERS,
      unary: (_, answer) => {
        enough.happened();
        answer({ code: 8, details: 'too much' });
      },
    });
    const plan = loadPlan([target(server.port, { path: '/peers.Peers/Unary' })], { protocol: 'grpc' });
    const result = await enough.run(plan);
    await server.close();
    assert.deepEqual(result.statuses, { 8: result.done });
    assert.equal(result.errors.status, result.done);
  });

  it('is no answer of HTTP', async () => {
    const enough = new Enough(10);
    const server = await httpServer((_, response) => {
      enough.happened();
      response.end();
    });
    await assert.rejects(enough.run(loadPlan([target(server.port)], { protocol: 'grpc' })), UnreachableError);
    await server.close();
  });
});
