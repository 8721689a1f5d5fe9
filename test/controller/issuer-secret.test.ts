// The mesh's issuer in a Secret: who makes it, who reads it, what is refused, and how it is renewed. Years pass by a clock of our own.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { beforeEach, describe, it } from 'node:test';
import { OWNED, SECRET_KEYS } from '../../src/controller/issuer-material.js';
import { ISSUER_LIFETIMES } from '../../src/controller/issuer-renewal.js';
import { IssuerSecret } from '../../src/controller/issuer-secret.js';
import type { StoredObject } from '../../src/controller/objects.js';
import { OwnCertificate } from '../../src/identity/issuing/own-certificate.js';
import { Pki } from '../support/pki.js';
import { StoredObjects } from '../support/stored-objects.js';

const SECRET = '/api/v1/namespaces/sluice/secrets/sluice-identity-issuer';
const BUNDLE = '/api/v1/namespaces/sluice/configmaps/sluice-identity-trust-roots';
const DAY_MS = 86_400_000;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const text = (secret: StoredObject, key: string): string =>
  Buffer.from((secret.data as Record<string, string>)[key] ?? '', 'base64').toString();
const certificates = (pem: string): X509Certificate[] =>
  pem.match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/g)?.map((one) => new X509Certificate(one)) ?? [];

let objects: StoredObjects;
let now: number;
let said: string[];
let loads: string[];

function replica(own = true): IssuerSecret {
  const log = (message: string, fields?: object): void => {
    said.push(`${message} ${JSON.stringify(fields)}`);
  };
  const logger = { info: log, warn: log, error: log };
  const options = { namespace: 'sluice', own, lifetimes: ISSUER_LIFETIMES, pollMs: 1000 };
  return new IssuerSecret(options, { objects, logger, now: () => now, loaded: (result) => loads.push(result) });
}

/** Whether a certificate of this issuer leads to one of the anchors. */
async function trusts(issuer: IssuerSecret, anchors: string): Promise<boolean> {
  const span = { lifetimeMs: DAY_MS, skewMs: 20_000 };
  const { cert } = await new OwnCertificate(['a.example'], issuer, span, () => now).make();
  const [leaf, ...chain] = certificates(cert);
  const [signer] = chain;
  assert.ok(leaf.verify(signer.publicKey));
  return certificates(anchors).some((anchor) => signer.checkIssued(anchor) && signer.verify(anchor.publicKey));
}

beforeEach(() => {
  objects = new StoredObjects();
  now = Date.now();
  said = [];
  loads = [];
});

describe('the issuer where there is none', () => {
  it('is made, with what proxies trust, and signs', async () => {
    const issuer = replica();
    assert.equal(issuer.present, false);
    assert.match(issuer.unusable() ?? '', /not been read/);
    await issuer.look();
    assert.equal(issuer.unusable(), null);
    assert.equal(issuer.problem, null);
    assert.deepEqual(loads, ['ok']);
    const secret = objects.peek(SECRET);
    assert.equal(secret.type, 'kubernetes.io/tls');
    assert.deepEqual(secret.metadata.labels, OWNED);
    assert.equal((objects.peek(BUNDLE).data as Record<string, string>)['ca-bundle.crt'], issuer.anchors);
    assert.ok(await trusts(issuer, issuer.anchors));
  });

  it('is made once by replicas that begin together', async () => {
    const [one, other] = [replica(), replica()];
    await Promise.all([one.look(), other.look()]);
    await Promise.all([one.look(), other.look()]);
    assert.equal(one.authority.pem, other.authority.pem);
    assert.equal(one.anchors, other.anchors);
    assert.equal(said.filter((line) => line.startsWith('issuer made')).length, 1);
  });

  it('is waited for where somebody else makes it', async () => {
    const issuer = replica(false);
    await issuer.look();
    assert.equal(issuer.present, false);
    assert.match(issuer.problem ?? '', /^Secret sluice\/sluice-identity-issuer does not exist/);
    assert.equal(objects.has(SECRET), false);
    const pki = await Pki.make();
    await given(pki);
    await issuer.look();
    assert.equal(issuer.unusable(), null);
    assert.equal(certificates(issuer.anchors).length, 1);
  });

  it('is asked for again where the API server does not answer', async () => {
    const issuer = replica();
    objects.failure = new Error('connect ECONNREFUSED');
    await issuer.look();
    assert.match(issuer.unusable() ?? '', /ECONNREFUSED/);
    objects.failure = null;
    await issuer.look();
    assert.equal(issuer.unusable(), null);
    objects.failure = new Error('connect ECONNREFUSED');
    await issuer.look();
    assert.equal(issuer.unusable(), null, 'what was read serves on');
    assert.match(issuer.problem ?? '', /ECONNREFUSED/);
  });
});

