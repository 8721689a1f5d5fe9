// A sidecar that is asked to end before its application has: nobody comes in any more, and what the application dials is served until it is
// gone. In a network namespace of their own, where the two are the only ones.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Namespace, Program } from '../support/namespaces.js';
import { availableExecutors, startSluice } from '../support/sluice.js';

const made = Namespace.make('out');
const why = typeof made === 'string' ? made : '';
const INSIDE = typeof made === 'string' ? [] : made.inside;
after(() => {
  if (typeof made !== 'string') made.remove();
});

/** An application that serves, and asks for a port on command: it says the status and what the response says of its connection. */
const APPLICATION = `
const http = require('node:http');
const agent = new http.Agent({ keepAlive: true });
const server = http.createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1', () => console.log(server.address().port));
require('node:readline').createInterface(process.stdin).on('line', (port) => {
  http.get({ host: '127.0.0.1', port, agent }, (response) => {
    response.resume().on('end', () => console.log(response.statusCode, response.headers.connection ?? 'open'));
  }).on('error', (error) => console.log(error.code));
});
`;

const yaml = (port: number, grace: string): string => `
drain: { hold: 0s, grace: ${grace}, outbound: last }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: application }
  - { name: out, listen: "127.0.0.1:0", service: application, direction: outbound }
services:
  application: { endpoints: ["127.0.0.1:${port}"], pool: { idleTimeout: 60s } }
`;

describe('a drain with drain.outbound: last', {
  skip: why === '' ? false : `a network namespace needs root and ip: ${why}`,
}, async () => {
  for (const io of await availableExecutors()) {
    it(`serves what the application dials until it is gone (${io})`, async () => {
      const application = await Program.start(APPLICATION, INSIDE);
      const sluice = await startSluice(yaml(Number(application.first), '600s'), io, {}, INSIDE);
      assert.equal(await application.ask(`${sluice.port('in')}`), '200 open');
      assert.equal(await application.ask(`${sluice.port('out')}`), '200 open');
      sluice.child.kill('SIGTERM');
      await sluice.logged(({ message }) => message.startsWith('drain: inbound listeners closed'));
      // What was idle at the inbound listener ends by itself; a new connection is refused.
      let refused = await application.ask(`${sluice.port('in')}`);
      while (refused === '200 close') refused = await application.ask(`${sluice.port('in')}`);
      assert.match(refused, /^ECONN(REFUSED|RESET)$/);
      for (let i = 0; i < 3; i++) assert.equal(await application.ask(`${sluice.port('out')}`), '200 open');
      assert.equal(sluice.child.exitCode, null);
      await application.stop();
      assert.equal(await sluice.exited, 0);
    });

    it(`ends with the grace where the application stays (${io})`, async () => {
      const application = await Program.start(APPLICATION, INSIDE);
      const sluice = await startSluice(yaml(Number(application.first), '1s'), io, {}, INSIDE);
      assert.equal(await application.ask(`${sluice.port('out')}`), '200 open');
      sluice.child.kill('SIGTERM');
      await sluice.exited;
      assert.ok(sluice.log.some(({ message }) => message === 'drain: listeners closed; waiting for what is open'));
      await application.stop();
    });
  }
});
