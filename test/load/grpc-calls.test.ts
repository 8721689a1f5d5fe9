// Calls of gRPC with several messages, on the official library's server.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LoadPlan } from '../../src/load/plan.js';
import { type Collect, DEFAULT_HANDLERS, grpcEndpoint } from '../support/grpc.js';
import { Enough, loadPlan, runToEnd, target } from '../support/load.js';
import { availableExecutors } from '../support/sluice.js';

/** The answer says how many there were, and how long all of them together. */
const counting =
  (seen: (messages: number, octets: number) => void): Collect =>
  (call, answer) => {
    let [messages, octets] = [0, 0];
    call.on('data', (piece: Buffer) => {
      messages++;
      octets += piece.length;
    });
    call.once('end', () => {
      seen(messages, octets);
      answer(null, Buffer.from('thanks'));
    });
  };

const path = (method: string): { readonly path: string } => ({ path: `/peers.Peers/${method}` });
const two: Partial<LoadPlan> = { connections: 2, streams: 4 };

for (const io of await availableExecutors())
  describe(`a load of calls (${io})`, () => {
    for (const [messages, bodyBytes] of [
      [1, 10],
      [7, 0],
      [100, 5000],
      // More than the windows of a stream and of the connection take.
      [5, 300_000],
    ] as const)
      it(`of ${messages} messages of ${bodyBytes} octets each, and one answer`, async () => {
        const enough = new Enough(20);
        const seen = new Map<string, number>();
        const server = await grpcEndpoint({
          collect: counting((count, octets) => {
            seen.set(`${count} ${octets}`, (seen.get(`${count} ${octets}`) ?? 0) + 1);
            enough.happened();
          }),
        });
        const plan = loadPlan([target(server.port, path('Collect'))], {
          ...two,
          io,
          protocol: 'grpc-client',
          messages,
        });
        const result = await enough.run({ ...plan, bodyBytes });
        server.close();
        assert.deepEqual(result.errors, {});
        // Others are what the end of the load has cut off.
        const whole = seen.get(`${messages} ${messages * bodyBytes}`) ?? 0;
        assert.ok(whole >= result.done, `${whole} of ${result.done}`);
        assert.ok(result.done >= 12, `${result.done}`);
        assert.deepEqual(result.statuses, { 0: result.done });
        const { sent = 0, received = 0, latency } = result.messages ?? {};
        // An answer may be there before its call is over.
        assert.ok(received >= result.done && received <= result.done + 8, `${received} of ${result.done}`);
        assert.ok(sent >= result.done * messages);
        assert.equal(latency?.count, 0);
      });

    it('of one message, and as many answers as come', async () => {
      const enough = new Enough(30);
      const server = await grpcEndpoint({
        expand: (call) => {
          enough.happened();
          DEFAULT_HANDLERS.expand(call);
        },
      });
      for (const messages of [0, 50]) {
        const plan = loadPlan([target(server.port, path('Expand'))], { ...two, io, protocol: 'grpc-server', messages });
        const result = await (messages === 0 ? enough : new Enough(0)).run({ ...plan, bodyBytes: 50, seconds: 0.5 });
        assert.deepEqual(result.errors, {});
        assert.ok(result.done > 0 || messages > 0, `${result.done}`);
        const { received = 0, latency } = result.messages ?? {};
        assert.ok(received >= 50 * result.done, `${received} messages of ${result.done} calls`);
        assert.equal(latency?.count, received);
      }
      server.close();
    });

    for (const bodyBytes of [0, 20, 100_000])
      it(`of 5 messages of ${bodyBytes} octets, each sent when the one before was answered`, async () => {
        const enough = new Enough(100);
        let most = 0;
        const server = await grpcEndpoint({
          chat: (call) => {
            let waiting = 0;
            call.on('data', () => {
              most = Math.max(most, ++waiting);
              enough.happened();
              // Later: one that did not wait would be there by then.
              setImmediate(() => {
                waiting--;
                call.write(Buffer.alloc(bodyBytes));
              });
            });
            call.once('end', () => setImmediate(() => call.end()));
          },
        });
        const plan = loadPlan([target(server.port, path('Chat'))], { ...two, io, protocol: 'grpc-bidi', messages: 5 });
        const result = await enough.run({ ...plan, bodyBytes });
        server.close();
        assert.deepEqual(result.errors, {});
        assert.equal(most, 1);
        assert.ok(result.done >= 10, `${result.done}`);
        const { sent = 0, received = 0, latency } = result.messages ?? {};
        assert.ok(sent >= received && received >= result.done * 5, `${sent}, ${received}`);
        assert.equal(latency?.count, received);
        // A call has five of them one after the other.
        assert.ok(result.latency.sum >= latency.sum / (received / result.done) / 5);
      });
  });

describe('a call of several messages', () => {
  it('at a rate counts from when it was due', async () => {
    const server = await grpcEndpoint();
    const pace = { kind: 'constant', rate: 200 } as const;
    const plan = loadPlan([target(server.port, path('Chat'))], { ...two, protocol: 'grpc-bidi', messages: 3, pace });
    const result = await runToEnd({ ...plan, seconds: 0.5 });
    server.close();
    assert.equal(result.done + result.unsent, 100);
    assert.deepEqual(result.errors, {});
    assert.equal(result.latency.count, result.done);
  });

  for (const [what, protocol, method, messages] of [
    ['fewer answers than are wanted', 'grpc-server', 'Expand', 11],
    ['more answers than are wanted', 'grpc-server', 'Expand', 9],
    ['an end before all was said', 'grpc-bidi', 'Chat', 3],
  ] as const)
    it(`that has ${what} is an error`, async () => {
      const enough = new Enough(30);
      const server = await grpcEndpoint({
        expand: (call) => {
          enough.happened();
          DEFAULT_HANDLERS.expand(call);
        },
        chat: (call) => {
          call.once('data', (piece: Buffer) => {
            enough.happened();
            call.write(piece);
            call.end();
          });
        },
      });
      const plan = loadPlan([target(server.port, path(method))], { ...two, protocol, messages, bodyBytes: 10 });
      const result = await enough.run(plan);
      server.close();
      assert.equal(result.done, 0);
      assert.deepEqual(Object.keys(result.errors), ['messages']);
      assert.ok(result.errors.messages >= 15, `${result.errors.messages}`);
    });

  it('that the server refuses in the middle has its status', async () => {
    const enough = new Enough(20);
    const server = await grpcEndpoint({
      collect: (call, answer) => {
        call.once('data', () => {
          enough.happened();
          answer({ code: 8, details: 'too much' });
        });
      },
    });
    const plan = loadPlan([target(server.port, path('Collect'))], { ...two, protocol: 'grpc-client', messages: 1000 });
    const result = await enough.run({ ...plan, bodyBytes: 10_000 });
    server.close();
    assert.deepEqual(result.statuses, { 8: result.done });
    assert.equal(result.errors.status, result.done);
    assert.ok(result.done >= 10, `${result.done}`);
  });

  it('that stands still takes too long', async () => {
    const enough = new Enough(20);
    const server = await grpcEndpoint({ chat: (call) => call.once('cancelled', () => enough.happened()) });
    const plan = loadPlan([target(server.port, path('Chat'))], { ...two, protocol: 'grpc-bidi', messages: 2 });
    const result = await enough.run({ ...plan, timeoutMs: 50 });
    server.close();
    assert.ok(result.errors.timeout >= 15, JSON.stringify(result.errors));
  });
});
