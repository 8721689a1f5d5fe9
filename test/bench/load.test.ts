import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseH2load } from '../../bench/load.js';

function report(requests: string, status: string): string {
  return `starting benchmark...
Application protocol: h2c

finished in 1.51s, 32.00 req/s, 588.01MB/s
requests: ${requests}
status codes: ${status}
traffic: 1.15GB (1233151555) total, 4.77KB (4880) headers (space savings 37.76%), 1.15GB (1231827371) data
                     min         max         mean         sd        +/- sd
`;
}

describe("h2load's report", () => {
  it('gives good responses, time and octets of bodies', () => {
    const text = report(
      '64 total, 80 started, 64 done, 64 succeeded, 0 failed, 0 errored, 0 timeout',
      '64 2xx, 0 3xx, 0 4xx, 0 5xx',
    );
    const { responses, bodyBytes } = parseH2load(text);
    assert.deepEqual(responses, { units: 64, errors: 0, seconds: 1.51 });
    assert.equal(bodyBytes, 1231827371);
  });

  it('counts as errors what failed, what ended early and what was no 2xx', () => {
    const errors = (requests: string, status: string) => parseH2load(report(requests, status)).responses.errors;
    assert.equal(
      errors('9 total, 9 started, 9 done, 4 succeeded, 5 failed, 5 errored, 0 timeout', '4 2xx, 0 3xx, 0 4xx, 0 5xx'),
      5,
    );
    assert.equal(
      errors('9 total, 9 started, 9 done, 6 succeeded, 3 failed, 0 errored, 0 timeout', '6 2xx, 0 3xx, 0 4xx, 3 5xx'),
      3,
    );
    assert.equal(
      errors('9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout', '7 2xx, 2 3xx, 0 4xx, 0 5xx'),
      2,
    );
  });

  it('is refused where it is something else', () => {
    assert.throws(() => parseH2load('h2load: not found'), /not a report of h2load/);
  });
});
