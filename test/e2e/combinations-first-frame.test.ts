// `protocol: auto` and an endpoint that turns out to speak HTTP/2: its SETTINGS in answer to a request of HTTP/1 may arrive split
// anywhere. The request is sent again over HTTP/2, whatever its client speaks.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { content, digestOf } from '../support/content.js';
import { tearDown } from '../support/gateway.js';
import { frame, MAGIC, settingsPayload } from '../support/h2-frames.js';
import { answering, OK, type Upstream, upstream, type Wire } from '../support/http.js';
import { type Http2Endpoint, http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import type { Version, Wish } from './combinations-legs.js';
import { dial, TEST_MS, VERSIONS } from './combinations-support.js';

after(tearDown);

const SETTINGS = frame('SETTINGS', 0, 0, settingsPayload({ MAX_CONCURRENT_STREAMS: 100 }));
/** Between two pieces; where they are joined all the same, less is tested but nothing fails. */
const PAUSE_MS = 3;
/** Octets of the first piece, and of each after it. */
const SPLITS: readonly (readonly [first: number, then: number])[] = [
  [1, 1],
  [3, 100],
  [8, 100],
  [9, 100],
  [100, 100],
];

/** Speaks HTTP/2 by way of `behind` where it is greeted so; says SETTINGS, in pieces, to anybody else. */
function http2Server(behind: number, [first, then]: readonly [number, number]): (wire: Wire) => Promise<void> {
  return async (wire) => {
    const { socket } = wire;
    await wire.until(() => wire.bytes.length >= MAGIC.length, 'who it is');
    if (wire.bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
      const inner = connect({ host: '127.0.0.1', port: behind });
      inner.on('error', () => socket.destroy());
      inner.on('data', (chunk) => socket.write(chunk));
      inner.on('close', () => socket.destroy());
      socket.on('close', () => inner.destroy());
      inner.write(wire.take(wire.bytes.length));
      socket.on('data', (chunk) => inner.write(chunk));
      return;
    }
    for (let at = 0; at < SETTINGS.length; at += at === 0 ? first : then) {
      await wire.sent(SETTINGS.subarray(at, at === 0 ? first : at + then));
      await wait(PAUSE_MS);
    }
  };
}

/** An endpoint that changes what it speaks, and the service that it is of. */
class Turncoat {
  constructor(
    private readonly server: Upstream,
    private readonly behind: Http2Endpoint,
    private readonly name: string,
    private readonly sluice: Sluice,
  ) {}

  /** From now on it speaks HTTP/1, and Sluice knows. */
  async speakHttp1(): Promise<void> {
    this.server.script(answering(() => OK));
    // Sluice may know it to speak HTTP/2: then the first that meets it finds out.
    await eventually(async () => (await this.ask(1, {})).status === 200, 'HTTP/1 is spoken');
    assert.equal(await this.knownFor('http1'), 1);
    assert.equal(await this.knownFor('http2'), 0);
    await this.hangUp();
  }

  /** From now on it speaks HTTP/2, and Sluice does not know. */
  speakHttp2(split: readonly [number, number]): void {
    this.server.script(http2Server(this.behind.port, split));
  }

  knownFor(protocol: string): Promise<number> {
    return this.sluice.metric('sluice_endpoint_protocol', { protocol, service: this.name });
  }

  async ask(version: Version, wish: Wish, body?: Uint8Array): Promise<{ status: number; body: string }> {
    const line = await dial(version, this.sluice.port(`${this.name}-${version}`));
    try {
      const call = line.ask(wish);
      if (body !== undefined) {
        call.write(body);
        call.finish();
      }
      return await call.answer();
    } finally {
      line.close();
    }
  }

  private async open(): Promise<number> {
    const clients = await this.sluice.metric('sluice_worker_connections');
    return clients + (await this.sluice.metric('tcp_open_connections', { service: this.name }));
  }

  /** Ends its connections, and waits until Sluice has heard. */
  async hangUp(): Promise<void> {
    for (const { socket } of this.server.connections) socket.destroy();
    await eventually(async () => (await this.open()) === 0, 'no connections');
  }
}

const FRESH = SPLITS.map((_, i) => `fresh${i}`);
const NAMES = ['turned', ...FRESH];

function yaml(servers: readonly Upstream[]): string {
  const listeners = NAMES.flatMap((name) =>
    VERSIONS.map((version) => {
      const what = `service: ${name}, protocol: http${version}`;
      return `  - { name: ${name}-${version}, listen: "127.0.0.1:0", ${what} }`;
    }),
  );
  const services = NAMES.map((name, i) => `  ${name}: { endpoints: ["${servers[i]?.address}"] }`);
  return ['drain: { hold: 0 }', 'listeners:', ...listeners, 'services:', ...services, ''].join('\n');
}

for (const io of await availableExecutors()) {
  describe(`the first frame of an endpoint that was taken for HTTP/1 on ${io}`, () => {
    const turncoats = new Map<string, Turncoat>();
    let servers: readonly Upstream[] = [];
    let behind: Http2Endpoint;
    let sluice: Sluice;

    before(async () => {
      servers = await Promise.all(NAMES.map(() => upstream()));
      behind = await http2Endpoint();
      sluice = await startSluice(yaml(servers), io);
      for (const [i, server] of servers.entries()) {
        const name = NAMES[i] ?? '';
        turncoats.set(name, new Turncoat(server, behind, name, sluice));
      }
    });
    afterEach(async () => {
      for (const turncoat of turncoats.values()) await turncoat.hangUp();
    });
    after(async () => {
      assert.equal(await sluice.stop(), 0);
      await Promise.all(servers.map((server) => server.close()));
      await behind.close();
    });

    for (const [i, split] of SPLITS.entries()) {
      const [first, then] = split;
      const pieces = `${first} octets, then ${then} at a time`;

      it(`${pieces}: a client of HTTP/1 is the first to ask`, { timeout: TEST_MS }, async () => {
        const endpoint = turncoats.get(`fresh${i}`) ?? assert.fail();
        endpoint.speakHttp2(split);
        const { status, body } = await endpoint.ask(1, {});
        assert.deepEqual([status, body], [200, 'hello']);
        assert.equal(await endpoint.knownFor('http2'), 1);
      });

      for (const version of VERSIONS) {
        for (const size of [0, 3000]) {
          const what = size === 0 ? 'GET' : 'POST';
          it(`${pieces}: a ${what} of HTTP/${version} meets one that spoke HTTP/1 before`, {
            timeout: TEST_MS,
          }, async () => {
            const endpoint = turncoats.get('turned') ?? assert.fail();
            await endpoint.speakHttp1();
            endpoint.speakHttp2(split);
            const sent = content(size);
            const { status, body } =
              size === 0
                ? await endpoint.ask(version, {})
                : await endpoint.ask(version, { method: 'POST', path: '/digest', body: size }, sent);
            assert.equal(status, 200, body);
            if (size === 0) assert.equal(body, 'hello');
            else assert.deepEqual(JSON.parse(body), digestOf(sent));
            assert.equal(await endpoint.knownFor('http2'), 1);
          });
        }
      }
    }
  });
}
