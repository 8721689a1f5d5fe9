import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressBits, formatBits, plainAddressBits } from '../../src/config/addresses.js';
import { parseMatch } from '../../src/config/match.js';
import { overlappingMatches } from '../../src/config/match-checks.js';
import { ValueError } from '../../src/config/values.js';
import { runs } from '../support/runs.js';
import { complaint, complaints, LISTENERS, load } from './support.js';

const services = (text: string): string => `${LISTENERS}services:\n  web: { endpoints: ["a:1"] }\n${text}`;
const match = (entry: string): string => services(`  db: { endpoints: ["a:1"], match: [${entry}] }\n`);

test('addresses become bits and bits addresses again', () => {
  assert.deepEqual(addressBits('10.0.0.255'), { family: 4, hex: '0a0000ff' });
  assert.deepEqual(addressBits('::'), { family: 6, hex: '0'.repeat(32) });
  assert.deepEqual(addressBits('FD00::1'), { family: 6, hex: 'fd000000000000000000000000000001' });
  assert.deepEqual(addressBits('1:2:3:4:5:6:7:8'), { family: 6, hex: '00010002000300040005000600070008' });
  assert.deepEqual(addressBits('::ffff:10.0.0.1'), { family: 6, hex: '00000000000000000000ffff0a000001' });
  assert.deepEqual(plainAddressBits('::ffff:10.0.0.1'), { family: 4, hex: '0a000001' });
  for (const none of ['name', '', '10.0.0', '[::1]', 'fe80::1%eth0']) assert.equal(addressBits(none), null);
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const bits = addressBits(text);
      assert.ok(bits !== null, text);
      assert.deepEqual(addressBits(formatBits(bits)), bits);
    }),
    { numRuns: runs(300) },
  );
});

test('an entry is an address or a range of one port', () => {
  const parse = (text: string) => {
    const { family, prefix, port, first, last } = parseMatch(text);
    return [family, prefix, port, first, last];
  };
  assert.deepEqual(parse('10.1.2.3:80'), [4, 32, 80, '400500a010203', '400500a010203']);
  assert.deepEqual(parse('10.0.0.0/8:5432'), [4, 8, 5432, '415380a000000', '415380affffff']);
  assert.deepEqual(parse('0.0.0.0/0:65535'), [4, 0, 65_535, '4ffff00000000', '4ffffffffffff']);
  assert.deepEqual(parse('[fd00::1]:80'), [6, 128, 80, `60050fd00${'0'.repeat(27)}1`, `60050fd00${'0'.repeat(27)}1`]);
  assert.deepEqual(parse('[fd00::/64]:443'), [
    6,
    64,
    443,
    `601bbfd00${'0'.repeat(28)}`,
    `601bbfd00${'0'.repeat(12)}${'f'.repeat(16)}`,
  ]);
  assert.deepEqual(parse('[::/0]:80'), [6, 0, 80, `60050${'0'.repeat(32)}`, `60050${'f'.repeat(32)}`]);
});

test('IPv4 within IPv6 is IPv4', () => {
  const same = (a: string, b: string) => {
    const { text: _, ...first } = parseMatch(a);
    const { text: __, ...second } = parseMatch(b);
    assert.deepEqual(first, second);
  };
  same('[::ffff:10.0.0.1]:80', '10.0.0.1:80');
  same('[::ffff:10.0.0.0/104]:80', '10.0.0.0/8:80');
  same('[::ffff:a00:0/104]:80', '10.0.0.0/8:80');
});

test('what cannot be meant is refused with what to write instead', () => {
  const cases: [unknown, RegExp][] = [
    ['10.0.0.1', /^"10\.0\.0\.1" has no port; write "10\.0\.0\.1:80"$/],
    ['10.0.0.0/8', /has no port; write "10\.0\.0\.0\/8:80"$/],
    ['[fd00::1]', /has no port; write "\[fd00::1\]:80"$/],
    ['10.0.0.1:', /^"" is not a port; write a number from 1 to 65535$/],
    ['10.0.0.1:0', /^"0" is not a port; write a number from 1 to 65535$/],
    ['10.0.0.1:65536', /^"65536" is not a port/],
    ['10.0.0.1:*', /^"\*" is not a port/],
    ['10.0.0.1:http', /^"http" is not a port/],
    ['10.0.0.1:80:80', /^"10\.0\.0\.1:80:80" names two ports; write one entry for each port$/],
    ['[fd00::1]:80:81', /names two ports/],
    [
      '10.1.0.0/8:80',
      /^"10\.1\.0\.0\/8:80" has bits set beyond its prefix of 8; write "10\.0\.0\.0\/8:80" for the range/,
    ],
    ['[fd00::1/64]:443', /has bits set beyond its prefix of 64; write "\[fd00::\/64\]:443" for the range/],
    ['[::ffff:10.0.0.0/80]:443', /has bits set beyond its prefix of 80/],
    ['10.0.0.0/33:80', /"\/33" is not a prefix length of IPv4; write \/0 to \/32$/],
    ['10.0.0.0/:80', /"\/" is not a prefix length of IPv4/],
    ['10.0.0.0/-1:80', /"\/-1" is not a prefix length of IPv4/],
    ['[fd00::/129]:80', /"\/129" is not a prefix length of IPv6; write \/0 to \/128$/],
    ['10.0.0.0:80/8', /has its prefix after the port; write "10\.0\.0\.0\/8:80"$/],
    ['[fd00::]/64:443', /has its prefix outside the brackets; write "\[fd00::\/64\]:443"$/],
    ['[fd00::]/64', /write "\[fd00::\/64\]:443"$/],
    ['db.example:80', /"db\.example" is not a numeric address; write one that clients connect to/],
    ['localhost:80', /"localhost" is not a numeric address/],
    ['010.0.0.1:80', /"010\.0\.0\.1" is not a numeric address/],
    ['10.0.0:80', /is not a numeric address/],
    [':80', /"" is not a numeric address/],
    ['::1:80', /is ambiguous; put the IPv6 address in brackets/],
    ['fd00::/64:80', /put the IPv6 address in brackets/],
    ['[10.0.0.1]:80', /has no IPv6 address in its brackets; remove them$/],
    ['[]:80', /is not a numeric address/],
    ['[fe80::1%eth0]:80', /names an interface, which is not supported; remove the % part$/],
    ['http://10.0.0.1:80', /is a URL; write address and port only/],
    ['', /^found ""; write an address or a range, and a port/],
    [80, /^found 80; write an address or a range, and a port, such as "10\.0\.0\.0\/8:5432"/],
    [null, /^found nothing; write an address/],
  ];
  for (const [input, expected] of cases) {
    assert.throws(
      () => parseMatch(input),
      (error: unknown) => {
        assert.ok(error instanceof ValueError, String(error));
        assert.match(error.message, expected, String(input));
        return true;
      },
    );
  }
});

