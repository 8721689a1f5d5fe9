// Responses count in the histogram of their request's class of routes and of their outcome, and in no other.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import { GrpcClient, grpcEndpoint } from '../support/grpc.js';
import { answering, client, metrics, upstream } from '../support/http.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

const TEST_MS = 30_000;
const started: Sluice[] = [];
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
});

const config = (web: string, calls: string): string => `
drain: { hold: 0 }
listeners:
  - { name: web, listen: "127.0.0.1:0", service: web }
  - { name: calls, listen: "127.0.0.1:0", service: calls }
services:
  web: { protocol: http1, endpoints: ["${web}"] }
  calls: { protocol: http2, endpoints: ["${calls}"] }
`;

const FAMILY = 'sluice_route_response_latency_seconds';

for (const io of await availableExecutors()) {
  describe(`latency by class of routes and outcome on ${io}`, { timeout: TEST_MS }, () => {
    it('counts each response once, and the sum is the total of the service', async () => {
      const web = await upstream(
        answering(({ start }) => {
          const code = / \/(\d+) /.exec(start)?.[1] ?? '200';
          return `HTTP/1.1 ${code} Said\r\ncontent-length: 0\r\n\r\n`;
        }),
      );
      const calls = await grpcEndpoint({
        unary: (call, answer) => {
          const code = call.request[0];
          if (code === 0) answer(null, call.request);
          else answer({ code, details: 'said' });
        },
      });
      const sluice = await startSluice(config(web.address, calls.address), io);
      started.push(sluice);
      const wire = await client(sluice.port('web'));
      for (const [method, code] of [
        ['GET', 200],
        ['OPTIONS', 204],
        ['GET', 404],
        ['GET', 500],
        ['POST', 201],
        ['DELETE', 503],
        ['BREW', 200],
        ['TRACE', 200],
      ] as const) {
        wire.write(`${method} /${code} HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n`);
        assert.equal((await wire.message()).status, code);
      }
      wire.destroy();
      const grpc = new GrpcClient(sluice.port('calls'));
      for (const code of [status.OK, status.NOT_FOUND, status.INTERNAL])
        assert.equal((await grpc.unary(Buffer.from([code]))).status.code, code);
      grpc.close();
      await eventually(async () => (await metrics(sluice))(`${FAMILY}_count`) === 11, 'all responses are counted');
      const value = await metrics(sluice);
      const count = (service: string, routeClass: string, classification: string): number =>
        value(
          `${FAMILY}_count`,
          'direction="outbound"',
          `service="${service}"`,
          `route_class="${routeClass}"`,
          `classification="${classification}"`,
        );
      assert.deepEqual(
        [
          count('web', 'read', 'success'),
          count('web', 'read', 'failure'),
          count('web', 'write', 'success'),
          count('web', 'write', 'failure'),
          count('calls', 'grpc', 'success'),
          count('calls', 'grpc', 'failure'),
        ],
        [3, 1, 3, 1, 2, 1],
      );
      assert.equal(value('sluice_service_response_latency_seconds_count', 'service="web"'), 8);
      assert.equal(value('sluice_service_response_latency_seconds_count', 'service="calls"'), 3);
      assert.equal(value('response_latency_ms_count'), 11);
      assert.equal(await sluice.stop(), 0);
      await web.close();
      calls.close();
    });
  });
}
