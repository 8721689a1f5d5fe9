// The official gRPC client and server with Sluice between them: deadlines, cancellation, backpressure, and connections that
// are balanced, kept alive, aged and lost.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, describe, it } from 'node:test';
import { Metadata, type ServerDuplexStream, type ServerWritableStream, status } from '@grpc/grpc-js';
import { content, digestOf } from '../support/content.js';
import { type Gateway, quiet, startGateway, tearDown } from '../support/gateway.js';
import { DEFAULT_HANDLERS, GrpcClient, type GrpcEndpoint, grpcEndpoint, type Handlers, send } from '../support/grpc.js';
import { http2Endpoint } from '../support/http2.js';
import { availableExecutors, type Executor, eventually, type Sluice } from '../support/sluice.js';
import { deadPort } from '../support/tcp.js';

const LOST: readonly number[] = [status.UNAVAILABLE, status.INTERNAL, status.UNKNOWN];

const clients: GrpcClient[] = [];
const endpoints: GrpcEndpoint[] = [];

async function endpoint(handlers: Partial<Handlers> = {}, options: Readonly<Record<string, number>> = {}, at = 0) {
  const started = await grpcEndpoint(handlers, options, at);
  endpoints.push(started);
  return started;
}

function clientOf(sluice: Sluice, options: Readonly<Record<string, number | string>> = {}): GrpcClient {
  const client = new GrpcClient(sluice.port('edge'), options);
  clients.push(client);
  return client;
}

after(tearDown);
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const server of endpoints.splice(0)) server.close();
});

/** Ends the clients, and checks that Sluice has nothing left of them. */
async function finish(sluice: Sluice): Promise<void> {
  for (const client of clients.splice(0)) client.close();
  await quiet(sluice);
  assert.equal(await sluice.stop(), 0);
}

/** What `count` returns once it has stayed the same for a while. */
async function settledCount(count: () => number): Promise<number> {
  let last = -1;
  let same = 0;
  await eventually(
    async () => {
      const now = count();
      same = now === last ? same + 1 : 0;
      last = now;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return now > 0 && same >= 15;
    },
    'the writer comes to rest',
    20_000,
  );
  return last;
}

/** `clients` calls at a time, one after the other, until `stop`. */
function calls(client: GrpcClient, lanes: number) {
  const failures: string[] = [];
  let running = true;
  let count = 0;
  const lane = async (): Promise<void> => {
    while (running) {
      const { status: end } = await client.unary(content(100));
      if (end.code !== status.OK) failures.push(`${end.code} ${end.details}`);
      else count++;
    }
  };
  const done = Promise.all(Array.from({ length: lanes }, lane));
  return {
    failures,
    count: () => count,
    stop: async () => {
      running = false;
      await done;
    },
  };
}

