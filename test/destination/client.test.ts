import assert from 'node:assert/strict';
import { constants, createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { DestinationClient, type DestinationClientOptions } from '../../src/destination/client/client.js';
import { noLookupCounts } from '../../src/destination/counts.js';
import type { EndpointsUpdate, ProfileUpdate } from '../../src/destination/lookup.js';
import type { IdentityMaterial } from '../../src/identity/material.js';
import { meshName, Pki } from '../support/pki.js';
import { Waiting } from '../support/waiting.js';
import { FakeDestinations } from './fake-service.js';

const ASKER = { namespace: 'shop', pod: 'web-0', node: 'node-1' };
const SERVER = meshName('destination');
const AUTHORITY = 'web.shop.svc.cluster.local:80';

const OPTIONS: Omit<DestinationClientOptions, 'port'> = {
  host: '127.0.0.1',
  serverName: SERVER,
  timeoutMs: 30_000,
  minBackoffMs: 10,
  maxBackoffMs: 50,
  keepAliveMs: 0,
  keepAliveTimeoutMs: 30_000,
  maxMessageBytes: 65_536,
  maxEndpoints: 3,
};

const at = (host: string, port = 80): { host: string; port: number } => ({ host, port });

class Harness {
  readonly waiting = new Waiting();
  readonly counts = noLookupCounts();
  readonly logged: string[] = [];
  readonly profiles: ProfileUpdate[] = [];
  readonly endpoints: EndpointsUpdate[] = [];
  identity: IdentityMaterial | null | undefined = undefined;
  readonly client: DestinationClient;
  /** Counts change without an event of ours. */
  private readonly looking = setInterval(() => this.waiting.wake(), 5);

  constructor(port: number, more: Partial<DestinationClientOptions> = {}, identity?: IdentityMaterial | null) {
    this.identity = identity;
    const log = (message: string, fields: Record<string, unknown> = {}): void => {
      this.logged.push(`${message} ${JSON.stringify(fields)}`);
      this.waiting.wake();
    };
    this.client = new DestinationClient(
      { ...OPTIONS, port, ...more },
      {
        logger: { info: log, warn: log, error: log },
        counts: this.counts,
        identity: () => this.identity,
        random: () => 0.5,
      },
    );
    this.client.start();
  }

  stop(): void {
    clearInterval(this.looking);
    this.client.stop();
  }

  watch(): void {
    this.client.watchProfile(at('10.0.0.1'), ASKER, (update) => {
      this.profiles.push(update);
      this.waiting.wake();
    });
  }

  watchEndpoints(): { stop(): void } {
    return this.client.watchEndpoints(AUTHORITY, ASKER, (update) => {
      this.endpoints.push(update);
      this.waiting.wake();
    });
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return this.waiting.until(condition, () => `${what} (log: ${this.logged.join('; ')})`);
  }

  /** Hosts of the last list that was told; `unknown` where there is none. */
  get hosts(): string {
    const last = this.endpoints.at(-1);
    if (last === undefined) return '';
    return last.kind === 'unknown' ? 'unknown' : last.endpoints.map(({ address }) => address.host).join(' ');
  }
}

let harness: Harness;
const closing: (() => void)[] = [];
afterEach(() => {
  harness.stop();
  for (const close of closing.splice(0)) close();
});

function listen<T extends Server | Http2Server>(server: T): Promise<number> {
  closing.push(() => server.close());
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}

async function fake(): Promise<FakeDestinations> {
  const server = await new FakeDestinations().start();
  closing.push(() => server.kill());
  return server;
}

describe('a client of a destination service', () => {
  it('is told what is behind an address, and what that becomes', async () => {
    const server = await fake();
    harness = new Harness(server.port);
    harness.watch();
    server.setProfile('10.0.0.1:80', { name: 'web.shop.svc.cluster.local', opaque: true });
    await harness.until(() => harness.profiles.length === 1, 'a profile');
    assert.deepEqual(harness.profiles[0], {
      kind: 'profile',
      profile: { authority: AUTHORITY, opaque: true, protocol: 'auto', endpoint: null },
    });
    assert.deepEqual(JSON.parse(server.tokens[0]), { ns: 'shop', nodeName: 'node-1', pod: 'web-0' });
    server.setProfile('10.0.0.1:80', {});
    await harness.until(() => harness.profiles.length === 2, 'nothing');
    assert.deepEqual(harness.profiles[1], { kind: 'unknown' });
    assert.equal(harness.counts.connected, true);
    assert.equal(harness.counts.streams, 1);
    assert.equal(harness.counts.updates, 2);
  });

  it('puts differences together, and bounds what a service may have', async () => {
    const server = await fake();
    harness = new Harness(server.port);
    const identity = meshName('web');
    server.setEndpoints(AUTHORITY, [
      { host: '10.1.0.1', port: 8080, identity, proxyPort: 4143, http2: true },
      at('fd00::2', 8080),
    ]);
    const watch = harness.watchEndpoints();
    await harness.until(() => harness.hosts === '10.1.0.1 fd00::2', 'two endpoints');
    const [update] = harness.endpoints;
    assert.ok(update.kind === 'endpoints');
    assert.equal(update.endpoints[0].identity, identity);
    assert.deepEqual(update.endpoints[0].proxy, { port: 4143, http2: true });
    server.setEndpoints(AUTHORITY, [at('fd00::2', 8080), at('10.1.0.3')]);
    await harness.until(() => harness.hosts === 'fd00::2 10.1.0.3', 'one that came and one that went');
    server.setEndpoints(AUTHORITY, [at('fd00::2', 8080), at('10.1.0.3'), at('10.1.0.4'), at('10.1.0.5')]);
    await harness.until(() => harness.hosts === 'fd00::2 10.1.0.3 10.1.0.4', 'as many as there may be');
    assert.equal(harness.counts.failures.size, 1);
    server.setNone(AUTHORITY, true);
    await harness.until(() => harness.hosts === '', 'none');
    server.setNone(AUTHORITY, false);
    await harness.until(() => harness.hosts === 'unknown', 'no service');
    watch.stop();
    await server.until(() => server.open(AUTHORITY) === 0, 'the end of the stream');
  });

  it('takes a refusal for not knowing, and asks again later', async () => {
    const server = await fake();
    for (const code of [3, 5]) {
      server.setEndpoints(AUTHORITY, code);
      harness = new Harness(server.port);
      harness.watchEndpoints();
      await harness.until(() => harness.hosts === 'unknown', 'a refusal');
      server.setEndpoints(AUTHORITY, [at('10.1.0.1')]);
      await harness.until(() => harness.hosts === '10.1.0.1', 'an answer after all');
      assert.equal(harness.counts.failures.status, 0);
      harness.stop();
    }
  });

  it('does not believe names that there could not be', async () => {
    const server = await fake();
    for (const wrong of ['web shop', 'a\nb', '', 'x'.repeat(300), 'web"}']) {
      harness = new Harness(server.port);
      if (wrong !== '') {
        server.setProfile('10.0.0.1:80', { name: wrong });
        harness.watch();
        await harness.until(() => harness.counts.failures.garbage > 1, `no word of ${wrong}`);
        assert.deepEqual(harness.profiles, []);
      }
      const identity = wrong === '' ? 'a\u0000b' : `${wrong} ${'y'.repeat(2048)}`;
      server.setEndpoints(AUTHORITY, [{ host: '10.1.0.1', port: 80, identity }]);
      harness.watchEndpoints();
      const before = harness.counts.failures.garbage;
      await harness.until(() => harness.counts.failures.garbage > before + 1, `no word of ${wrong}`);
      assert.deepEqual(harness.endpoints, []);
      harness.stop();
    }
  });

  it('keeps what it knows while an error lasts', async () => {
    const server = await fake();
    harness = new Harness(server.port);
    server.setEndpoints(AUTHORITY, [at('10.1.0.1')]);
    harness.watchEndpoints();
    await harness.until(() => harness.hosts === '10.1.0.1', 'an endpoint');
    server.setEndpoints(AUTHORITY, 14);
    await harness.until(() => harness.counts.failures.status > 1, 'errors');
    server.setEndpoints(AUTHORITY, [at('10.1.0.2')]);
    await harness.until(() => harness.hosts === '10.1.0.2', 'another endpoint');
    assert.equal(harness.endpoints.length, 2);
    assert.equal(harness.logged.filter((line) => line.includes('UNAVAILABLE')).length, 1);
  });

  it('goes on when the service is back: what stayed was never gone', async () => {
    const server = await fake();
    harness = new Harness(server.port);
    server.setEndpoints(AUTHORITY, [at('10.1.0.1'), at('10.1.0.2')]);
    server.setProfile('10.0.0.1:80', { name: 'web.shop.svc.cluster.local' });
    harness.watchEndpoints();
    harness.watch();
    await harness.until(() => harness.hosts === '10.1.0.1 10.1.0.2' && harness.profiles.length === 1, 'endpoints');
    server.kill();
    await harness.until(() => !harness.counts.connected, 'the loss');
    await harness.until(() => harness.counts.failures.unreachable > 0, 'failures');
    server.setEndpoints(AUTHORITY, [at('10.1.0.2'), at('10.1.0.3')]);
    await server.start();
    await harness.until(() => harness.hosts === '10.1.0.2 10.1.0.3', 'the new state');
    assert.equal(harness.endpoints.length, 2);
    assert.equal(harness.counts.connects, 2);
    assert.ok(harness.logged.some((line) => line.startsWith('the destination service can be reached again')));
  });

  it('waits for an identity, and speaks mutual TLS with the next one at the next connection', async () => {
    const pki = await Pki.make();
    const of = async (name: string): Promise<IdentityMaterial> => {
      const { chain, key } = await pki.leaf({ dns: [name] });
      const material = { chain, key, anchors: [pki.anchor], name, names: [name], serverNames: [name] };
      return { ...material, notBeforeMs: 0, notAfterMs: 0 };
    };
    const server = await pki.leaf({ dns: [SERVER] });
    const tls = { certificate: server.chain, key: server.key, anchors: pki.anchor };
    const service = await new FakeDestinations('127.0.0.1', tls).start();
    closing.push(() => service.kill());
    service.setProfile('10.0.0.1:80', {});
    harness = new Harness(service.port, {}, null);
    harness.watch();
    assert.equal(harness.counts.connected, false);
    harness.identity = await of(meshName('web'));
    harness.client.identityChanged();
    await harness.until(() => harness.profiles.length === 1, 'a profile');
    harness.stop();
    // Somebody else's certificate is nobody to ask.
    harness = new Harness(service.port, { serverName: meshName('other') }, await of(meshName('web')));
    await harness.until(() => harness.counts.failures.unreachable > 0, 'a refusal');
    assert.ok(
      harness.logged.some((line) => /altnames/i.test(line)),
      harness.logged.join('\n'),
    );
  });

  it('finds out that nobody is there any more who says nothing', async () => {
    const server = await fake();
    server.setProfile('10.0.0.1:80', {});
    const sockets = new Set<Socket>();
    let frozen = false;
    const relay = createServer((socket) => {
      const onward = connect(server.port, '127.0.0.1');
      for (const one of [socket, onward]) sockets.add(one.on('error', () => undefined));
      const pass = (to: Socket) => (octets: Buffer) => {
        if (!frozen || to === onward) to.write(octets);
      };
      socket.on('data', pass(onward)).on('close', () => onward.destroy());
      onward.on('data', pass(socket)).on('close', () => socket.destroy());
    });
    const port = await listen(relay);
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    harness = new Harness(port, { keepAliveMs: 20, keepAliveTimeoutMs: 20_000 });
    harness.watch();
    await harness.until(() => harness.profiles.length === 1, 'a profile');
    harness.stop();
    // Whoever answers pings stays: twenty times the time.
    harness = new Harness(port, { keepAliveMs: 20, keepAliveTimeoutMs: 100 });
    harness.watch();
    await harness.until(() => harness.profiles.length === 1, 'a profile');
    frozen = true;
    await harness.until(() => harness.counts.failures.timeout > 0, 'an end');
    frozen = false;
    await harness.until(() => harness.counts.connects > 1 && harness.profiles.length > 1, 'another connection');
  });

  it('does not wait for ever for a peer that is silent from the start', async () => {
    const port = await listen(createServer((socket) => closing.push(() => socket.destroy())));
    harness = new Harness(port, { timeoutMs: 20 });
    await harness.until(() => harness.counts.failures.timeout > 1, 'two tries');
    assert.equal(harness.logged.filter((line) => line.includes('destination.timeout')).length, 1);
  });
});

describe('answers of a destination service that are none', () => {
  let answer: (stream: ServerHttp2Stream) => void;
  let server: Http2Server;
  let port: number;
  const sessions = new Set<{ destroy(): void }>();
  const grpc = { ':status': 200, 'content-type': 'application/grpc' };
  before(async () => {
    server = createHttp2();
    server.on('session', (session) => sessions.add(session));
    server.on('stream', (stream) => {
      stream.on('error', () => undefined);
      answer(stream);
    });
    port = await new Promise((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
    );
  });
  after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });

  const cases: readonly [string, 'garbage' | 'size' | 'status' | 'broken', (stream: ServerHttp2Stream) => void][] = [
    ['a page', 'garbage', (stream) => stream.respond({ ':status': 200, 'content-type': 'text/html' })],
    ['another status', 'garbage', (stream) => stream.respond({ ':status': 503 }, { endStream: true })],
    [
      'no message of protocol buffers',
      'garbage',
      (stream) => {
        stream.respond(grpc);
        stream.write(Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff]));
      },
    ],
    [
      'compressed octets',
      'garbage',
      (stream) => {
        stream.respond(grpc);
        stream.write(Buffer.from([1, 0, 0, 0, 1, 0]));
      },
    ],
    [
      'a message without an end',
      'size',
      (stream) => {
        stream.respond(grpc);
        stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
      },
    ],
    [
      'half a message, and no more',
      'broken',
      (stream) => {
        stream.respond(grpc, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(Buffer.from([0, 0, 0, 0, 9, 0x0a]));
      },
    ],
    [
      'a stream that is reset within a message',
      'broken',
      (stream) => {
        stream.respond(grpc);
        stream.write(Buffer.from([0, 0, 0, 0, 9, 0x0a]), () => stream.close(constants.NGHTTP2_CANCEL));
      },
    ],
    [
      'a status that says no',
      'status',
      (stream) => stream.respond({ ...grpc, 'grpc-status': '7' }, { endStream: true }),
    ],
  ];
  for (const [what, reason, give] of cases) {
    it(`${what}: named once, asked again, and what is known stays`, async () => {
      let good = true;
      answer = (stream) => {
        if (!good) {
          give(stream);
          return;
        }
        stream.respond(grpc);
        // An `add` of 10.1.0.1:80.
        const octets = [0x0a, 0x0d, 0x0a, 0x0b, 0x0a, 0x09, 0x0a, 0x05, 0x0d, 1, 0, 1, 10, 0x10, 80];
        stream.write(Buffer.from([0, 0, 0, 0, octets.length, ...octets]));
        good = false;
        stream.close();
      };
      harness = new Harness(port);
      harness.watchEndpoints();
      await harness.until(() => harness.counts.failures[reason] > 2, 'three refusals');
      assert.equal(harness.hosts, '10.1.0.1');
      assert.equal(harness.endpoints.length, 1);
      // The stream that was good has ended without a status.
      const told = reason === 'broken' ? 1 : 2;
      assert.equal(
        harness.logged.filter((line) => line.includes('cannot be used')).length,
        told,
        harness.logged.join('\n'),
      );
      assert.equal(harness.counts.connected, true);
    });
  }

  it('that a GOAWAY ends within a message are asked for at the next connection', async () => {
    let left = 2;
    answer = (stream) => {
      stream.respond(grpc);
      const message = Buffer.from([
        0,
        0,
        0,
        0,
        15,
        0x0a,
        13,
        0x0a,
        11,
        0x0a,
        9,
        0x0a,
        5,
        0x0d,
        left,
        0,
        1,
        10,
        0x10,
        80,
      ]);
      if (left-- === 0) stream.write(message);
      else stream.write(message.subarray(0, 12), () => stream.session?.goaway());
    };
    harness = new Harness(port);
    harness.watchEndpoints();
    await harness.until(() => harness.hosts === '10.1.0.0', 'an endpoint');
    assert.equal(harness.counts.connects, 3);
    assert.equal(harness.counts.failures.garbage, 0);
  });

  it('that break off before they are whole take nothing away', async () => {
    /** `add` of 10.1.0.NUMBER:80, for each. */
    const add = (...numbers: number[]): Buffer => {
      const addresses = numbers.flatMap((number) => [0x0a, 0x0b, 0x0a, 9, 0x0a, 5, 0x0d, number, 0, 1, 10, 0x10, 80]);
      const octets = [0x0a, addresses.length, ...addresses];
      return Buffer.from([0, 0, 0, 0, octets.length, ...octets]);
    };
    let all = true;
    answer = (stream) => {
      stream.respond(grpc);
      stream.write(all ? add(1, 2) : add(1), () => stream.close(constants.NGHTTP2_CANCEL));
      all = false;
    };
    harness = new Harness(port);
    harness.watchEndpoints();
    // Each new stream would tell what the one before it has said.
    await harness.until(() => harness.counts.updates > 4, 'streams that break off');
    assert.equal(harness.hosts, '10.1.0.1 10.1.0.2');
    assert.equal(harness.endpoints.length, 1);
  });
});
