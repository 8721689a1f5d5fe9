// What callers may cost: slow readers, strangers, too many, too long, garbage; and how a server goes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { decodeUpdate, encodeGetDestination } from '../../../src/destination/messages.js';
import { framed } from '../../../src/destination/server/grpc-call.js';
import { DestinationClient, endpointsAt, MadeUpCluster, serveDestinations } from '../../support/destination.js';
import { meshName, Pki } from '../../support/pki.js';
import { eventually } from '../../support/sluice.js';

const WEB = 'web.shop.svc.cluster.local:80';
const API = 'api.shop.svc.cluster.local:80';
const GET = '/io.linkerd.proxy.destination.Destination/Get';
const request = (path: string): Buffer => framed([encodeGetDestination({ scheme: '', path, contextToken: '' })]);
const HEADERS = { ':method': 'POST', ':path': GET, 'content-type': 'application/grpc', te: 'trailers' };

async function session(port: number): Promise<ClientHttp2Session> {
  const client = connect(`http://127.0.0.1:${port}`);
  client.on('error', () => undefined);
  await once(client, 'connect');
  return client;
}

const ask = (client: ClientHttp2Session, headers: object = {}): ClientHttp2Stream => {
  const stream = client.request({ ...HEADERS, ...headers });
  stream.on('error', () => undefined);
  return stream;
};

/** A call that nobody reads, until it is resumed. */
async function unread(port: number): Promise<ClientHttp2Stream> {
  const stream = ask(await session(port));
  stream.end(request(WEB));
  await once(stream, 'response');
  return stream;
}

/** What a stream of octets says, as messages. */
class Unframed {
  readonly messages: Buffer[] = [];
  #octets = Buffer.alloc(0);

  take(piece: Buffer): void {
    this.#octets = Buffer.concat([this.#octets, piece]);
    while (this.#octets.length >= 5 && this.#octets.length >= 5 + this.#octets.readUInt32BE(1)) {
      const end = 5 + this.#octets.readUInt32BE(1);
      this.messages.push(this.#octets.subarray(5, end));
      this.#octets = this.#octets.subarray(end);
    }
  }
}

const closed = (socket: Duplex): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve();
    socket
      .on('error', () => undefined)
      .once('close', resolve)
      .resume();
  });

/** The status of HTTP, and that of gRPC. */
async function answer(stream: ClientHttp2Stream): Promise<string> {
  let status = '';
  const note = (fields: Record<string, unknown>): void => {
    const of = ['grpc-status', 'grpc-message'].map((name) => fields[name]).filter((value) => value !== undefined);
    status += [...(fields[':status'] === undefined ? [] : [fields[':status']]), ...of].join(' ');
  };
  stream.on('response', note).on('trailers', (fields) => note({ ...fields, ':status': 'then' }));
  stream.resume();
  await once(stream, 'close');
  return status;
}