/** Puts a Secret there as cert-manager does, which owns it. */
async function given(pki: Pki, anchor: string | null = pki.anchor): Promise<void> {
  const { chain, key } = await pki.issuer;
  objects.put(SECRET, {
    type: 'kubernetes.io/tls',
    data: {
      'tls.crt': base64(chain),
      'tls.key': base64(key),
      ...(anchor === null ? {} : { 'ca.crt': base64(anchor) }),
    },
  });
}

describe("somebody else's issuer", () => {
  it('is read again when it changes, and what was trusted goes on to be', async () => {
    const first = await Pki.make({ name: 'first' });
    await given(first);
    const issuer = replica();
    let changes = 0;
    issuer.onChange(() => changes++);
    await issuer.look();
    await issuer.look();
    assert.equal(changes, 1);
    const before = issuer.authority;
    const second = await Pki.make({ name: 'second' });
    await given(second);
    await issuer.look();
    assert.equal(changes, 2);
    assert.notEqual(issuer.authority, before);
    assert.deepEqual(
      certificates(issuer.anchors).map(({ subject }) => subject),
      ['CN=root.first', 'CN=root.second'],
    );
    assert.ok(
      objects.calls.every((call) => call !== `replace ${SECRET}`),
      'the Secret is left alone',
    );
  });

  it('is never renewed by us, however old', async () => {
    await given(
      await Pki.make({ issuerDates: { notBefore: new Date(now - 100 * DAY_MS), notAfter: new Date(now + DAY_MS) } }),
    );
    const issuer = replica();
    await issuer.look();
    await issuer.look();
    assert.equal(issuer.unusable(), null);
    assert.ok(objects.calls.every((call) => call !== `replace ${SECRET}`));
    now += 2 * DAY_MS;
    assert.match(issuer.unusable() ?? '', /^Secret sluice\/sluice-identity-issuer: the issuer expired at /);
  });

  it('is not renewed by us where it has taken the place of our own, and with it our label', async () => {
    const issuer = replica(false);
    await replica().look();
    const { labels } = objects.peek(SECRET).metadata;
    await given(await Pki.make());
    objects.change(SECRET, (secret) => ({ ...secret, metadata: { ...secret.metadata, labels } }));
    const calls = objects.calls.length;
    now += 20 * 3_600_000;
    await issuer.look();
    await issuer.look();
    assert.equal(issuer.unusable(), null);
    assert.ok(objects.calls.slice(calls).every((call) => call !== `replace ${SECRET}`));
    assert.equal(certificates(issuer.anchors).length, 2);
  });

  it('must lead to anchors that somebody else keeps', async () => {
    const pki = await Pki.make({ name: 'mesh' });
    await given(pki, null);
    const issuer = replica();
    await issuer.look();
    assert.match(issuer.problem ?? '', /proxies have no trust anchors/);
    const other = await Pki.make({ name: 'other' });
    objects.put(BUNDLE, { data: { 'ca-bundle.crt': other.anchor } });
    await issuer.look();
    assert.match(
      issuer.problem ?? '',
      /^Secret sluice\/sluice-identity-issuer, key tls\.crt: .* not in ConfigMap sluice\/sluice-identity-trust-roots, key ca-bundle\.crt/,
    );
    objects.put(BUNDLE, { data: { 'ca-bundle.crt': pki.anchor + other.anchor } });
    await issuer.look();
    assert.equal(issuer.problem, null);
    assert.equal(certificates(issuer.anchors).length, 2);
    assert.ok(
      objects.calls.every((call) => !call.startsWith('replace')),
      'and the ConfigMap is left alone',
    );
  });
});

