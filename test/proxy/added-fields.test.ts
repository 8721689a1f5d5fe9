import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONNECTION, writeOwnResponse, writeRequest, writeResponse } from '../../src/http1/write.js';
import { MAX_LISTENERS } from '../../src/metrics/layout.js';
import { ADDED_FIELDS_BYTES, AddedFields } from '../../src/proxy/added-fields.js';
import { MAX_PSEUDONYM } from '../../src/proxy/capacity.js';
import { text } from '../http1/support.js';
import { Bench, type Field, lines, OUT, sameFields, TIMES } from '../translate/support.js';

const FIXED_AT = 600_000;
const EPOCH = Date.UTC(2026, 0, 2, 3, 4, 5);
const RESPONSE: Field[] = [
  [':status', '200'],
  ['server', 'x'],
];
const OF_EPOCH = 'Fri, 02 Jan 2026 03:04:05 GMT';

class World {
  readonly bench = new Bench();
  readonly reactor = { now: 5000 };
  clock = EPOCH;
  fixed = FIXED_AT;
  readonly added: AddedFields;

  constructor(via: string | null, date: boolean) {
    const { bytes } = this.bench;
    const slab = { bytes, fixed: (length: number) => this.take(length) };
    // Client 1 came in at listener 3.
    const connections = { listener: new Int16Array([1, 3]) };
    this.added = new AddedFields({ reactor: this.reactor, slab, connections }, () => this.clock);
    this.added.configure([
      { slot: 1, via: null, date: false },
      { slot: 3, via, date },
    ]);
  }

  response(message: string, client = 1): string | number {
    const { bench, added } = this;
    const head = bench.response(message);
    added.toResponse(head, client);
    return bench.written((at, limit) =>
      writeResponse(bench.bytes, head, at, limit, head.framing, head.contentLength, CONNECTION.NONE),
    );
  }

  listed(fields: readonly Field[], client = 1): Field[] {
    const { bench, added } = this;
    const list = bench.list(fields);
    added.toListedResponse(list, client);
    const size = list.size;
    const all = bench.fields(list);
    assert.equal(
      all.reduce((sum, [name, value]) => sum + 32 + name.length + value.length, 0),
      size,
    );
    assert.ok(list.encodedBound >= size - 32 * all.length);
    return all;
  }

  private take(length: number): number {
    const at = this.fixed;
    this.fixed += (length + 15) & ~15;
    return at;
  }
}

describe('fields that are added', () => {
  it('Via says in which version the message was received, and comes last', () => {
    const { bench, added } = new World('edge', false);
    for (const [version, received] of [
      ['1.0', '1.0'],
      ['1.1', '1.1'],
    ]) {
      const head = bench.request(lines(`GET / HTTP/${version}`, 'Host: a', 'Via: 1.1 x', 'B: c'));
      added.toRequest(head, 1);
      const written = bench.written((at, limit) => writeRequest(bench.bytes, head, at, limit, 0, -1, false));
      assert.equal(written, lines('GET / HTTP/1.1', 'Host: a', 'Via: 1.1 x', 'B: c', `via: ${received} edge`));
    }
    const request: Field[] = [
      [':method', 'GET'],
      ['via', '1.1 x'],
    ];
    for (let i = 0; i < TIMES; i++) {
      const list = bench.list(request);
      added.toListedRequest(list, 1);
      sameFields(bench.fields(list), [...request, ['via', '2.0 edge']]);
      const values = bench.fields(list).filter(([name]) => name === 'via');
      assert.deepEqual(values, [
        ['via', '1.1 x'],
        ['via', '2.0 edge'],
      ]);
    }
  });

  it('Date is that of this second', () => {
    const world = new World(null, true);
    const dated = (date: string): string => lines('HTTP/1.1 200 OK', `date: ${date}`, 'content-length: 0');
    const bare = lines('HTTP/1.1 200 OK', 'content-length: 0');
    world.clock = EPOCH + 250;
    assert.equal(world.response(bare), dated(OF_EPOCH));
    // Until the second is over it is not written anew.
    world.reactor.now += 749;
    world.clock = EPOCH + 5000;
    assert.equal(world.response(bare), dated(OF_EPOCH));
    world.reactor.now += 1;
    assert.equal(world.response(bare), dated('Fri, 02 Jan 2026 03:04:10 GMT'));
    for (let i = 0; i < TIMES; i++)
      sameFields(world.listed(RESPONSE), [...RESPONSE, ['date', 'Fri, 02 Jan 2026 03:04:10 GMT']]);
  });

  it('a response that has one keeps it, and 101 gets none', () => {
    const world = new World(null, true);
    const dated = lines('HTTP/1.1 200 OK', 'DATE: whenever', 'content-length: 0');
    assert.equal(world.response(dated), dated);
    assert.doesNotMatch(String(world.response(lines('HTTP/1.1 103 Early Hints'))), /date/);
    for (let i = 0; i < TIMES; i++)
      sameFields(world.listed([...RESPONSE, ['date', 'x']]), [...RESPONSE, ['date', 'x']]);
  });

  it('each listener has its own; what has no client any more gets nothing', () => {
    const world = new World('edge', true);
    assert.ok(world.added.active);
    const bare = lines('HTTP/1.1 200 OK', 'content-length: 0');
    for (const client of [0, -1]) {
      assert.equal(world.response(bare, client), bare);
      sameFields(world.listed(RESPONSE, client), RESPONSE);
    }
    assert.equal(world.added.dateOf(0), null);
    world.added.configure([{ slot: 3, via: null, date: false }]);
    assert.ok(!world.added.active);
    assert.equal(world.response(bare), bare);
  });

  it('a head without room for more fields stays as it is', () => {
    const world = new World('edge', true);
    const full = lines('HTTP/1.1 200 OK', ...Array.from({ length: 127 }, (_, i) => `a${i}: b`), 'content-length: 0');
    assert.equal(world.response(full), full);
  });

  it('an answer of the proxy’s own takes the line as it is', () => {
    const { bench, added } = new World(null, true);
    const end = writeOwnResponse(bench.bytes, OUT, OUT + 300, 200, 0, null, true, false, added.dateOf(1));
    assert.equal(
      text(bench.bytes, OUT, end),
      lines('HTTP/1.1 200 OK', `date: ${OF_EPOCH}`, 'connection: close', 'content-length: 0'),
    );
  });

  it('takes no more of the slab than it says, whatever the names', () => {
    const world = new World('x'.repeat(MAX_PSEUDONYM), true);
    world.added.configure(
      Array.from({ length: MAX_LISTENERS }, (_, slot) => ({ slot, via: 'y'.repeat(MAX_PSEUDONYM), date: true })),
    );
    assert.ok(world.fixed - FIXED_AT <= ADDED_FIELDS_BYTES);
    assert.match(String(world.response(lines('HTTP/1.1 200 OK', 'content-length: 0'))), /via: 1\.1 y{64}\r\n/);
  });
});
