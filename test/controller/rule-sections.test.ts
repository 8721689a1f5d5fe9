import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RuleSections } from '../../src/controller/rule-sections.js';

const FILE = 'ConfigMap sluice/sluice-authorization';

function bookOf(data: Readonly<Record<string, unknown>>): RuleSections {
  const book = new RuleSections();
  assert.deepEqual(book.update(FILE, data), []);
  return book;
}

describe('rules of a mesh', () => {
  it('are those of the account, or else of its namespace, or else of everybody', () => {
    const book = bookOf({
      _default: 'default: all-authenticated',
      shop: 'default: deny',
      'shop.web': 'default: audit',
      'shop.web.v2': 'default: cluster-authenticated',
      default: 'default: all-unauthenticated',
    });
    const keys = [
      ['shop', 'web'],
      ['shop', 'web.v2'],
      ['shop', 'cart'],
      ['default', 'web'],
      ['bank', 'web'],
    ].map(([namespace, account]) => book.of(namespace, account)?.key);
    assert.deepEqual(keys, ['shop.web', 'shop.web.v2', 'shop', 'default', '_default']);
    assert.equal(book.of('shop', 'web')?.json, '{"default":"audit"}');
  });

  it('are none where nobody has written any', () => {
    assert.equal(new RuleSections().of('shop', 'web'), null);
    assert.equal(bookOf({ shop: 'default: deny' }).of('bank', 'web'), null);
  });

  it('are the whole section, in YAML or JSON', () => {
    const rules = [{ name: 'web', identities: ['*.shop.serviceaccount.identity.sluice.cluster.local'], ports: [8080] }];
    assert.deepEqual(JSON.parse(bookOf({ shop: JSON.stringify({ rules }) }).of('shop', 'web')?.json ?? ''), { rules });
  });

  it('stay as they were where the new ones are wrong, and say where', () => {
    const book = bookOf({ shop: 'default: deny', bank: 'default: deny' });
    const problems = book.update(FILE, { shop: 'default: deny\nrules:\n  - { name: web, ports: [0] }', bank: '{' });
    assert.deepEqual(
      problems.map(({ key }) => key),
      ['shop', 'bank'],
    );
    assert.match(problems[0].message, /^ConfigMap sluice\/sluice-authorization shop:3:\d+: rules\[0\]\.ports\[0\]: /);
    assert.match(problems[1].message, /^ConfigMap sluice\/sluice-authorization bank:1:/);
    assert.equal(book.of('shop', 'web')?.json, '{"default":"deny"}');
    assert.equal(book.of('bank', 'web')?.json, '{"default":"deny"}');
  });

  it('are gone with their key', () => {
    const book = bookOf({ shop: 'default: deny', bank: 'default: deny' });
    book.update(FILE, { bank: 'default: deny' });
    assert.equal(book.of('shop', 'web'), null);
    book.update(FILE, null);
    assert.equal(book.of('bank', 'web'), null);
  });

  it('name keys that nobody is asked for by, and what is not a string', () => {
    const problems = new RuleSections().update(FILE, {
      Shop: 'default: deny',
      '..': 'x',
      bank: 3,
      empty: '',
      'a.b_c': '',
    });
    assert.deepEqual(
      problems.map(({ key }) => key),
      ['Shop', '..', 'bank', 'empty', 'a.b_c'],
    );
    for (const { message } of problems) assert.match(message, /names nobody|is not a string|is empty/);
  });
});
