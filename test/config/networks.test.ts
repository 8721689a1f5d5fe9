import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inNetworks, parseNetwork } from '../../src/config/networks.js';

test('a network has the addresses of its range and no other', () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3'], ['9.255.255.255', '11.0.0.0', '::a00:1']],
    ['10.1.2.3', ['10.1.2.3'], ['10.1.2.2', '10.1.2.4']],
    ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255'], ['::1']],
    ['fd00::/8', ['fd00::', 'fdff::1', 'fd12::1%eth0'], ['fe00::', '10.0.0.1']],
    ['::1', ['::1'], ['::2', '127.0.0.1']],
    ['::ffff:10.0.0.0/104', ['10.0.0.1', '::ffff:10.0.0.1'], ['11.0.0.1']],
  ];
  for (const [text, inside, outside] of cases) {
    const networks = [parseNetwork(text)];
    for (const host of inside) assert.equal(inNetworks(networks, host), true, `${host} in ${text}`);
    for (const host of outside) assert.equal(inNetworks(networks, host), false, `${host} in ${text}`);
  }
  assert.equal(inNetworks([], '10.0.0.1'), false);
  assert.equal(inNetworks([parseNetwork('10.0.0.0/8')], 'nobody'), false);
});

test('what is no network is refused, with what to write instead', () => {
  for (const [input, message] of [
    ['10.0.0.1/8', /bits set beyond its prefix of 8; write "10\.0\.0\.0\/8"/],
    ['10.0.0.0/33', /"\/33" is not a prefix length of IPv4; write \/0 to \/32/],
    ['10.0.0.0/x', /not a prefix length of IPv4/],
    ['10.0.0.0/8/8', /not a numeric address or range/],
    ['10.0.0.0:80', /not a numeric address or range/],
    ['localhost', /not a numeric address or range/],
    ['', /write a network such as/],
    [8, /write a network such as/],
  ] as const)
    assert.throws(() => parseNetwork(input), { name: 'ValueError', message }, String(input));
});
