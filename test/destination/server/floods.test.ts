// Peers with a certificate that mean harm: frames without end, calls without end, and readers that never read. Others are served meanwhile,
// and nothing of it is left.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { encodeGetDestination } from '../../../src/destination/messages.js';
import { framed } from '../../../src/destination/server/grpc-call.js';
import { requestHead } from '../../../src/grpc/status.js';
import {
  DestinationClient,
  endpointsAt,
  MadeUpCluster,
  type Served,
  serveDestinations,
} from '../../support/destination.js';
import { END_HEADERS, frame, MAGIC, priorityFields, u32 } from '../../support/h2-frames.js';
import { encodeBlock } from '../../support/naive-hpack.js';
import { eventually } from '../../support/sluice.js';

const WEB = 'web.shop.svc.cluster.local:80';
const LARGE = 'large.shop.svc.cluster.local:80';
const GET = '/io.linkerd.proxy.destination.Destination/Get';
const MANY = 20_000;
const MAX_STALLED = 1 << 18;

const request = (path: string): Buffer => framed([encodeGetDestination({ scheme: '', path, contextToken: '' })]);
const HEAD = encodeBlock([[':scheme', 'http'], [':authority', 'a'], ...Object.entries(requestHead(GET))]);

/** What a flood is made of, by its number. */
const FLOODS: Readonly<Record<string, (number: number) => Buffer>> = {
  SETTINGS: () => frame('SETTINGS', 0, 0),
  PING: () => frame('PING', 0, 0, Buffer.alloc(8)),
  PRIORITY: () => frame('PRIORITY', 0, 1, priorityFields()),
  'WINDOW_UPDATE of the connection': () => frame('WINDOW_UPDATE', 0, 0, u32(1)),
  'frames that there are not': () => frame(0x4d, 0, 0, Buffer.alloc(64)),
  'calls that say nothing': (number) => frame('HEADERS', END_HEADERS, 2 * number + 1, HEAD),
  'calls that are taken back at once': (number) =>
    Buffer.concat([
      frame('HEADERS', END_HEADERS, 2 * number + 1, HEAD),
      frame('RST_STREAM', 0, 2 * number + 1, u32(8)),
    ]),
  'a head that never ends': (number) =>
    number === 0 ? frame('HEADERS', 0, 1, HEAD) : frame('CONTINUATION', 0, 1, encodeBlock([['x', 'y'.repeat(99)]])),
  'DATA of no call': () => frame('DATA', 0, 1),
};

/** Writes it until it is over, or the other end does not want it any more. */
async function pour(socket: Socket, flood: (number: number) => Buffer): Promise<void> {
  let closed = false;
  socket
    .on('error', () => undefined)
    .once('close', () => {
      closed = true;
    });
  socket.write(Buffer.concat([MAGIC, frame('SETTINGS', 0, 0)]));
  for (let number = 0; number < MANY && !closed; number += 100) {
    // A peer that does not read leaves it in our buffer: that is as good as sent.
    socket.write(Buffer.concat(Array.from({ length: 100 }, (_, at) => flood(number + at))));
    await turn();
  }
}

describe('a server of the destination API that is flooded', () => {
  const cluster = new MadeUpCluster();
  let served: Served;
  let innocent: DestinationClient;
  before(async () => {
    served = await serveDestinations(cluster, { limits: { maxStreams: 200, maxStalledBytes: MAX_STALLED } });
    cluster.service(WEB, endpointsAt(1));
    innocent = new DestinationClient(served.port);
  });
  after(async () => {
    innocent.close();
    await served.server.close();
  });

  /** Others have what they ask for, and nothing is left of what was. */
  async function serves(): Promise<void> {
    const stream = innocent.get(WEB);
    await stream.knows(endpointsAt(1));
    stream.call.cancel();
    await eventually(() => served.told.streams === 0 && cluster.watches === 0, 'nothing is left');
  }

  for (const [name, flood] of Object.entries(FLOODS))
    it(`by ${name} serves others`, async () => {
      const socket = connectTcp(served.port, '127.0.0.1');
      socket.resume();
      await Promise.all([pour(socket, flood), serves()]);
      socket.destroy();
      await serves();
    });

  it('keeps a bounded amount for readers that never read, and those who read serve on', async () => {
    const clients: ClientHttp2Session[] = [];
    const ended = (): number => served.told.statuses.filter((status) => status === 8).length;
    const before = ended();
    // Each time all of it is new, some 240 KiB that are there for these readers alone.
    for (let turns = 1; turns <= 10; turns++) {
      cluster.service(
        LARGE,
        endpointsAt(6000).map((endpoint) => ({ ...endpoint, weight: turns })),
      );
      const client = connect(`http://127.0.0.1:${served.port}`, { settings: { initialWindowSize: 0 } });
      client.on('error', () => undefined);
      clients.push(client);
      for (let call = 0; call < 5; call++) {
        const stream = client.request(requestHead(GET));
        stream.on('error', () => undefined).end(request(LARGE));
        await once(stream, 'response');
      }
    }
    await eventually(() => ended() - before === 45, 'those of before were ended');
    assert.equal(served.server.stalled, 5);
    for (const client of clients) client.destroy();
    await serves();
  });
});