test('a mistake in match has its place in the file', () => {
  assert.deepEqual(complaints(match('"10.1.2.3:80", "10.0.0.0/8"')), [
    '4:52 services.db.match[1]: "10.0.0.0/8" has no port; write "10.0.0.0/8:80"',
  ]);
  assert.match(complaint(match('"10.1.2.3:80", 5')), /^services\.db\.match\[1\]: found 5/);
  assert.match(
    complaint(services('  db: { endpoints: ["a:1"], match: "10.0.0.1:80" }\n')),
    /^services\.db\.match: found "10\.0\.0\.1:80"; write a list such as \["10\.0\.0\.0\/8:5432"\]$/,
  );
  assert.match(
    complaints(match('[fd00::/64]:80'))[0],
    /found a map; put each entry in quotes, as YAML takes brackets for a list/,
  );
});

test('entries that overlap are refused, with both keys and lines', () => {
  assert.deepEqual(
    complaints(
      services(`  db: { endpoints: ["a:1"], match: ["10.1.0.0/16:80", "[fd00::/64]:80"] }
  big: { endpoints: ["a:1"], match: ["11.0.0.0/8:80", "10.0.0.0/8:80"] }
  six: { endpoints: ["a:1"], match: ["[fd00::5]:80"] }
`),
    ),
    [
      '5:55 services.big.match[1]: "10.0.0.0/8:80" overlaps services.db.match[0] ("10.1.0.0/16:80", line 4); each address and port may be matched only once',
      '6:38 services.six.match[0]: "[fd00::5]:80" overlaps services.db.match[1] ("[fd00::/64]:80", line 4); each address and port may be matched only once',
    ],
  );
  assert.match(
    complaint(match('"10.0.0.1:80", "[::ffff:10.0.0.1]:80"')),
    /^services\.db\.match\[1\]: "\[::ffff:10\.0\.0\.1\]:80" is listed twice, first as services\.db\.match\[0\] \("10\.0\.0\.1:80", line 4\); remove one$/,
  );
  assert.match(
    complaint(
      services(
        '  a: { endpoints: ["a:1"], match: ["10.0.0.1:80"] }\n  b: { endpoints: ["a:1"], match: ["10.0.0.1:80"] }\n',
      ),
    ),
    /^services\.b\.match\[0\]: "10\.0\.0\.1:80" is taken by services\.a\.match\[0\] \("10\.0\.0\.1:80", line 4\); keep one of the two$/,
  );
});

test('neighbours, other ports and other families do not overlap', () => {
  const config = load(
    match(
      '"10.0.0.0/9:80", "10.128.0.0/9:80", "10.0.0.0/8:81", "0.0.0.0/0:82", "[::/0]:82", "[fd00::1]:80", "10.0.0.1:1"',
    ),
  );
  assert.equal(config.services[1].match.length, 7);
});

test('each of many overlaps within one range is found, and a flood of them is cut short', () => {
  const line = () => 1;
  const inside = Array.from({ length: 5 }, (_, i) => `10.0.0.${i}:80`);
  assert.equal(overlappingMatches([['a', ['10.0.0.0/8:80', ...inside]]], line).length, 5);
  assert.equal(overlappingMatches([['a', [...inside, '10.0.0.0/8:80', '10.1.0.0:80']]], line).length, 6);
  const flood = Array.from({ length: 1000 }, () => '10.0.0.1:80');
  const findings = overlappingMatches([['a', flood]], line);
  assert.equal(findings.length, 21);
  assert.equal(findings.at(-1)?.message, '979 more entries of match overlap');
});

test('overlaps are found exactly where two entries share an address and a port', () => {
  const entry = fc
    .record({ address: fc.nat(255), prefix: fc.integer({ min: 26, max: 32 }), port: fc.integer({ min: 1, max: 2 }) })
    .map(({ address, prefix, port }) => {
      const size = 2 ** (32 - prefix);
      const low = Math.floor(address / size) * size;
      return { text: `10.0.0.${low}/${prefix}:${port}`, low, high: low + size - 1, port };
    });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
      const clash = entries.some((a, i) =>
        entries.some((b, j) => i < j && a.port === b.port && a.low <= b.high && b.low <= a.high),
      );
      const found = overlappingMatches([['s', entries.map(({ text }) => text)]], () => 1);
      assert.equal(found.length > 0, clash);
    }),
    { numRuns: runs(300) },
  );
});
