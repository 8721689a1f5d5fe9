// Who is at the other end is in Linkerd's labels: of clients by their certificates, within a bound, and of endpoints by what the
// configuration says. Whatever the labels, each connection and each request is counted once.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { parseMetrics } from '../../src/metrics/parse.js';
import { answering, exchange, OK, type Upstream, upstream } from '../support/http.js';
import { meshName, spiffeName } from '../support/pki.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { listen, type TcpServer } from '../support/tcp.js';
import { FAR, Mesh, startFar, startNear, stopAll } from './mesh-support.js';

const HOST = '127.0.0.1';
const REQUEST = 'GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n';
const LABELS = ['tls', 'no_tls_reason', 'client_id', 'server_id'];
const LOOPBACK = 'no_identity loopback';

for (const io of await availableExecutors()) {
  describe(`the labels of TLS (${io})`, () => {
    let mesh: Mesh;
    let app: Upstream;
    let behind: TcpServer;
    let own: TlsServer;
    let far: Sluice;
    let near: Sluice;

    /** Values of a series of `sluice`, by what its labels say of TLS; those that are 0 are left out. */
    const series = async (sluice: Sluice, name: string, wanted: Readonly<Record<string, string>>) => {
      const found: Record<string, number> = {};
      for (const { name: of, labels, value } of parseMetrics(await sluice.admin('/metrics'))) {
        if (of !== name || value === 0 || !Object.entries(wanted).every(([key, text]) => labels[key] === text))
          continue;
        const key = LABELS.flatMap((label) => labels[label] ?? []).join(' ');
        found[key] = (found[key] ?? 0) + value;
      }
      return found;
    };
    const sum = (counts: Readonly<Record<string, number>>): number =>
      Object.values(counts).reduce((all, one) => all + one, 0);
    /** A request of `account` to the listener of the mesh; without one of somebody who shows no certificate. */
    const ask = async (account: string | null): Promise<void> => {
      const certified = account === null ? null : await mesh.workload(account);
      const keys = certified === null ? {} : { cert: certified.chain, key: certified.key };
      const socket = connectTls({
        host: HOST,
        port: far.port('http'),
        servername: FAR,
        ca: mesh.pki.anchor,
        ...keys,
      });
      socket.on('error', () => undefined);
      let text = '';
      socket.on('data', (data: Buffer) => {
        text += data.toString('latin1');
      });
      socket.once('secureConnect', () => socket.write(REQUEST));
      await once(socket, 'close');
      assert.match(text, /200 OK/);
    };

    before(async () => {
      mesh = await Mesh.make();
      app = await upstream(answering(() => OK));
      behind = await listen((socket) => socket.end('hello'));
      const leaf = await mesh.pki.leaf({ dns: ['app.example'] });
      own = createTlsServer({ key: leaf.key, cert: leaf.chain }, (socket) => socket.end('inside'));
      own.listen(0, HOST);
      await once(own, 'listening');
      far = await startFar(
        mesh,
        io,
        {
          http: { address: app.address },
          tls: { address: `${HOST}:${(own.address() as AddressInfo).port}` },
          skipped: { address: `${HOST}:${behind.port}`, service: 'protocol: opaque' },
        },
        `${await mesh.identity('far')}\nmetrics: { maxIdentities: 2 }`,
      );
      near = await startNear(mesh, io, {
        meshed: { address: `${HOST}:${far.port('http')}`, listener: 'direction: outbound' },
        plain: { address: app.address, endpoint: '', listener: 'direction: outbound' },
        passed: { address: `${HOST}:${far.port('tls')}`, listener: 'direction: outbound' },
      });
    });

    after(async () => {
      await stopAll();
      await app?.close();
      await behind?.close();
      own?.close();
      mesh?.remove();
    });

    it('tell clients apart by their certificates, as many as metrics.maxIdentities', async () => {
      for (const account of ['a', 'b', 'a', 'c', 'd', null]) await ask(account);
      assert.equal((await exchange(far.port('http'), REQUEST)).status, 200);
      const names = [`true ${spiffeName('a')}`, `true ${spiffeName('b')}`];
      const counts = { [names[0]]: 2, [names[1]]: 1, 'true other': 2, true: 1, 'no_identity no_tls_from_remote': 1 };
      const http = { direction: 'inbound', listener: 'http' };
      assert.deepEqual(await series(far, 'tcp_open_total', { ...http, peer: 'src' }), counts);
      assert.deepEqual(await series(far, 'request_total', http), counts);
      assert.equal(sum(await series(far, 'sluice_listener_requests_total', http)), 7);
      await eventually(
        async () => sum(await series(far, 'tcp_close_total', { ...http, peer: 'src' })) === 7,
        'all closed',
      );
      assert.deepEqual(await series(far, 'tcp_close_total', { ...http, peer: 'src', errno: 'ok' }), counts);
      assert.deepEqual(await series(far, 'tcp_open_connections', { ...http, peer: 'src' }), {});
      const read = await series(far, 'tcp_read_bytes_total', { ...http, peer: 'src' });
      assert.equal(read[names[0]], 2 * REQUEST.length);
      assert.ok(read['true other'] === 2 * REQUEST.length && read.true === REQUEST.length, JSON.stringify(read));
    });

    it('say why there was no TLS, and count a client that leaves before it is known', async () => {
      const http = { listener: 'http', peer: 'src' };
      const opened = sum(await series(far, 'tcp_open_total', http));
      const silent = connect(far.port('http'), HOST);
      await once(silent, 'connect');
      await eventually(
        async () => sum(await series(far, 'tcp_open_connections', http)) === 1,
        'the silent one is open',
      );
      assert.equal(sum(await series(far, 'tcp_open_total', http)), opened);
      silent.destroy();
      await eventually(async () => sum(await series(far, 'tcp_open_total', http)) === opened + 1, 'it is counted');
      const skipped = connect(far.port('skipped'), HOST).resume();
      await once(skipped, 'close');
      assert.deepEqual(await series(far, 'tcp_open_total', { listener: 'skipped', peer: 'src' }), {
        'no_identity port_skipped': 1,
      });
      const passed = connectTls({ host: HOST, port: far.port('tls'), servername: 'app.example', ca: mesh.pki.anchor });
      await once(passed.resume(), 'close');
      assert.deepEqual(await series(far, 'tcp_open_total', { listener: 'tls', peer: 'src' }), { opaque: 1 });
    });

    it('name the endpoint that was dialled with TLS, or say why none was', async () => {
      for (const listener of ['meshed', 'plain', 'meshed'])
        assert.equal((await exchange(near.port(listener), REQUEST)).status, 200);
      const passed = connectTls({
        host: HOST,
        port: near.port('passed'),
        servername: 'app.example',
        ca: mesh.pki.anchor,
      });
      await once(passed.resume(), 'close');
      const outbound = (service: string) => ({ direction: 'outbound', service });
      for (const name of ['request_total', 'response_total']) {
        assert.deepEqual(await series(near, name, outbound('meshed')), { [`true ${FAR}`]: 2 }, name);
        assert.deepEqual(await series(near, name, outbound('plain')), { [LOOPBACK]: 1 }, name);
      }
      const dialled = await series(near, 'tcp_open_total', { ...outbound('meshed'), peer: 'dst' });
      assert.deepEqual(Object.keys(dialled), [`true ${FAR}`]);
      assert.deepEqual(await series(near, 'tcp_open_total', { ...outbound('passed'), peer: 'dst' }), { opaque: 1 });
      assert.deepEqual(await series(near, 'tcp_open_total', { direction: 'outbound', peer: 'src' }), { [LOOPBACK]: 4 });
      const name = `true ${spiffeName('near')}`;
      assert.ok(!(name in (await series(far, 'request_total', { listener: 'http' }))), 'two others came first');
    });

    it('change with the configuration', async () => {
      const file = (identity: string) =>
        [
          'drain: { hold: 0 }',
          'listeners: [{ name: meshed, listen: "127.0.0.1:0", service: web }]',
          `services: { web: { endpoints: [{ address: "${HOST}:${(own.address() as AddressInfo).port}"${identity} }] } }`,
          '',
        ].join('\n');
      near.reload(`${await mesh.identity('near')}\n${file(`, identity: ${meshName('other')}`)}`);
      await near.logged(({ message }) => message === 'reloaded');
      assert.equal((await exchange(near.port('meshed'), REQUEST)).status, 502);
      const name = `true ${meshName('other')}`;
      const dialled = await series(near, 'tcp_open_total', { service: 'web', peer: 'dst' });
      assert.deepEqual(Object.keys(dialled), [name]);
    });
  });
}
