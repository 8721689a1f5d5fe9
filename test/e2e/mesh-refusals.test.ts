// What a listener of the mesh relays, ends and refuses, and what becomes of connections to endpoints that are not who they should be.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ConnectionOptions, connect as connectTls, createServer, type Server, type TLSSocket } from 'node:tls';
import { answering, client, exchange, OK, type Upstream, upstream } from '../support/http.js';
import { Http2Client } from '../support/http2.js';
import { type Certified, Pki } from '../support/pki.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { ended, fate, listen, type TcpServer } from '../support/tcp.js';
import { ech, grease, hello, padding, records, serverName } from '../tls/hellos.js';
import { FAR, Mesh, NEAR, startFar, startNear, stopAll } from './mesh-support.js';

const HOST = '127.0.0.1';
const REQUEST = 'GET / HTTP/1.1\r\nHost: app.example\r\n\r\n';
const TRANSPORT = 'transport.l5d.io/v1';

function header(message: readonly number[]): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([Buffer.from(`${TRANSPORT}\r\n\r\n`), length, Buffer.from(message)]);
}
const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]);
const toPort = (port: number, ...more: number[]): Buffer => header([8, ...varint(port), ...more]);

/** Relays to `port`, `size` octets at a time, until the first `octets` have gone. */
async function inPieces(port: number, size: number, octets: number): Promise<TcpServer> {
  return listen((socket) => {
    const onward = connect(port, HOST);
    onward.setNoDelay(true);
    let left = octets;
    let queue = Promise.resolve();
    socket.on('data', (data: Buffer) => {
      queue = queue.then(async () => {
        for (let at = 0; at < data.length; ) {
          const take = left > 0 ? Math.min(size, left) : data.length - at;
          onward.write(data.subarray(at, at + take));
          at += take;
          left -= take;
          if (left > 0) await new Promise((resolve) => setImmediate(resolve));
        }
      });
    });
    onward.on('data', (data) => socket.write(data));
    onward.on('error', () => socket.destroy());
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  });
}

