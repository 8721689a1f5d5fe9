// How gRPC calls end that an endpoint does not bring to their end: what the official client makes of it, before the head of the response
// and behind it (gRPC over HTTP/2, section "Errors").
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { type StatusObject, status } from '@grpc/grpc-js';
import { startGateway, tearDown } from '../support/gateway.js';
import { GrpcClient, type Outcome } from '../support/grpc.js';
import { type Arrival, H2Endpoint } from '../support/h2-endpoint.js';
import { END_STREAM } from '../support/h2-frames.js';
import { H2Peer } from '../support/h2-peer.js';
import { metrics } from '../support/http.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { deadPort } from '../support/tcp.js';

const HEAD = { ':status': '200', 'content-type': 'application/grpc' };
const message = (text: string): Buffer => {
  const body = Buffer.from(text);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
};

/** What an endpoint does, and what becomes of the call. */
const ENDINGS: readonly (readonly [what: string, play: (arrival: Arrival) => void, code: status, why: string])[] = [
  ['ends its connection', ({ peer }) => peer.destroy(), status.UNAVAILABLE, 'upstream-reset'],
  ['resets its connection', ({ peer }) => void peer.socket.resetAndDestroy(), status.UNAVAILABLE, 'upstream-reset'],
  ['says NO_ERROR', ({ peer, stream }) => peer.reset(stream, 'NO_ERROR'), status.INTERNAL, 'upstream-reset'],
  [
    'says INTERNAL_ERROR',
    ({ peer, stream }) => peer.reset(stream, 'INTERNAL_ERROR'),
    status.INTERNAL,
    'upstream-reset',
  ],
  [
    'says PROTOCOL_ERROR',
    ({ peer, stream }) => peer.reset(stream, 'PROTOCOL_ERROR'),
    status.INTERNAL,
    'upstream-reset',
  ],
  ['says CANCEL', ({ peer, stream }) => peer.reset(stream, 'CANCEL'), status.CANCELLED, 'upstream-reset'],
  [
    'says REFUSED_STREAM',
    ({ peer, stream }) => peer.reset(stream, 'REFUSED_STREAM'),
    status.UNAVAILABLE,
    'stream-refused',
  ],
  [
    'says ENHANCE_YOUR_CALM',
    ({ peer, stream }) => peer.reset(stream, 'ENHANCE_YOUR_CALM'),
    status.RESOURCE_EXHAUSTED,
    'upstream-reset',
  ],
  [
    'says INADEQUATE_SECURITY',
    ({ peer, stream }) => peer.reset(stream, 'INADEQUATE_SECURITY'),
    status.PERMISSION_DENIED,
    'upstream-reset',
  ],
  [
    'breaks HTTP',
    ({ peer, stream }) => peer.headers(stream, { 'Upper-Case': 'x' }, END_STREAM),
    status.INTERNAL,
    'upstream-protocol',
  ],
];

after(tearDown);

