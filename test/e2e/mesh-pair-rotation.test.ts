// Certificates and trust anchors of two Sluices are replaced while requests and bytes go through both: nothing of it fails, and who has
// only the old anchor's word is refused in the end.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent, createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { type Http2Endpoint, http2Endpoint, type Load, load } from '../support/http2.js';
import { Pki } from '../support/pki.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { dial, listen, readAll, type TcpServer } from '../support/tcp.js';
import { FAR, Mesh, startFar, startNear, stopAll } from './mesh-support.js';

/** Asks again and again until it is stopped; all that isn't right is a failure. */
class Asking {
  readonly failures: string[] = [];
  count = 0;
  #running = true;
  readonly #done: Promise<void>;

  constructor(ask: () => Promise<void>) {
    this.#done = (async () => {
      while (this.#running) {
        try {
          await ask();
          this.count++;
        } catch (error) {
          this.failures.push(String(error));
        }
      }
    })();
  }

  stop(): Promise<void> {
    this.#running = false;
    return this.#done;
  }
}

const http1 = (port: number, agent: Agent) => (): Promise<void> =>
  new Promise((resolve, reject) => {
    get({ port, agent, host: '127.0.0.1' }, (response) => {
      response
        .resume()
        .once('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`))));
    }).once('error', reject);
  });

const echo = (port: number) => async (): Promise<void> => {
  const socket = await dial(port);
  socket.end('\u0000bytes');
  assert.equal((await readAll(socket)).toString(), '\u0000bytes');
};

for (const io of await availableExecutors())
  describe(`identities of a pair are replaced under load (${io})`, () => {
    let mesh: Mesh;
    let web: Server;
    let h2: Http2Endpoint;
    let bytes: TcpServer;
    let far: Sluice;
    let near: Sluice;
    let next: Pki;
    let loads: { readonly failures: string[]; stop(): Promise<void> }[];
    let counts: () => number[];
    const agent = new Agent({ keepAlive: true });

    const taken = (of: Sluice): Promise<number> => of.metric('control_identity_cert_refreshes_total', { result: 'ok' });
    /** Has both take what `change` writes. */
    async function step(change: () => Promise<unknown>): Promise<void> {
      const both = [near, far] as const;
      const before = await Promise.all(both.map(taken));
      await change();
      await eventually(
        async () => (await Promise.all(both.map(taken))).every((now, at) => now > before[at]),
        'both take it',
      );
      const done = counts();
      await eventually(() => counts().every((now, at) => now > done[at] + 3), 'requests go on');
    }
    const leaves = (pki: Pki): Promise<unknown> =>
      Promise.all([mesh.identity('near', {}, pki), mesh.identity('far', {}, pki)]);

    before(async () => {
      mesh = await Mesh.make();
      next = await Pki.make({ name: 'next' });
      web = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
      await once(web, 'listening');
      h2 = await http2Endpoint();
      bytes = await listen((socket) => socket.pipe(socket));
      const ports = { http1: (web.address() as AddressInfo).port, http2: h2.port, bytes: bytes.port };
      const apps = Object.entries(ports);
      far = await startFar(
        mesh,
        io,
        Object.fromEntries(apps.map(([app, at]) => [app, { address: `127.0.0.1:${at}` }])),
      );
      near = await startNear(
        mesh,
        io,
        Object.fromEntries(
          apps.map(([app]) => [app, { address: `127.0.0.1:${far.port(app)}`, endpoint: `identity: ${FAR}` }]),
        ),
      );
      const streams: Load = load(near.port('http2'), 2, 4);
      const asking = [new Asking(http1(near.port('http1'), agent)), new Asking(echo(near.port('bytes')))];
      loads = [streams, ...asking];
      counts = () => [streams.count(), ...asking.map(({ count }) => count)];
    });
    after(async () => {
      await Promise.all((loads ?? []).map((one) => one.stop()));
      await stopAll();
      agent.destroy();
      web?.close();
      await h2?.close();
      await bytes?.close();
      mesh?.remove();
    });

    it('leaves', () => step(() => leaves(mesh.pki)));

    it('the issuer', async () => {
      const reissued = await mesh.pki.reissued('second');
      await step(() => leaves(reissued));
    });

    it('the trust anchor: both are trusted, leaves are from the new one, the old one goes', async () => {
      await step(async () => writeFileSync(mesh.anchors, mesh.pki.anchor + next.anchor));
      await step(() => leaves(next));
      await step(async () => writeFileSync(mesh.anchors, next.anchor));
      assert.equal(await far.metric('sluice_identity_anchors'), 1);
      assert.equal(await near.metric('sluice_identity_anchors'), 1);
    });

    it('and nothing has failed', async () => {
      await Promise.all(loads.map((one) => one.stop()));
      for (const { failures } of loads) assert.deepEqual(failures, []);
    });

    it('who has the word of the old anchor alone is refused', async () => {
      const old = await mesh.pki.workload('near');
      const socket = connectTls({
        port: far.port('bytes'),
        host: '127.0.0.1',
        servername: FAR,
        cert: old.chain,
        key: old.key,
        ca: next.anchor,
        checkServerIdentity: () => undefined,
      });
      const ended = new Promise<string>((resolve) => {
        socket.once('error', ({ message }) => resolve(message));
        socket.once('data', (chunk) => resolve(`data ${chunk}`));
        socket.once('end', () => resolve('end'));
      });
      socket.write('bytes');
      assert.match(await ended, /alert/);
    });
  });
