// gRPC's Java server takes 8 KiB of metadata, and ends the connection over more: whoever sends more learns of it here, and nobody else does.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { startGateway, tearDown } from '../support/gateway.js';
import { GrpcClient } from '../support/grpc.js';
import { availableExecutors } from '../support/sluice.js';
import { lacking, peerServer, stopPeers } from './peers.js';

const MESSAGE = Buffer.from('a message');
const skip = lacking('java');

after(tearDown);
after(stopPeers);

function metadata(length: number): Metadata {
  const fields = new Metadata();
  fields.set('x-large', 'v'.repeat(length));
  return fields;
}

for (const io of await availableExecutors()) {
  describe(`12 KB of metadata to a Java server on ${io}`, { skip }, () => {
    it('fails its call and no other', async () => {
      const server = await peerServer('java', 'grpc');
      const sluice = await startGateway(io, [server.address]);
      const client = new GrpcClient(sluice.port('edge'));
      const other = new GrpcClient(sluice.port('edge'));
      const streams = Array.from({ length: 10 }, () => other.chat());
      const heard = (call: (typeof streams)[number]['call']): Promise<unknown> =>
        new Promise((resolve) => call.once('data', resolve));
      const said = async (): Promise<void> => {
        await Promise.all(
          streams.map(({ call }) => {
            call.write(MESSAGE);
            return heard(call);
          }),
        );
      };
      await said();
      // More than a breaker forgives.
      for (let i = 0; i < 10; i++) {
        const chat = client.chat(metadata(12_000));
        chat.call.end(MESSAGE);
        assert.equal((await chat.outcome).status.code, status.RESOURCE_EXHAUSTED);
      }
      const small = client.chat(metadata(7000));
      small.call.end(MESSAGE);
      assert.equal((await small.outcome).status.code, status.OK);
      await said();
      for (const { call } of streams) call.end();
      for (const { outcome } of streams) assert.equal((await outcome).status.code, status.OK);
      assert.equal(await sluice.metric('sluice_endpoint_failures_total', { service: 'web' }), 0);
      client.close();
      other.close();
      assert.equal(await sluice.stop(), 0);
      await server.stop();
    });
  });
}
