// The load generator's calls on grpc-go: it grants windows by the bandwidth that it measures, and sends a frame for each small message.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { LoadPlan, LoadProtocol } from '../../src/load/plan.js';
import { Enough, loadPlan, target } from '../support/load.js';
import { lacking, peerServer, stopPeers } from './peers.js';

after(stopPeers);

describe('a load of gRPC on grpc-go', { skip: lacking('go') }, () => {
  const text = (words: string): Pick<LoadPlan, 'body' | 'bodyBytes'> => ({
    body: Buffer.from(words),
    bodyBytes: words.length,
  });
  for (const [protocol, method, messages, contents] of [
    ['grpc', 'Echo', undefined, { bodyBytes: 100 }],
    ['grpc-stream', 'Chat', undefined, { bodyBytes: 100 }],
    // It is told what to send by the message.
    ['grpc-server', 'Pour', 20, text('20 1000 0')],
    ['grpc-server', 'Pour', 3, text('3 200000 0')],
    ['grpc-client', 'Sink', 20, { bodyBytes: 1000 }],
    ['grpc-client', 'Sink', 3, { bodyBytes: 200_000 }],
    ['grpc-bidi', 'Chat', 20, { bodyBytes: 100 }],
    ['grpc-bidi', 'Chat', 2, { bodyBytes: 200_000 }],
  ] as readonly (readonly [LoadProtocol, string, number | undefined, Pick<LoadPlan, 'body' | 'bodyBytes'>])[])
    it(`${protocol}, ${messages ?? 1} × ${contents.bodyBytes} octets to ${method}`, async () => {
      const server = await peerServer('go', 'serve', 'grpc');
      const plan = loadPlan([target(server.port, { path: `/peers.Peers/${method}` })], {
        protocol,
        connections: 2,
        streams: 8,
        seconds: 1,
        ...contents,
        ...(messages === undefined ? {} : { messages }),
      });
      const result = await new Enough(0).run(plan);
      await server.stop();
      assert.deepEqual(result.errors, {});
      assert.ok(result.done > 0);
      assert.deepEqual(result.statuses, { 0: result.done });
      if (messages === undefined) return;
      const { sent = 0, received = 0 } = result.messages ?? {};
      assert.ok(received >= result.done * (protocol === 'grpc-client' ? 1 : messages), `${received}`);
      assert.ok(sent >= result.done * (protocol === 'grpc-server' ? 1 : messages), `${sent}`);
    });
});