for (const io of await availableExecutors()) {
  const start = (addresses: readonly string[], gateway: Gateway = {}, executor: Executor = io): Promise<Sluice> =>
    startGateway(executor, addresses, gateway);

  describe(`gRPC deadlines on ${io}`, () => {
    it('reach the server, and end the call on both sides', async () => {
      let seen: number | undefined;
      let cancelled = 0;
      const server = await endpoint({
        unary: (call, answer) => {
          seen = Number(call.getDeadline());
          if (call.metadata.get('slow').length === 0) return answer(null, call.request);
          call.once('cancelled', () => cancelled++);
          return undefined;
        },
      });
      const sluice = await start([server.address]);
      const client = clientOf(sluice);
      const far = Date.now() + 3_600_000;
      assert.equal((await client.unary(content(1), new Metadata(), { deadline: far })).status.code, status.OK);
      // It is passed on as the time that is left, to the unit that fits into eight digits.
      assert.ok(seen !== undefined && Math.abs(seen - far) < 60_000, `${seen} for ${far}`);
      assert.equal((await client.unary(content(1))).status.code, status.OK);
      assert.equal(seen, Number.POSITIVE_INFINITY);

      const slow = new Metadata();
      slow.set('slow', 'yes');
      const { status: end } = await client.unary(content(1), slow, { deadline: Date.now() + 200 });
      assert.equal(end.code, status.DEADLINE_EXCEEDED);
      await eventually(() => cancelled === 1, 'the server sees that the call is cancelled');
      await finish(sluice);
    });
  });

  describe(`gRPC cancellation on ${io}`, () => {
    it('by the client reaches the server, before and amid a response', async () => {
      const began: string[] = [];
      const cancelled: string[] = [];
      const watch = (name: string, call: { once(event: 'cancelled', listener: () => void): unknown }): void => {
        began.push(name);
        call.once('cancelled', () => cancelled.push(name));
      };
      const server = await endpoint({
        unary: (call) => watch('unary', call),
        collect: (call) => {
          watch('collect', call);
          call.on('error', () => undefined);
          call.resume();
        },
        expand: (call) => {
          watch('expand', call);
          call.write(content(10));
        },
        chat: (call) => {
          watch('chat', call);
          call.on('error', () => undefined);
          call.on('data', (message: Buffer) => call.write(message));
        },
      });
      const sluice = await start([server.address]);
      const client = clientOf(sluice);
      const unary = client.startUnary(content(1));
      const collect = client.collect();
      const expand = client.expand(content(1));
      const chat = client.chat();
      collect.call.write(content(1000));
      chat.call.write(content(1000));
      await Promise.all([once(expand.call, 'data'), once(chat.call, 'data')]);
      await eventually(() => began.length === 4, 'all calls have begun');
      for (const { call } of [unary, collect, expand, chat]) call.cancel();
      for (const { outcome } of [unary, collect, expand, chat]) {
        assert.equal((await outcome).status.code, status.CANCELLED);
      }
      await eventually(() => cancelled.length === 4, 'the server sees each cancelled');
      await finish(sluice);
    });

    it('by the server reaches the client, as what its code means', async () => {
      const server = await http2Endpoint(null);
      server.server.on('stream', (stream, headers) => {
        stream.on('error', () => undefined);
        stream.close(Number(headers['x-code']));
      });
      const sluice = await start([server.address]);
      const client = clientOf(sluice);
      // gRPC over HTTP/2, section "Errors": CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY.
      for (const [code, expected] of [
        [8, status.CANCELLED],
        [11, status.RESOURCE_EXHAUSTED],
        [12, status.PERMISSION_DENIED],
      ] as const) {
        const metadata = new Metadata();
        metadata.set('x-code', String(code));
        const { status: end } = await client.expand(content(1), metadata).outcome;
        assert.equal(end.code, expected, end.details);
      }
      await finish(sluice);
      await server.close();
    });
  });

  describe(`gRPC backpressure on ${io}`, () => {
    const MESSAGE = 64 << 10;
    const COUNT = 1024;
    /** Far below the 64 MiB that are to be sent: windows, buffers of both libraries, and of the kernel. */
    const BOUND = 24 << 20;

    it('holds up a server whose client reads slowly, and then loses nothing', async () => {
      let written = 0;
      const pour = async (call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>) => {
        const message = content(MESSAGE);
        for (let i = 0; i < COUNT; i++) {
          written += message.length;
          if (!call.write(message)) await once(call, 'drain');
        }
        call.end();
      };
      const server = await endpoint({ expand: (call) => void pour(call) });
      const sluice = await start([server.address]);
      const client = clientOf(sluice);
      const { call, outcome } = client.expand(content(1), new Metadata(), {}, false);
      await once(call, 'readable');
      const held = await settledCount(() => written);
      assert.ok(held < BOUND, `${held} bytes were written for a client that does not read`);
      // Other calls of the same connection do not wait for it.
      assert.equal((await client.unary(content(1000))).status.code, status.OK);
      let total = 0;
      call.on('data', (message: Buffer) => {
        total += message.length;
      });
      assert.equal((await outcome).status.code, status.OK);
      assert.equal(total, MESSAGE * COUNT);
      await finish(sluice);
    });

    it('holds up a client whose server reads slowly, and then loses nothing', async () => {
      let release: () => void = () => undefined;
      const server = await endpoint({
        collect: (call, answer) => {
          let total = 0;
          release = () => {
            call.on('data', (message: Buffer) => {
              total += message.length;
            });
          };
          call.once('end', () => answer(null, Buffer.from(String(total))));
        },
      });
      const sluice = await start([server.address]);
      const client = clientOf(sluice);
      const { call, outcome } = client.collect();
      let written = 0;
      const pouring = (async () => {
        for (let i = 0; i < COUNT; i++) {
          written += MESSAGE;
          await send(call, content(MESSAGE));
        }
        call.end();
      })();
      const held = await settledCount(() => written);
      assert.ok(held < BOUND, `${held} bytes were written for a server that does not read`);
      assert.equal((await client.unary(content(1000))).status.code, status.OK);
      release();
      await pouring;
      const { status: end, messages } = await outcome;
      assert.equal(end.code, status.OK, end.details);
      assert.equal(messages[0]?.toString(), String(MESSAGE * COUNT));
      await finish(sluice);
    });
  });

  describe(`gRPC connections on ${io}`, () => {
    it('are kept alive by the client and by the server', async () => {
      const server = await endpoint({}, { 'grpc.keepalive_time_ms': 100, 'grpc.keepalive_timeout_ms': 2000 });
      const sluice = await start([server.address]);
      const client = clientOf(sluice, {
        'grpc.keepalive_time_ms': 100,
        'grpc.keepalive_timeout_ms': 2000,
        'grpc.keepalive_permit_without_calls': 1,
      });
      assert.equal((await client.unary(content(1))).status.code, status.OK);
      const { call, outcome } = client.chat();
      for (const role of ['server', 'client']) {
        await eventually(
          async () => (await sluice.metric('sluice_http2_pings_received_total', { role })) >= 5,
          `pings arrive at the ${role} side`,
        );
      }
      call.write(content(100));
      call.end();
      assert.equal((await outcome).status.code, status.OK);
      assert.equal(await sluice.metric('tcp_open_total', { peer: 'src' }), 1);
      assert.equal(server.connections, 1);
      await finish(sluice);
    });

    it('spread the calls of one client over all endpoints', async () => {
      const servers = await Promise.all([0, 1, 2, 3].map(() => endpoint()));
      const sluice = await start(servers.map(({ address }) => address));
      const client = clientOf(sluice);
      const traffic = calls(client, 16);
      await eventually(() => traffic.count() >= 2000, 'two thousand calls', 30_000);
      await traffic.stop();
      assert.deepEqual(traffic.failures, []);
      assert.equal(await sluice.metric('tcp_open_total', { peer: 'src' }), 1, 'the client has one connection');
      const counts = servers.map((server) => server.calls);
      for (const count of counts) assert.ok(count > traffic.count() / 10, `shares of ${counts.join(', ')}`);
      for (const { connections } of servers) assert.ok(connections <= 2, `${connections} connections to an endpoint`);
      await finish(sluice);
    });

    it('spread the calls evenly by turns', async () => {
      const servers = await Promise.all([0, 1, 2, 3].map(() => endpoint()));
      const addresses = servers.map(({ address }) => address);
      const sluice = await start(addresses, { service: '    balance: { policy: round-robin }' });
      const client = clientOf(sluice);
      for (let i = 0; i < 40; i++) assert.equal((await client.unary(content(1))).status.code, status.OK);
      assert.deepEqual(
        servers.map((server) => server.calls),
        [10, 10, 10, 10],
      );
      await finish(sluice);
    });

    it('may reach their age at the server without a failed call', async () => {
      const options = { 'grpc.max_connection_age_ms': 300, 'grpc.max_connection_age_grace_ms': 5000 };
      const servers = await Promise.all([0, 1].map(() => endpoint({}, options)));
      const sluice = await start(servers.map(({ address }) => address));
      const traffic = calls(clientOf(sluice), 8);
      await eventually(() => servers.every(({ connections }) => connections >= 5), 'each has aged five times', 30_000);
      await traffic.stop();
      assert.deepEqual(traffic.failures, []);
      assert.ok((await sluice.metric('sluice_http2_goaways_received_total', { role: 'client' })) >= 8);
      await finish(sluice);
    });

    it('may be refused: UNAVAILABLE, with the reason', async () => {
      const sluice = await start([`127.0.0.1:${await deadPort()}`]);
      const client = clientOf(sluice);
      const { status: end, metadata } = await client.unary(content(1));
      assert.equal(end.code, status.UNAVAILABLE);
      assert.match(end.details, /connect-failed|no-endpoint|connect|endpoint/);
      const reason = [...end.metadata.get('sluice-error'), ...metadata.get('sluice-error')];
      assert.ok(reason.includes('connect-failed') || reason.includes('no-endpoint'), String(reason));
      const stream = client.chat();
      stream.call.write(content(1));
      assert.equal((await stream.outcome).status.code, status.UNAVAILABLE);
      assert.ok((await sluice.metric('sluice_grpc_responses_total', { grpc_status: '14' })) >= 2);
      await finish(sluice);
    });

    it('may die amid a stream: an error, never a success', async () => {
      for (const how of ['reset', 'fin'] as const) {
        const server = await http2Endpoint(null);
        server.server.on('stream', (stream) => {
          stream.on('error', () => undefined);
          stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
          stream.write(Buffer.from([0, 0, 0, 0, 1, 65]));
        });
        const sluice = await start([server.address]);
        const client = clientOf(sluice);
        const several = Array.from({ length: 5 }, () => client.expand(content(1)));
        await Promise.all(several.map(({ call }) => once(call, 'data')));
        for (const socket of server.sockets) {
          if (how === 'reset') socket.resetAndDestroy();
          else socket.destroy();
        }
        for (const { outcome } of several) {
          const { status: end } = await outcome;
          assert.ok(LOST.includes(end.code), `${how}: ${end.code} ${end.details}`);
        }
        await finish(sluice);
        await server.close();
      }
    });

    it('leave an endpoint that dies for one that lives', async () => {
      const [first, second] = await Promise.all([endpoint(), endpoint()]);
      assert.ok(first !== undefined && second !== undefined);
      const sluice = await start([first.address, second.address]);
      const client = clientOf(sluice);
      await Promise.all(Array.from({ length: 50 }, () => client.unary(content(1))));
      first.close();
      // What was under way there may be lost; what comes later is not.
      const later = await Promise.all(Array.from({ length: 50 }, () => client.unary(content(1))));
      await Promise.all(Array.from({ length: 50 }, () => client.unary(content(1))));
      const last = await Promise.all(Array.from({ length: 50 }, () => client.unary(content(1))));
      assert.ok(later.every(({ status: end }) => end.code === status.OK || end.code === status.UNAVAILABLE));
      assert.deepEqual(
        last.map(({ status: end }) => end.code),
        Array(50).fill(status.OK),
      );
      await finish(sluice);
    });
  });

  describe(`gRPC answers of Sluice on ${io}`, () => {
    it('are gRPC: DEADLINE_EXCEEDED for a timeout, UNAVAILABLE where nobody may answer', async () => {
      const server = await endpoint({ unary: () => undefined, expand: DEFAULT_HANDLERS.expand });
      const sluice = await start([server.address], { service: '    responseTimeout: 200ms' });
      const client = clientOf(sluice);
      const { status: end } = await client.unary(content(1));
      assert.equal(end.code, status.DEADLINE_EXCEEDED, end.details);
      assert.match(end.details, /timeout/);
      const expanded = await client.expand(content(100)).outcome;
      assert.equal(expanded.status.code, status.OK);
      assert.deepEqual(digestOf(Buffer.concat(expanded.messages)), digestOf(content(100)));
      await finish(sluice);
    });
  });
}
