import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshRules } from '../../src/controller/mesh-rules.js';
import type { StoredObject } from '../../src/controller/objects.js';
import type { AccountRules } from '../../src/controller/rule-sections.js';
import { decodeRules, encodeRules } from '../../src/destination/rules-message.js';

function setUp() {
  const stored: { object: StoredObject | null; failure: Error | null } = { object: null, failure: null };
  const looks: [boolean, number][] = [];
  const warnings: string[] = [];
  const asked: string[] = [];
  const rules = new MeshRules({
    namespace: 'sluice',
    pollMs: 1000,
    objects: {
      get: async (path) => {
        asked.push(path);
        if (stored.failure !== null) throw stored.failure;
        return stored.object;
      },
    },
    logger: { info: () => undefined, warn: (message) => warnings.push(message) },
    looked: (ok, wrong) => looks.push([ok, wrong]),
  });
  const store = (version: string, data: unknown) => {
    stored.object = { metadata: { resourceVersion: version }, data };
  };
  return { rules, stored, store, looks, warnings, asked };
}

/** What somebody was told. */
function told(rules: MeshRules, namespace: string, account: string) {
  const reports: (AccountRules | null)[] = [];
  const watch = rules.watch(namespace, account, (ruling) => reports.push(ruling));
  return { reports, stop: () => watch.stop() };
}

describe('rules of the mesh in a ConfigMap', () => {
  it('are told once they are known, and when they change for who asks', async () => {
    const { rules, store, asked } = setUp();
    store('1', { shop: 'default: deny' });
    const shop = told(rules, 'shop', 'web');
    assert.deepEqual(shop.reports, []);
    await rules.look();
    const deny = { key: 'shop', json: '{"default":"deny"}' };
    assert.deepEqual(shop.reports, [deny]);
    assert.deepEqual(asked, ['/api/v1/namespaces/sluice/configmaps/sluice-authorization']);
    const bank = told(rules, 'bank', 'web');
    assert.deepEqual(bank.reports, [null]);
    store('2', { shop: 'default: deny', bank: 'default: audit' });
    await rules.look();
    assert.deepEqual(shop.reports, [deny]);
    assert.deepEqual(bank.reports, [null, { key: 'bank', json: '{"default":"audit"}' }]);
    bank.stop();
    store('3', {});
    await rules.look();
    assert.deepEqual(shop.reports, [deny, null]);
    assert.equal(bank.reports.length, 2);
  });

  it('are none where there is no ConfigMap', async () => {
    const { rules, looks } = setUp();
    const shop = told(rules, 'shop', 'web');
    await rules.look();
    assert.deepEqual(shop.reports, [null]);
    assert.equal(rules.problem, null);
    assert.deepEqual(looks, [[true, 0]]);
  });

  it('hold on while they can’t be read, and where what is written is wrong', async () => {
    const { rules, store, stored, looks, warnings } = setUp();
    store('1', { shop: 'default: deny' });
    const shop = told(rules, 'shop', 'web');
    await rules.look();
    stored.failure = new Error('403 Forbidden');
    await rules.look();
    await rules.look();
    assert.match(rules.problem ?? '', /can't be read.*403 Forbidden/);
    stored.failure = null;
    store('2', { shop: 'default: nobody' });
    await rules.look();
    assert.match(rules.problem ?? '', /shop: ConfigMap sluice\/sluice-authorization shop:1:\d+: default: /);
    await rules.look();
    assert.notEqual(rules.problem, null);
    assert.equal(shop.reports.length, 1);
    assert.equal(warnings.length, 2);
    store('3', 'no map');
    await rules.look();
    assert.equal(rules.problem, null);
    assert.deepEqual(shop.reports.at(-1), null);
    assert.deepEqual(looks, [
      [true, 0],
      [false, 0],
      [false, 0],
      [true, 1],
      [true, 1],
      [true, 0],
    ]);
  });

  it('come over the wire as they are', () => {
    const ruling = { key: 'shop.web', json: '{"default":"deny","rules":[{"name":"ü"}]}' };
    assert.deepEqual(decodeRules(encodeRules(ruling)), ruling);
    assert.equal(decodeRules(encodeRules(null)), null);
    assert.throws(() => decodeRules(Buffer.from([0x0a, 0x05, 0x61])), /./);
  });
});