for (const io of await availableExecutors()) {
  describe(`a listener of the mesh (${io})`, () => {
    let mesh: Mesh;
    let app: Upstream;
    let behind: TcpServer;
    let far: Sluice;
    let peer: Certified;
    /** Request lines that the application got. */
    const versions: string[] = [];
    /** TLS to the listener `name`, which asks for its own name. */
    const secure = async (name: string, options: ConnectionOptions = {}): Promise<TLSSocket> => {
      const socket = connectTls({ host: HOST, port: far.port(name), servername: FAR, ca: mesh.pki.anchor, ...options });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      return socket;
    };
    const asPeer = (more: ConnectionOptions = {}): ConnectionOptions => ({ cert: peer.chain, key: peer.key, ...more });
    const answer = async (socket: TLSSocket): Promise<string> => {
      const chunks: Buffer[] = [];
      for await (const chunk of socket) {
        chunks.push(chunk as Buffer);
        if (Buffer.concat(chunks).includes('ok')) break;
      }
      return Buffer.concat(chunks).toString();
    };
    /** How a connection ends that says `bytes` inside of the opaque transport. */
    const refused = async (bytes: Buffer, options: ConnectionOptions = asPeer()): Promise<void> => {
      // It may be over before this goes on.
      const socket = connectTls({
        host: HOST,
        port: far.port('http'),
        servername: FAR,
        ca: mesh.pki.anchor,
        ALPNProtocols: [TRANSPORT],
        ...options,
      });
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.on('error', () => undefined);
      socket.once('secureConnect', () => socket.write(bytes));
      socket.resume();
      await closed;
    };

    before(async () => {
      mesh = await Mesh.make();
      peer = await mesh.workload('near');
      app = await upstream(
        answering(({ start }) => {
          versions.push(start);
          return OK;
        }),
      );
      behind = await listen();
      far = await startFar(mesh, io, {
        http: { address: app.address },
        any: { address: `${HOST}:${behind.port}`, listener: 'detect: { timeout: 400ms, race: off }' },
      });
    });

    after(async () => {
      await stopAll();
      await app?.close();
      await behind?.close();
      mesh?.remove();
    });

    it('ends TLS that asks for its name, in pieces of any size', async () => {
      for (const size of [1, 7, 300]) {
        const slow = await inPieces(far.port('http'), size, 600);
        const socket = connectTls({
          host: HOST,
          port: slow.port,
          servername: FAR.toUpperCase(),
          ca: mesh.pki.anchor,
          checkServerIdentity: () => undefined,
        });
        await once(socket, 'secureConnect');
        socket.write(REQUEST);
        assert.match(await answer(socket), /200 OK/);
        socket.destroy();
        await slow.close();
      }
    });

    it('serves HTTP/2 and HTTP/1 by ALPN, with a certificate of the client or without', async () => {
      for (const options of [asPeer(), {}]) {
        const one = await secure('http', { ...options, ALPNProtocols: ['http/1.1'] });
        assert.equal(one.alpnProtocol, 'http/1.1');
        assert.equal(one.getProtocol(), 'TLSv1.3');
        one.write(REQUEST);
        assert.match(await answer(one), /200 OK/);
        one.destroy();
        const two = await secure('http', { ...options, ALPNProtocols: ['h2'] });
        assert.equal(two.alpnProtocol, 'h2');
        const peers = await Http2Client.open(far.port('http'), { createConnection: () => two });
        assert.equal((await peers.ask()).status, 200);
        peers.close();
      }
    });

    it('ends TLS that asks for a workload while it has no identity, and relays all other', async () => {
      const none = join(mesh.directory, 'none');
      const files = `{ certificate: ${none}, key: ${none}, anchors: ${none} }`;
      const apps = { any: { address: `${HOST}:${behind.port}`, listener: 'detect: { timeout: 400ms, race: off }' } };
      const name = 'spiffe://example.org/shop/far';
      const nobody = await startFar(mesh, io, apps, `identity: { name: "${name}", files: ${files} }`);
      const before = behind.sockets.length;
      for (const own of [FAR, 'far.shop.example.org']) {
        const asked = connect(nobody.port('any'), HOST);
        asked.write(records(hello([serverName(own)])));
        assert.notEqual(await ended(asked), '', own);
      }
      await nobody.logged(({ message, reason }) => message === 'refused' && reason === 'no-identity');
      assert.equal(behind.sockets.length, before, 'its hello has got through');
      const next = behind.next();
      const other = connect(nobody.port('any'), HOST);
      other.write(records(hello([serverName('app.example')])));
      (await next).destroy();
      other.destroy();
    });

    it('dials nobody for a client that is silent for less than detect.hello', async () => {
      const greeting = await listen((socket) => socket.write('hello\n'));
      const address = `${HOST}:${greeting.port}`;
      const race = (hello: string) => ({ address, listener: `detect: { timeout: 1h, race: 0, hello: ${hello} }` });
      const listeners = await startFar(mesh, io, { patient: race('1h'), hasty: race('0') });
      const patient = connect(listeners.port('patient'), HOST);
      await once(patient, 'connect');
      const hasty = connect(listeners.port('hasty'), HOST);
      assert.equal(String((await once(hasty, 'data'))[0]), 'hello\n');
      assert.equal(greeting.sockets.length, 1);
      patient.destroy();
      hasty.destroy();
      await greeting.close();
    });

    it('relays all other TLS as it is', async () => {
      const long = records(hello([padding(15_000), grease(0x1a1a), serverName('app.example')]));
      const hellos: Readonly<Record<string, Buffer>> = {
        'another name': records(hello([serverName('app.example')])),
        'no name': records(hello([grease(0x2a2a)])),
        'ECH around another name': records(hello([ech(), serverName('outer.example')])),
        '16 KB': long,
        'records of one octet': records(hello([serverName('app.example')]), 1),
        'nothing that is understood': Buffer.concat([Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 9]), Buffer.alloc(20, 7)]),
      };
      for (const [name, bytes] of Object.entries(hellos)) {
        const next = behind.next();
        const socket = connect(far.port('any'), HOST);
        socket.write(bytes);
        const arrived = await next;
        const chunks: Buffer[] = [];
        let length = 0;
        while (length < bytes.length) {
          const [data] = (await once(arrived, 'data')) as [Buffer];
          chunks.push(data);
          length += data.length;
        }
        assert.ok(Buffer.concat(chunks).equals(bytes), name);
        socket.destroy();
      }
      assert.equal(await far.metric('sluice_hellos_unreadable_total'), 1);
      assert.equal(await far.metric('sluice_listener_tls_total', { listener: 'any', tls: 'opaque' }), 6);
      assert.equal((await exchange(far.port('http'), REQUEST)).status, 200);
      const none = { listener: 'http', tls: 'no_identity', no_tls_reason: 'no_tls_from_remote' };
      assert.equal(await far.metric('sluice_listener_tls_total', none), 1);
      assert.ok((await far.metric('sluice_listener_tls_total', { listener: 'http', tls: 'true' })) > 3);
      for (const [sni, count] of [
        ['app.example', 3],
        ['outer.example', 1],
        ['none', 1],
      ] as const)
        await eventually(async () => (await far.metric('sluice_tls_sni_total', { sni })) === count, sni);
      assert.equal(await far.metric('sluice_verdict_total', { listener: 'any', verdict: 'tls', reason: 'matched' }), 6);
    });

    it('relays a hello that stalls when detection has waited for long enough', async () => {
      const next = behind.next();
      const bytes = records(hello([serverName(FAR)])).subarray(0, 60);
      const socket = connect(far.port('any'), HOST);
      socket.write(bytes);
      const [data] = (await once(await next, 'data')) as [Buffer];
      assert.ok(data.equals(bytes));
      assert.equal(await far.metric('sluice_verdict_total', { listener: 'any', verdict: 'tls', reason: 'timeout' }), 1);
      socket.destroy();
    });

    it('believes what HTTP/1 a request was only of peers with a certificate', async () => {
      const fields = { ':path': '/whole', 'l5d-orig-proto': 'HTTP/1.1; absolute-form' };
      for (const options of [asPeer(), {}]) {
        const socket = await secure('http', { ...options, ALPNProtocols: ['h2'] });
        const peers = await Http2Client.open(far.port('http'), { createConnection: () => socket });
        assert.equal((await peers.ask(fields)).status, 200);
        peers.close();
      }
      assert.deepEqual(versions.slice(-2), ['GET http://peers.test/whole HTTP/1.1', 'GET /whole HTTP/1.1']);
    });

    it('takes connections of the opaque transport to the port that they name', async () => {
      const socket = await secure('any', asPeer({ ALPNProtocols: [TRANSPORT] }));
      assert.equal(socket.alpnProtocol, TRANSPORT);
      const bytes = Buffer.concat([toPort(app.port, 0x1a, 2, 0x0a, 0), Buffer.from(REQUEST)]);
      for (const byte of bytes) socket.write(Buffer.of(byte));
      assert.match(await answer(socket), /200 OK/);
      socket.destroy();
      assert.equal(await far.metric('sluice_transport_headers_total'), 1);
      assert.equal(await far.metric('sluice_verdict_total', { listener: 'any', verdict: 'http1', reason: 'hint' }), 1);
    });

    it('refuses those that say no such thing, or say it of its own port, or show no certificate', async () => {
      await refused(Buffer.from(REQUEST));
      await refused(toPort(0));
      await refused(header([8]));
      await refused(toPort(far.port('http')));
      await refused(toPort(app.port), {});
      for (const reason of ['transport-header', 'transport-port', 'transport-loop', 'transport-stranger'])
        await far.logged(({ message, reason: why }) => message === 'refused' && why === reason);
      assert.equal(await far.metric('sluice_transport_header_refused_total'), 5);
      const silent = await secure('any', asPeer({ ALPNProtocols: [TRANSPORT] }));
      silent.resume();
      await far.logged(({ message, reason }) => message === 'refused' && reason === 'transport-late');
    });
  });

  describe(`an endpoint with an identity (${io})`, () => {
    let mesh: Mesh;
    let plain: Upstream;
    let near: Sluice;
    let stranger: Server;
    let demanding: Server;
    let far: Sluice;
    let http: Upstream;
    let asked: (string | undefined)[];

    before(async () => {
      mesh = await Mesh.make();
      http = await upstream(answering(() => OK));
      plain = await upstream((wire) => wire.write('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n'));
      far = await startFar(mesh, io, { http: { address: http.address } });
      // Of the same mesh, but somebody else; and one of another.
      const others = await Pki.make();
      const theirs = await others.workload('far');
      stranger = createServer({ key: theirs.key, cert: theirs.chain });
      stranger.listen(0, HOST);
      await once(stranger, 'listening');
      const server = await mesh.workload('far');
      asked = [];
      demanding = createServer(
        { key: server.key, cert: server.chain, ca: mesh.pki.anchor, requestCert: true, rejectUnauthorized: true },
        (socket) => {
          asked.push(socket.getPeerCertificate().subjectaltname, String(Reflect.get(socket, 'servername')));
          socket.on('data', () => socket.write(OK));
          socket.on('error', () => undefined);
        },
      );
      demanding.listen(0, HOST);
      await once(demanding, 'listening');
      const { port } = demanding.address() as { port: number };
      const quick = 'breaker: { failures: 0 }';
      near = await startNear(mesh, io, {
        right: { address: `${HOST}:${port}` },
        wrong: { address: `${HOST}:${port}`, endpoint: `identity: ${NEAR}`, service: quick },
        stranger: { address: `${HOST}:${(stranger.address() as { port: number }).port}`, service: quick },
        plain: { address: plain.address, service: quick },
        unspoken: { address: http.address, endpoint: `identity: ${FAR}, proxy: { port: ${port} }`, service: quick },
        spiffe: {
          address: `${HOST}:${far.port('http')}`,
          endpoint: 'identity: "spiffe://cluster.local/ns/test/sa/far"',
        },
      });
    });

    after(async () => {
      await stopAll();
      demanding?.close();
      stranger?.close();
      await plain?.close();
      await http?.close();
      mesh?.remove();
    });

    it('is asked for by its name, and shown who we are', async () => {
      assert.equal((await exchange(near.port('right'), REQUEST)).status, 200);
      const [names, serverNameAsked] = asked;
      assert.ok(names?.includes(NEAR), names);
      assert.equal(serverNameAsked, FAR);
    });

    it('is not reached where its certificate is for somebody else, or nobody trusts it, or it speaks no TLS', async () => {
      const before = http.connections.length;
      for (const [service, cause] of [
        ['wrong', 'wrong-name'],
        ['stranger', 'unknown-authority'],
        ['plain', 'plain-text'],
      ] as const) {
        const answer = await exchange(near.port(service), REQUEST);
        assert.equal(answer.status, 502, service);
        assert.equal(answer.field('sluice-error'), 'connect-failed');
        const line = await near.logged(
          ({ message, reason }) => message === 'refused' && reason === `endpoint-tls-${cause}`,
        );
        assert.match(String(line.endpoint), /^127\.0\.0\.1:\d+$/);
        assert.ok((await near.metric('sluice_tls_handshake_failures_total', { role: 'client', cause })) > 0, cause);
        // Bytes that are no HTTP: the connection is closed.
        assert.notEqual(await fate(near.port(service), '\x00\x01\x02'), '');
      }
      assert.equal(http.connections.length, before, 'nothing has got through');
      assert.ok(
        plain.connections.every(({ text }) => !text.includes('GET')),
        'nothing was said in plain text',
      );
    });

    it('is not reached by the opaque transport where its proxy does not speak it', async () => {
      assert.equal((await exchange(near.port('unspoken'), REQUEST)).status, 502);
      await near.logged(({ message, reason }) => message === 'refused' && reason === 'transport-unspoken');
    });

    it('is asked for by the name that belongs to a SPIFFE ID', async () => {
      const { status } = await exchange(near.port('spiffe'), REQUEST);
      assert.equal(status, 200);
    });

    it('gets nothing in plain text from a Sluice that has no identity', async () => {
      const nobody = await startNear(mesh, io, { web: { address: `${HOST}:${plain.port}` } }, null);
      const before = plain.received;
      const answer = await exchange(nobody.port('web'), REQUEST);
      assert.equal(answer.status, 503);
      assert.equal(answer.field('sluice-error'), 'no-identity');
      const wire = await client(nobody.port('web'));
      wire.write('\x00\x01\x02');
      await wire.closed();
      assert.equal(plain.received, before);
      await eventually(() => nobody.log.some(({ reason }) => reason === 'no-identity'), 'the log says so');
    });

    it('is not waited for in vain where it takes no certificate of ours', async () => {
      const other = await startNear(
        mesh,
        io,
        { web: { address: `${HOST}:${(demanding.address() as { port: number }).port}` } },
        await mesh.identity('near', {}, await Pki.make()),
      );
      const answer = await exchange(other.port('web'), REQUEST);
      // In TLS 1.3 it says so when our side of the handshake is over: the request goes with the connection.
      assert.ok(answer.status === 502 || answer.status === 503, String(answer.status));
      const socket: Socket = connect(other.port('web'), HOST);
      socket.write('\x00\x01');
      assert.notEqual(await ended(socket), '');
    });
  });
}
