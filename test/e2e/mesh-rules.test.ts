// Rules that a controller tells: they hold as if the file had them, until they are taken back.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { MadeUpCluster, type Served, serveDestinations } from '../support/destination.js';
import { MadeUpRules } from '../support/made-up-rules.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

for (const io of (await availableExecutors()).slice(0, 1)) {
  describe(`rules of the mesh on ${io}`, () => {
    const rules = new MadeUpRules();
    let controller: Served;
    let application: Server;
    let sluice: Sluice;

    const status = (path = '/'): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port: sluice.port('in'), path, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end();
      });
    const becomes = (wanted: number, path = '/'): Promise<void> =>
      eventually(async () => (await status(path)) === wanted, `${path} is answered with ${wanted}`);
    const rule = (section: object | string | null): void => {
      const json = typeof section === 'string' ? section : JSON.stringify(section);
      rules.rule('shop', '', section === null ? null : { key: 'shop', json });
    };

    before(async () => {
      controller = await serveDestinations(new MadeUpCluster(), { rules });
      application = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
      await once(application, 'listening');
      const yaml = `
sidecar: { namespace: shop, pod: web-1, node: one }
destination: { address: "127.0.0.1:${controller.port}" }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: app }
services:
  app: { endpoints: ["127.0.0.1:${(application.address() as AddressInfo).port}"] }
`;
      sluice = await startSluice(yaml, io);
    });
    after(async () => {
      await sluice.stop();
      application.close();
      await controller.server.close();
    });

    it('hold as soon as they are told, and no longer than they are', async () => {
      assert.equal(await status(), 200);
      rule({ rules: [{ name: 'private', action: 'deny', pathPrefix: '/private' }] });
      await becomes(403, '/private/x');
      assert.equal(await status(), 200);
      rule({ default: 'deny', rules: [{ name: 'public', path: '/public' }] });
      await becomes(403);
      assert.equal(await status('/public'), 200);
      rule(null);
      await becomes(200);
    });

    it('stay as they were where nothing can be made of what is told', async () => {
      rule({ rules: [{ name: 'all', action: 'deny', pathPrefix: '/' }] });
      await becomes(403);
      for (const wrong of [{ default: 'nobody' }, '{', '"text"']) {
        const refused = sluice.log.filter(({ message }) => message.startsWith('reload refused')).length;
        rule(wrong);
        await eventually(
          () => sluice.log.filter(({ message }) => message.startsWith('reload refused')).length > refused,
          'they are refused',
        );
        assert.equal(await status(), 403);
      }
      const problems = sluice.log.filter(({ message }) => message === 'configuration problem');
      assert.match(String(problems[0]?.problem), /^controller: rules of the mesh, key shop: /);
      rule(null);
      await becomes(200);
    });
  });
}
