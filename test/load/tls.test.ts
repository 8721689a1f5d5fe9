// Loads over TLS, with certificates that are right or not.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { LoadPlan, LoadTls } from '../../src/load/plan.js';
import { UnreachableError } from '../../src/load/run.js';
import { Enough, httpServer, https2Server, httpsServer, loadPlan, runToEnd, target } from '../support/load.js';
import { type Certified, DATES, Pki } from '../support/pki.js';

describe('a load over TLS', () => {
  let pki: Pki;
  let server: Certified;
  let client: Certified;
  before(async () => {
    pki = await Pki.make();
    server = await pki.leaf({ dns: ['shop.test'] });
    client = await pki.leaf({ dns: ['loader.test'] });
  });
  const tls = (more: Partial<LoadTls> = {}): LoadTls => ({
    alpn: [],
    serverName: 'shop.test',
    authorities: pki.anchor,
    certificate: null,
    key: null,
    ...more,
  });
  const two: Partial<LoadPlan> = { protocol: 'http2', streams: 4 };

  for (const keepAlive of [true, false])
    it(`counts answers of HTTP/1 (keep-alive: ${keepAlive})`, async () => {
      const enough = new Enough(40);
      const listening = await httpsServer(
        (_, response) => {
          enough.happened();
          response.end('hello');
        },
        { cert: server.chain, key: server.key },
      );
      const result = await enough.run(loadPlan([target(listening.port)], { tls: tls(), keepAlive }));
      await listening.close();
      assert.deepEqual(result.errors, {});
      assert.ok(result.done >= 32, `${result.done}`);
      assert.ok(result.connect.count >= 4);
    });

  it('counts answers of HTTP/2 to who has a certificate', async () => {
    const enough = new Enough(200);
    const options = {
      cert: server.chain,
      key: server.key,
      ca: pki.anchor,
      requestCert: true,
      rejectUnauthorized: true,
    };
    const listening = await https2Server((_, response) => {
      enough.happened();
      response.end('hello');
    }, options);
    const own = { certificate: client.chain, key: client.key };
    const result = await enough.run(loadPlan([target(listening.port)], { ...two, tls: tls(own) }));
    await listening.close();
    assert.deepEqual(result.errors, {});
    assert.ok(result.done >= 180, `${result.done}`);
  });

  it('does not begin where the certificate is not trusted', async () => {
    const listening = await httpsServer((_, response) => response.end(), { cert: server.chain, key: server.key });
    const stranger = await Pki.make({ name: 'other' });
    for (const [kind, other] of [
      ['name', { serverName: 'bank.test' }],
      ['certificate', { authorities: stranger.anchor }],
    ] as const)
      await assert.rejects(runToEnd(loadPlan([target(listening.port)], { tls: tls(other) })), (error) => {
        assert.ok(error instanceof UnreachableError);
        return error.errors[kind] === 4;
      });
    await listening.close();
  });

  it('begins on whatever certificate, where that is asked for', async () => {
    const expired = await pki.leaf({ dns: ['shop.test'], dates: DATES.expired() });
    const stranger = await (await Pki.make({ name: 'other' })).leaf({ dns: ['elsewhere.test'] });
    for (const { chain, key } of [server, expired, stranger])
      for (const more of [{}, two]) {
        const enough = new Enough(40);
        const asked = new Set<string | undefined>();
        const listening = await https2Server(
          (request, response) => {
            asked.add((request.socket as { servername?: string }).servername);
            enough.happened();
            response.end('hello');
          },
          { cert: chain, key, allowHTTP1: true },
        );
        const insecure = tls({ authorities: null, insecure: true });
        const result = await enough.run(loadPlan([target(listening.port)], { ...more, tls: insecure }));
        await listening.close();
        assert.deepEqual(result.errors, {});
        assert.ok(result.done >= 20, `${result.done}`);
        // The name that it would be for is said all the same.
        assert.deepEqual([...asked], ['shop.test']);
      }
  });

  it('tells a plain port apart, and a server of the other HTTP', async () => {
    const plain = await httpServer((_, response) => response.end());
    await assert.rejects(runToEnd(loadPlan([target(plain.port)], { tls: tls() })), (error) => {
      assert.ok(error instanceof UnreachableError);
      return error.errors.plain === 4;
    });
    await plain.close();
    const one = await httpsServer((_, response) => response.end(), { cert: server.chain, key: server.key });
    await assert.rejects(runToEnd(loadPlan([target(one.port)], { ...two, tls: tls() })), (error) => {
      assert.ok(error instanceof UnreachableError);
      return error.errors.http1 === 4;
    });
    await one.close();
  });
});
