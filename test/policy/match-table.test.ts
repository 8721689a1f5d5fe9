import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMatch } from '../../src/config/match.js';
import { MatchTable } from '../../src/policy/match-table.js';
import { service } from './fixture.js';

const table = (entries: Record<string, readonly string[]>): MatchTable =>
  new MatchTable(Object.entries(entries).map(([name, match]) => service(name, [], { match: match.map(parseMatch) })));

describe('the table of matches', () => {
  it('knows the service of an address and port', () => {
    const matches = table({
      db: ['10.0.0.0/8:5432', '[fd00::/64]:5432'],
      web: ['10.1.2.3:80', '10.1.2.4:80', '[fd00::1]:80', '0.0.0.0/0:8080'],
      none: [],
    });
    const who = (host: string, port: number) => matches.lookup(host, port)?.service.name ?? null;
    assert.equal(who('10.255.255.255', 5432), 'db');
    assert.equal(who('10.0.0.0', 5432), 'db');
    assert.equal(who('11.0.0.0', 5432), null);
    assert.equal(who('9.255.255.255', 5432), null);
    assert.equal(who('10.1.2.3', 5433), null);
    assert.equal(who('10.1.2.3', 80), 'web');
    assert.equal(who('10.1.2.4', 80), 'web');
    assert.equal(who('10.1.2.5', 80), null);
    assert.equal(who('fd00::ffff', 5432), 'db');
    assert.equal(who('fd00:0:0:1::', 5432), null);
    assert.equal(who('FD00:0::1', 80), 'web');
    assert.equal(who('255.255.255.255', 8080), 'web');
    assert.equal(who('::1', 8080), null);
    assert.equal(who('::ffff:10.1.2.3', 80), 'web', 'a socket of both families tells IPv4 this way');
    assert.equal(who('name.example', 80), null);
    assert.equal(matches.lookup('10.1.2.4', 80)?.range.text, '10.1.2.4:80');
  });

  it('knows nothing where there is nothing', () => {
    assert.equal(table({}).lookup('10.0.0.1', 80), null);
  });

  it('finds each of 50,000 entries, and nothing between them', () => {
    const entries: Record<string, string[]> = {};
    for (let i = 0; i < 5000; i++) {
      entries[`s${i}`] = Array.from({ length: 10 }, (_, j) => `10.${i >> 8}.${i & 255}.${j * 2}:80`);
    }
    const matches = table(entries);
    for (let i = 0; i < 5000; i += 7) {
      assert.equal(matches.lookup(`10.${i >> 8}.${i & 255}.8`, 80)?.service.name, `s${i}`);
      assert.equal(matches.lookup(`10.${i >> 8}.${i & 255}.9`, 80), null);
    }
  });
});