for (const io of await availableExecutors()) {
  describe(`gRPC calls that are not brought to their end on ${io}`, () => {
    let endpoint: H2Endpoint;
    let sluice: Sluice;
    let client: GrpcClient;

    before(async () => {
      endpoint = await H2Endpoint.listen();
      const service =
        '    breaker: { failures: 0 }\n    retry: { budget: 0, minPerSecond: 0 }\n    connectTimeout: 300ms';
      sluice = await startGateway(io, [endpoint.address], { service });
      client = new GrpcClient(sluice.port('edge'), { 'grpc.enable_retries': 0 });
    });
    afterEach(() => endpoint.quiet());
    after(async () => {
      client.close();
      await sluice.stop();
      await endpoint.close();
    });

    const counted = async (code: status): Promise<number> =>
      (await metrics(sluice))('sluice_grpc_responses_total', 'service="web"', `grpc_status="${code}"`);

    /** Calls, what was told of them, and those that were told nothing. */
    const accounts = async (): Promise<readonly [calls: number, statuses: number, unanswered: number, sum: number]> => {
      const value = await metrics(sluice);
      const of = (name: string): number => value(name, 'service="web"');
      const requests = of('sluice_service_requests_total');
      const responses = of('response_total') + of('sluice_service_proxy_response_total');
      const unanswered = of('sluice_service_unanswered_total');
      const calls = of('sluice_grpc_requests_total');
      return [calls, of('sluice_grpc_responses_total'), unanswered, requests - responses - unanswered];
    };

    /** Plays a call, which ends with a status of this code that is counted, or is not told of any. */
    const addsUp = async (answered: boolean, play: () => Promise<unknown>): Promise<void> => {
      const [calls, statuses, unanswered, rest] = await accounts();
      await play();
      await eventually(async () => (await metrics(sluice))('sluice_service_in_flight') === 0, 'it is over');
      assert.deepEqual(await accounts(), [
        calls + 1,
        statuses + (answered ? 1 : 0),
        unanswered + (answered ? 0 : 1),
        rest,
      ]);
    };

    const told = ({ code, details, metadata }: StatusObject): readonly [status, string, unknown] => [
      code,
      details,
      metadata.get('sluice-error')[0],
    ];

    for (const [what, play, code, why] of ENDINGS) {
      for (const begun of [false, true]) {
        // The official client says by itself what no one told it: what breaks HTTP before the head is a case of its own elsewhere.
        it(`an endpoint that ${what} ${begun ? 'behind its head' : 'instead of a head'}`, () =>
          addsUp(true, async () => {
            const before = await counted(code);
            const { outcome } = client.expand(Buffer.from('ab'));
            const arrival = await endpoint.request('/peers.Peers/Expand');
            const { peer, stream } = arrival;
            if (begun) {
              peer.headers(stream, HEAD);
              peer.data(stream, message('one'));
            }
            play(arrival);
            const end: Outcome = await outcome;
            // A stream that is refused behind its head is not refused any more, but cut.
            assert.deepEqual(told(end.status), [code, `sluice: ${why}`, why]);
            assert.deepEqual(end.messages.map(String), begun ? ['one'] : []);
            assert.equal((await counted(code)) - before, 1);
          }));
      }
    }

    // Status by status, in whatever way they end.
    for (const [what, answered, play] of [
      ['that end in order', true, ({ peer, stream }) => peer.headers(stream, { 'grpc-status': '0' }, END_STREAM)],
      ['that end with nothing', true, ({ peer, stream }) => peer.data(stream, '', END_STREAM)],
      ['whose client has had enough', false, (_, call) => call.cancel()],
    ] as readonly (readonly [string, boolean, (arrival: Arrival, call: { cancel(): void }) => void])[]) {
      it(`calls ${what} are counted once`, () =>
        addsUp(answered, async () => {
          const { call, outcome } = client.expand(Buffer.from('ab'));
          const arrival = await endpoint.request('/peers.Peers/Expand');
          arrival.peer.headers(arrival.stream, HEAD);
          play(arrival, call);
          await outcome;
        }));
    }

    it('calls that are answered with a status of HTTP are counted once', () =>
      addsUp(true, async () => {
        const { outcome } = client.expand(Buffer.from('ab'));
        const { peer, stream } = await endpoint.request('/peers.Peers/Expand');
        peer.headers(stream, { ':status': '404' }, END_STREAM);
        await outcome;
      }));

    it('calls that nobody reads are not counted', async () => {
      const earlier = await accounts();
      const peer = await H2Peer.greeted(sluice.port('edge'));
      const large = { 'x-large': 'v'.repeat(70_000) };
      const call = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
      const { field } = await peer.response(peer.request({ ...call, ...large }));
      assert.equal(field('grpc-status'), '8');
      peer.destroy();
      assert.deepEqual((await accounts()).slice(0, 3), earlier.slice(0, 3));
    });

    it('a call that waits for the client to read is told behind what it reads', async () => {
      const { call, outcome } = client.expand(Buffer.from('ab'), undefined, undefined, false);
      const { peer, stream } = await endpoint.request('/peers.Peers/Expand');
      peer.headers(stream, HEAD);
      const large = 'x'.repeat(40_000);
      for (let i = 0; i < 3; i++) await peer.pour(stream, message(large));
      peer.destroy();
      const heard: string[] = [];
      call.on('data', (piece: Buffer) => heard.push(String(piece)));
      const end = await outcome;
      assert.equal(end.status.code, status.UNAVAILABLE);
      assert.deepEqual(
        heard.map(({ length }) => length),
        [40_000, 40_000, 40_000],
      );
    });

    it('endpoints that can not be reached, or say nothing, are UNAVAILABLE', async () => {
      const silent = await H2Endpoint.listen();
      silent.greet = () => undefined;
      silent.options = { ackSettings: false };
      for (const [address, why] of [
        [`127.0.0.1:${await deadPort()}`, 'connect-failed'],
        [silent.address, 'connect-timeout'],
      ] as const) {
        const other = await startGateway(io, [address], { service: '    connectTimeout: 200ms' });
        const caller = new GrpcClient(other.port('edge'));
        const { status: end } = await caller.unary(Buffer.from('a'));
        assert.deepEqual([end.code, end.details], [status.UNAVAILABLE, `sluice: ${why}`]);
        caller.close();
        await other.stop();
      }
      await silent.close();
    });
  });
}
