// Metadata and trailers of 20 KiB with grpc-go on both sides, and servers that take less: one call's head is nobody else's trouble.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startGateway, tearDown } from '../support/gateway.js';
import { availableExecutors } from '../support/sluice.js';
import { type Language, lacking, peerClient, peerServer, stopPeers, type Tally } from './peers.js';

interface Outcome {
  readonly code: string;
  readonly message: string;
  /** Octets of large values that came in them. */
  readonly metadata: number;
  readonly trailers: number;
}
interface Called {
  readonly calls: readonly Outcome[];
  readonly strangers: Tally;
}

const STRANGERS = 10;
const TIMES = 8;
const LARGE = 20 << 10;
/** More than Sluice takes, whatever it was told. */
const HUGE = 300 << 10;

after(tearDown);
after(stopPeers);

for (const io of await availableExecutors()) {
  /** Calls beside strangers, who have to notice nothing; nor may anything be held against the endpoint. */
  const across = async (
    server: readonly [Language, ...string[]],
    calls: readonly (readonly [args: readonly (string | number)[], expected: (outcome: Outcome) => void])[],
  ): Promise<void> => {
    const endpoint = await peerServer(...server);
    const sluice = await startGateway(io, [endpoint.address], { speaks: 'auto' });
    const address = `127.0.0.1:${sluice.port('edge')}`;
    for (const [args, expected] of calls) {
      const seen = await peerClient<Called>('go', 'call', address, '-strangers', STRANGERS, '-times', TIMES, ...args);
      assert.deepEqual([seen.strangers.counts, seen.strangers.said], [{ lived: STRANGERS }, {}], args.join(' '));
      for (const outcome of seen.calls) expected(outcome);
    }
    const usual = await peerClient<Called>('go', 'call', address);
    assert.equal(usual.calls[0]?.code, 'OK');
    assert.equal(await sluice.metric('sluice_endpoint_breaker_opened_total'), 0);
    assert.equal(await sluice.stop(), 0);
    await endpoint.stop();
  };
  const is = (expected: Partial<Outcome>) => (outcome: Outcome) => {
    assert.deepEqual(outcome, { ...outcome, ...expected });
  };

  describe(`gRPC with large heads on ${io}`, { skip: lacking('go') }, () => {
    it('20 KiB of metadata pass in both directions, and of trailers and status messages', () =>
      across(
        ['go', 'serve', 'grpc'],
        [
          [['-send', LARGE], is({ code: 'OK' })],
          [['-metadata', LARGE], is({ code: 'OK', metadata: LARGE })],
          [['-trailers', LARGE], is({ code: 'OK', trailers: LARGE })],
          [
            ['-send', LARGE, '-metadata', LARGE, '-trailers', LARGE],
            is({ code: 'OK', metadata: LARGE, trailers: LARGE }),
          ],
          [['-status', 5, '-message', LARGE], is({ code: 'NotFound', message: `${LARGE} octets` })],
        ],
      ));

    it('what is too large for Sluice fails alone', () =>
      across(
        ['go', 'serve', 'grpc'],
        [
          [['-metadata', HUGE], is({ code: 'ResourceExhausted' })],
          [['-trailers', HUGE], is({ code: 'ResourceExhausted' })],
        ],
      ));

    it('what is too large for grpc-go as server fails alone', () =>
      across(['go', 'serve', 'grpc', '-head', '8192'], [[['-send', 12_000], is({ code: 'ResourceExhausted' })]]));

    it('what is too large for grpc-java as server fails alone', { skip: lacking('java') }, () =>
      across(
        ['java', 'grpc'],
        [
          [['-send', 4000], is({ code: 'OK' })],
          [['-send', 12_000], is({ code: 'ResourceExhausted' })],
        ],
      ),
    );
  });
}