describe('what is wrong is refused by object and key, while what was before stays in use', () => {
  const cases: readonly [
    string,
    (data: Record<string, string>, pki: Pki) => Promise<Record<string, string>>,
    RegExp,
  ][] = [
    ['no key', async ({ 'tls.key': _, ...rest }) => rest, /key tls\.key: is missing/],
    ['no PEM', async (data) => ({ ...data, 'tls.crt': base64('hello') }), /key tls\.crt: has no PEM block/],
    ['mixed up', async (data) => ({ ...data, 'tls.crt': data['tls.key'] }), /key tls\.crt: has a private key/],
    [
      'a leaf',
      async (data, pki) => {
        const leaf = await pki.workload('web');
        return { ...data, 'tls.crt': base64(leaf.chain), 'tls.key': base64(leaf.key) };
      },
      /key tls\.crt: .*is not a CA certificate/,
    ],
    [
      "another's key",
      async (data) => ({ ...data, 'tls.key': base64((await (await Pki.make()).issuer).key) }),
      /key tls\.crt: does not belong to the key/,
    ],
    [
      'an end',
      async (data, pki) => {
        const ended = { notBefore: new Date(now - 2 * DAY_MS), notAfter: new Date(now - DAY_MS) };
        const { chain, key } = await (await pki.reissued('old', ended)).issuer;
        return { ...data, 'tls.crt': base64(chain), 'tls.key': base64(key) };
      },
      /key tls\.crt: expired at .*a new issuer is due/,
    ],
    [
      'anchors that are none',
      async (data) => ({ ...data, 'ca.crt': base64('-----') }),
      /key ca\.crt: has no PEM block/,
    ],
  ];
  for (const [name, spoil, message] of cases)
    it(name, async () => {
      const pki = await Pki.make();
      await given(pki);
      const issuer = replica();
      await issuer.look();
      const before = issuer.authority.pem;
      const good = objects.peek(SECRET);
      objects.put(SECRET, { ...good, data: await spoil(good.data as Record<string, string>, pki) });
      await issuer.look();
      await issuer.look();
      assert.match(issuer.problem ?? '', /^Secret sluice\/sluice-identity-issuer, /);
      assert.match(issuer.problem ?? '', message);
      assert.equal(issuer.authority.pem, before);
      assert.deepEqual(loads, ['ok', 'refused'], 'said once');
      objects.put(SECRET, good);
      await issuer.look();
      assert.equal(issuer.problem, null);
    });

  it('a bundle of our own that somebody has broken is written anew', async () => {
    const issuer = replica();
    await issuer.look();
    const { anchors } = issuer;
    objects.change(BUNDLE, (bundle) => ({ ...bundle, data: { 'ca-bundle.crt': 'nonsense' } }));
    await issuer.look();
    assert.equal(issuer.problem, null);
    assert.equal((objects.peek(BUNDLE).data as Record<string, string>)['ca-bundle.crt'], anchors);
  });
});