describe('a server of the destination API', () => {
  const endings: (() => Promise<unknown> | unknown)[] = [];
  after(() => Promise.all(endings.map((end) => end())));
  async function served(...[cluster, options]: Parameters<typeof serveDestinations>) {
    const given = await serveDestinations(cluster, options);
    endings.push(() => given.server.close());
    return given;
  }

  it('queues one state at most for a reader that does not read, and goes on from there', async () => {
    const cluster = new MadeUpCluster();
    const { port, told, server } = await served(cluster, { limits: { intervalMs: 1 } });
    const all = endpointsAt(2000);
    cluster.service(WEB, all);
    const slow = await unread(port);
    const quick = new DestinationClient(port);
    const quickly = quick.get(WEB);
    await quickly.knows(all);
    await eventually(() => server.stalled === 1, 'the slow one does not read');
    const octets = told.octets;
    const messages = quickly.messages.length;
    // Each time all is new: a queue would have some 200 MiB.
    for (let turn = 1; turn <= 1000; turn++)
      cluster.service(
        WEB,
        all.map((endpoint) => ({ ...endpoint, weight: 1 + (turn % 7) })),
      );
    const last = all.slice(1).map((endpoint) => ({ ...endpoint, weight: 9 }));
    cluster.service(WEB, last);
    await quickly.knows(last);
    assert.equal(server.stalled, 1);
    const quicks = quickly.messages.slice(messages).reduce((sum, { length }) => sum + length + 5, 0);
    assert.equal(told.octets - octets, quicks, 'nothing was written for the slow one');
    const slowly = new Unframed();
    slow.on('data', (piece: Buffer) => slowly.take(piece));
    await eventually(() => slowly.messages.length === 3, 'what it had, and what has changed since');
    assert.deepEqual(slowly.messages.map(decodeUpdate), [
      { kind: 'add', endpoints: all },
      { kind: 'add', endpoints: last },
      { kind: 'remove', addresses: [all[0].address] },
    ]);
    assert.equal(server.stalled, 0);
    slow.session?.destroy();
    quick.close();
  });

  it('ends a stream whose reader does not read for too long, and no other', async () => {
    const cluster = new MadeUpCluster();
    const { port, told, server } = await served(cluster, { limits: { stalledMs: 50, pingMs: 100 } });
    cluster.service(WEB, endpointsAt(2000));
    // So little that it has always gone out: how long a reader takes under load does not matter here.
    cluster.service(API, endpointsAt(1));
    const client = new DestinationClient(port);
    const other = client.get(API);
    await other.knows(endpointsAt(1));
    const stuck = await unread(port);
    const connection = stuck.session as ClientHttp2Session;
    await eventually(() => told.statuses.includes(8), 'it is ended');
    await eventually(() => told.streams === 1 && server.stalled === 0, 'one is left');
    assert.equal(connection.closed, false);
    cluster.service(API, []);
    await other.knows([]);
    connection.destroy();
    client.close();
  });

  it('serves those who show a certificate of the mesh, and strangers get nowhere', async () => {
    const pki = await Pki.make();
    const name = meshName('destination');
    const mine = await pki.leaf({ dns: [name] });
    const tls = { cert: mine.chain, key: mine.key, ca: pki.anchor };
    const cluster = new MadeUpCluster();
    cluster.service(WEB, endpointsAt(1));
    const { port, told, server } = await served(cluster, { tls });
    const leaf = await pki.workload('web');
    const web = { cert: leaf.chain, key: leaf.key, ca: pki.anchor, name };
    const client = new DestinationClient(port, web);
    const stream = client.get(WEB);
    await stream.knows(endpointsAt(1));
    // Linkerd's proxies name no protocol.
    const silent = connectTls({ host: '127.0.0.1', port, servername: name, ...web });
    const nameless = connect(`https://${name}`, { createConnection: () => silent });
    const asked = ask(nameless);
    asked.end(request(WEB));
    await once(asked, 'data');
    assert.equal(silent.alpnProtocol, false);
    nameless.destroy();
    const others = await Pki.make({ name: 'other' });
    const stranger = await others.workload('web');
    for (const shown of [{}, { cert: stranger.chain, key: stranger.key }]) {
      const { length } = told.connectionsRefused;
      const socket = connectTls({
        host: '127.0.0.1',
        port,
        ca: pki.anchor,
        servername: name,
        ALPNProtocols: ['h2'],
        ...shown,
      });
      socket.on('error', () => undefined);
      await closed(socket);
      await eventually(() => told.connectionsRefused.length > length, 'it was refused');
    }
    for (const octets of ['GET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
      const socket = connectTcp(port, '127.0.0.1');
      const end = closed(socket);
      socket.end(octets);
      await end;
    }
    assert.ok(told.connectionsRefused.every((reason) => reason === 'handshake'));
    // Another certificate, of an issuer that clients of before do not know, holds for who comes from now on.
    const theirs = await others.leaf({ dns: [name] });
    server.use({ cert: theirs.chain, key: theirs.key, ca: others.anchor });
    const later = new DestinationClient(port, { cert: stranger.chain, key: stranger.key, ca: others.anchor, name });
    const afterwards = later.get(WEB);
    await afterwards.knows(endpointsAt(1));
    cluster.service(WEB, []);
    await Promise.all([stream.knows([]), afterwards.knows([])]);
    client.close();
    later.close();
  });

  it('bounds connections, and calls on each and on all', async () => {
    const cluster = new MadeUpCluster();
    cluster.service(WEB, []);
    const { port, told } = await served(cluster, { limits: { maxConnections: 4, maxStreams: 3, maxAllStreams: 8 } });
    const first = await session(port);
    const streams = [1, 2, 3, 4].map(() => ask(first));
    for (const stream of streams) stream.end(request(WEB));
    await eventually(() => told.streams === 3, 'three streams');
    const second = await session(port);
    const more = [ask(second), ask(second), ask(second)];
    for (const stream of more) stream.end(request(WEB));
    // Four are left for others.
    const refused = await Promise.race(more.map(answer));
    assert.equal(refused, '200 8 4 streams are open already');
    // The fourth of the first connection waits for its turn, at the client.
    streams[0].close(constants.NGHTTP2_CANCEL);
    await eventually(() => told.streams === 4, 'four streams');
    const crowd = await Promise.all([1, 2, 3].map(() => session(port).catch(() => null)));
    await eventually(() => told.connectionsRefused.includes('limit'), 'a connection was refused');
    for (const client of [first, second, ...crowd]) client?.destroy();
    await eventually(() => told.streams === 0, 'all are gone');
  });

  it('answers what is no call of its own, and survives what is nothing', async () => {
    const cluster = new MadeUpCluster();
    cluster.service(WEB, []);
    const { port, told } = await served(cluster, { limits: { requestMs: 300 } });
    const client = await session(port);
    const answers: [object, Buffer | null, string][] = [
      [{ ':method': 'GET' }, null, '405'],
      [{ 'content-type': 'application/json' }, request(WEB), '415'],
      [{ ':path': '/other/Get' }, request(WEB), '200 12 there is no such method'],
      [{}, Buffer.from([1, 0, 0, 0, 0]), '200 12 the request is compressed; send it uncompressed'],
      [{}, Buffer.from([0, 255, 255, 255, 255]), '200 8 the request has 4294967295 octets; 16384 are allowed'],
      [{}, Buffer.concat([request(WEB), request(WEB)]), '200 12 there is more than one request in the call'],
      [{}, request(WEB).subarray(0, 7), '200 3 the call ended before its request did'],
      [{}, null, '200 3 the call ended before its request did'],
    ];
    for (const [headers, body, expected] of answers) {
      const stream = ask(client, headers);
      if (body === null) stream.end();
      else stream.end(body);
      assert.equal(await answer(stream), expected);
    }
    const late = ask(client);
    late.write(request(WEB).subarray(0, 7));
    assert.equal(await answer(late), '200 4 the request did not arrive');
    // In pieces of an octet it is a request all the same.
    const pieces = ask(client);
    for (const octet of request(WEB)) pieces.write(Buffer.from([octet]));
    await once(pieces, 'data');
    pieces.close(constants.NGHTTP2_CANCEL);
    for (const octets of [Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(0)]) {
      const socket = connectTcp(port, '127.0.0.1');
      const end = closed(socket);
      const noise = Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 1_103_515_245) >>> 16));
      socket.end(Buffer.concat([octets, noise]));
      await end;
    }
    const still = ask(client);
    still.end(request(WEB));
    await once(still, 'data');
    client.destroy();
    await eventually(() => told.streams === 0 && cluster.watches === 0, 'nothing is left');
  });

  it('closes connections on which nothing is asked, and those that do not answer', async () => {
    const cluster = new MadeUpCluster();
    cluster.service(WEB, []);
    const { port, told } = await served(cluster, { limits: { idleMs: 200, pingMs: 100, pongMs: 100 } });
    const idle = await session(port);
    await once(idle, 'close');
    // A preface and SETTINGS, then a call, and silence: no answer to a ping.
    const answering = await session(port);
    const stream = ask(answering);
    stream.end(request(WEB));
    await once(stream, 'data');
    const dead = connectTcp(port, '127.0.0.1');
    dead.write(
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('000000040000000000', 'hex')]),
    );
    await closed(dead);
    assert.equal(told.streams, 1);
    answering.destroy();
  });

  it('replaces connections that are old', async () => {
    const cluster = new MadeUpCluster();
    cluster.service(WEB, endpointsAt(1));
    const { port } = await served(cluster, { limits: { maxAgeMs: 200 } });
    const client = new DestinationClient(port);
    const stream = client.get(WEB);
    assert.equal(await stream.end(), 'UNAVAILABLE: this controller is shutting down; ask again');
    assert.deepEqual([...(stream.endpoints()?.values() ?? [])], endpointsAt(1));
    const again = client.get(WEB);
    await again.knows(endpointsAt(1));
    client.close();
  });

  it('sends all elsewhere when it goes', async () => {
    const cluster = new MadeUpCluster();
    cluster.service(WEB, []);
    const { port, server, told } = await serveDestinations(cluster, { limits: { graceMs: 30_000 } });
    const clients = Array.from({ length: 10 }, () => new DestinationClient(port));
    const streams = clients.flatMap((client) => [client.get(WEB), client.get(WEB)]);
    await Promise.all(streams.map((stream) => stream.knows([])));
    const goes = await session(port);
    const goaway = once(goes, 'goaway');
    const closed = server.close();
    for (const stream of streams)
      assert.equal(await stream.end(), 'UNAVAILABLE: this controller is shutting down; ask again');
    assert.equal((await goaway)[0], constants.NGHTTP2_NO_ERROR);
    assert.equal(await closed, true);
    assert.equal(told.streams, 0);
    const end = await clients[0].get(WEB).end();
    assert.match(end, /^UNAVAILABLE: .*ECONNREFUSED/);
    for (const client of clients) client.close();
  });

  it('cuts off who does not go', async () => {
    const cluster = new MadeUpCluster();
    const { port, server } = await serveDestinations(cluster, { limits: { graceMs: 200 } });
    cluster.service(WEB, endpointsAt(3000));
    const stream = await unread(port);
    await eventually(() => server.stalled === 1, 'the reader does not read');
    const { session: connection } = stream;
    assert.ok(connection !== undefined);
    const gone = once(connection, 'close');
    assert.equal(await server.close(), false);
    await gone;
  });
});