describe('the issuer of our own, over the years', () => {
  it('is renewed below the same root, which proxies trust already', async () => {
    const issuer = replica();
    await issuer.look();
    const [before, { anchors }] = [issuer.authority.pem, issuer];
    now += 200 * DAY_MS;
    await issuer.look();
    await issuer.look();
    assert.equal(issuer.authority.pem, before);
    now += 60 * DAY_MS;
    await issuer.look();
    await issuer.look();
    assert.notEqual(issuer.authority.pem, before);
    assert.ok(issuer.authority.notAfter.getTime() > now + 360 * DAY_MS);
    assert.equal(issuer.anchors, anchors);
    assert.ok(await trusts(issuer, anchors));
  });

  it('is renewed where it has ended while nobody was there', async () => {
    await replica().look();
    now += 1000 * DAY_MS;
    const issuer = replica();
    await issuer.look();
    await issuer.look();
    assert.equal(issuer.unusable(), null);
    assert.ok(await trusts(issuer, issuer.anchors));
  });

  it('trusts the next root for years before that signs, and is never without an issuer', async () => {
    const issuer = replica();
    await issuer.look();
    const first = issuer.anchors;
    let publishedMs = 0;
    // Proxies that were injected before the next root was there know the first one only.
    let signsMs = 0;
    for (let day = 0; day < 3600; day += 60) {
      now += 60 * DAY_MS;
      await issuer.look();
      await issuer.look();
      assert.equal(issuer.unusable(), null, `day ${day}`);
      assert.ok(await trusts(issuer, issuer.anchors), `day ${day}`);
      const bundle = certificates(issuer.anchors).length;
      if (publishedMs === 0 && bundle === 2) publishedMs = now;
      if (publishedMs === 0) assert.ok(await trusts(issuer, first));
      if (signsMs === 0 && !(await trusts(issuer, first))) signsMs = now;
    }
    assert.ok(publishedMs > 0 && signsMs - publishedMs > 2 * 365 * DAY_MS, 'the overlap');
    assert.equal(text(objects.peek(SECRET), SECRET_KEYS.nextRoot), '');
    assert.ok(certificates(issuer.anchors).length <= 3);
  });

  it('waits with the next root until somebody who keeps the anchors has put it there', async () => {
    const issuer = replica();
    await issuer.look();
    objects.change(BUNDLE, ({ metadata: { labels: _, ...metadata }, ...bundle }) => ({ ...bundle, metadata }));
    for (let day = 0; day < 3300; day += 110) {
      now += 110 * DAY_MS;
      await issuer.look();
      await issuer.look();
      assert.equal(issuer.unusable(), null);
    }
    const first = issuer.anchors;
    assert.ok(await trusts(issuer, first));
    objects.change(BUNDLE, (bundle) => ({
      ...bundle,
      data: { 'ca-bundle.crt': text(objects.peek(SECRET), SECRET_KEYS.anchors) },
    }));
    await issuer.look();
    await issuer.look();
    assert.ok(!(await trusts(issuer, first)));
    assert.ok(await trusts(issuer, issuer.anchors));
  });

  it('is followed by one of a new root where somebody has removed the key of the root', async () => {
    const issuer = replica();
    await issuer.look();
    const first = issuer.anchors;
    objects.change(SECRET, (secret) => {
      const { [SECRET_KEYS.rootKey]: _, ...data } = secret.data as Record<string, string>;
      return { ...secret, data };
    });
    now += 185 * DAY_MS;
    await issuer.look();
    await issuer.look();
    assert.equal(certificates(issuer.anchors).length, 2);
    assert.ok(await trusts(issuer, first));
    now += 120 * DAY_MS;
    await issuer.look();
    await issuer.look();
    assert.ok(!(await trusts(issuer, first)));
    assert.ok(await trusts(issuer, issuer.anchors));
    assert.equal(issuer.unusable(), null);
  });

  it('is renewed once by replicas that do it together', async () => {
    const [one, other] = [replica(), replica()];
    await one.look();
    await other.look();
    now += 260 * DAY_MS;
    await Promise.all([one.look(), other.look()]);
    await Promise.all([one.look(), other.look()]);
    assert.equal(said.filter((line) => line.startsWith('issuer renewed')).length, 1);
    assert.equal(one.authority.pem, other.authority.pem);
  });
});
