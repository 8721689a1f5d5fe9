// `protocol: auto`: what an endpoint speaks is learned, per endpoint, whatever its clients speak.
import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { content, digestOf, usual } from '../support/content.js';
import { across, quiet, startGateway, tearDown } from '../support/gateway.js';
import { client as dialHttp1, exchange, OK, upstream, type Wire } from '../support/http.js';
import { type Endpoint, Http2Client, hangUp, http1Endpoint, http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { deadPort } from '../support/tcp.js';

afterEach(hangUp);
after(tearDown);

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';
const ECHO = 'POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello';
const AUTO = { speaks: 'auto' } as const;
const ONE_WORKER = { ...AUTO, top: 'workers: 1' } as const;

async function finish(sluice: Sluice, endpoints: readonly Endpoint[]): Promise<void> {
  hangUp();
  await quiet(sluice);
  assert.equal(await sluice.stop(), 0);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
}

/** What an endpoint that speaks HTTP/1 may do about the preface of HTTP/2. */
const REFUSALS: Readonly<Record<string, (wire: Wire) => void>> = {
  answers: (wire) => {
    wire.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    wire.fin();
  },
  closes: (wire) => wire.fin(),
  resets: (wire) => wire.reset(),
};

for (const io of await availableExecutors()) {
  describe(`endpoints of unknown protocol on ${io}`, () => {
    for (const first of ['http1', 'http2'] as const) {
      it(`one of each version serves clients of each, of which ${first} comes first`, async () => {
        const old = await http1Endpoint(usual('old'));
        const new_ = await http2Endpoint(usual('new'));
        const sluice = await startGateway(io, [old.address, new_.address], {
          ...AUTO,
          service: '    balance: { policy: round-robin }',
        });
        const client = await Http2Client.open(sluice.port('edge'));
        const byHttp2 = async (): Promise<string> => {
          const { status, text } = await client.ask();
          assert.equal(status, 200, text);
          return text;
        };
        const byHttp1 = async (): Promise<string> => {
          const { status, body } = await exchange(sluice.port('edge'), GET);
          assert.equal(status, 200, body.toString());
          return body.toString();
        };
        const turns = first === 'http1' ? [byHttp1, byHttp2] : [byHttp2, byHttp1];
        for (const ask of turns) {
          const answers: string[] = [];
          for (let i = 0; i < 20; i++) answers.push(await ask());
          for (const name of ['old', 'new']) {
            assert.ok(answers.filter((answer) => answer === name).length >= 5, `${name}: ${answers.join(' ')}`);
          }
        }
        // What is known is what is spoken: bodies pass whichever way.
        for (let i = 0; i < 4; i++) {
          const body = content(300_007);
          const { text } = await client.ask({ ':method': 'POST', ':path': '/digest' }, { body });
          assert.deepEqual(JSON.parse(text), digestOf(body));
        }
        await finish(sluice, [old, new_]);
      });
    }

    it('many requests at once, before anything is known, all succeed, and both are used', async () => {
      const old = await http1Endpoint(usual('old'));
      const new_ = await http2Endpoint(usual('new'));
      const sluice = await startGateway(io, [old.address, new_.address], AUTO);
      const client = await Http2Client.open(sluice.port('edge'));
      const [streams, connections] = await Promise.all([
        Promise.all(Array.from({ length: 50 }, () => client.ask())),
        Promise.all(Array.from({ length: 20 }, () => exchange(sluice.port('edge'), GET))),
      ]);
      const statuses = [...streams, ...connections].map(({ status }) => status);
      assert.deepEqual(statuses, Array(70).fill(200));
      const texts = new Set(streams.map(({ text }) => text));
      for (let i = 0; i < 40; i++) texts.add((await client.ask()).text);
      assert.deepEqual([...texts].sort(), ['new', 'old']);
      await finish(sluice, [old, new_]);
    });

    it('follows an endpoint that is replaced by one of the other version', async () => {
      let endpoint: Endpoint = await http2Endpoint(usual('now 2'));
      const { port, address } = endpoint;
      const sluice = await startGateway(io, [address], AUTO);
      const client = await Http2Client.open(sluice.port('edge'));
      assert.equal((await client.ask()).text, 'now 2');
      for (const version of [1, 2, 1]) {
        await endpoint.close();
        const now = usual(`now ${version}`);
        endpoint = version === 1 ? await http1Endpoint(now, port) : await http2Endpoint(now, {}, port);
        await eventually(async () => (await client.ask()).text === `now ${version}`, `an answer by HTTP/${version}`);
        assert.equal((await exchange(sluice.port('edge'), GET)).body.toString(), `now ${version}`);
      }
      await finish(sluice, [endpoint]);
    });

    for (const [name, refuse] of Object.entries(REFUSALS)) {
      it(`learns that an endpoint speaks HTTP/1 which ${name} what it makes of the preface`, async () => {
        const script = async (wire: Wire): Promise<void> => {
          const start = await wire.until(() => wire.bytes.length >= 4 && wire.text, 'the first octets');
          if (start.startsWith('PRI ')) return refuse(wire);
          for (;;) {
            await wire.message();
            wire.write(OK);
          }
        };
        await across(io, await upstream(script), AUTO, async (sluice, endpoint) => {
          const client = await Http2Client.open(sluice.port('edge'));
          const answers = await Promise.all([1, 2, 3].map(() => client.ask({ ':path': '/' })));
          for (const answer of answers) assert.equal(answer.text, 'ok');
          const made = endpoint.connections.length;
          assert.equal((await client.ask({ ':path': '/' })).text, 'ok');
          assert.equal(endpoint.connections.length, made);
          assert.equal(await sluice.metric('sluice_endpoint_protocol'), 1);
        });
      });
    }

    it('learns nothing from an endpoint that is not there', async () => {
      const gone = await http1Endpoint();
      await gone.close();
      const sluice = await startGateway(io, [gone.address], AUTO);
      const client = await Http2Client.open(sluice.port('edge'));
      assert.equal((await client.ask({ ':path': '/' })).status, 502);
      assert.equal(await sluice.metric('sluice_endpoint_protocol'), 0);
      await finish(sluice, []);
    });

    it('tells why a request was not sent that is no more what the endpoints left could read', async () => {
      const modern = [await http2Endpoint(), await http2Endpoint()];
      const addresses = [`127.0.0.1:${await deadPort()}`, ...modern.map(({ address }) => address)];
      const sluice = await startGateway(io, addresses, {
        ...ONE_WORKER,
        service: [
          '    balance: { policy: round-robin }',
          '    breaker: { failures: 0 }',
          '    retry: { replayBytes: 0 }',
        ].join('\n'),
      });
      const port = sluice.port('edge');
      const learned = () => sluice.metric('sluice_endpoint_protocol', { protocol: 'http2' });
      await eventually(async () => (await exchange(port, GET)).status === 200 && (await learned()) === 2, 'both known');
      const seen = new Set<unknown>();
      for (let i = 0; i < 10; i++) {
        const { status, field } = await exchange(port, ECHO);
        seen.add(`${status} ${field('sluice-error') ?? ''}`);
      }
      // Each takes three turns, so that the next begins where this one did.
      assert.deepEqual([...seen], ['502 connect-failed']);
      assert.equal(await sluice.metric('sluice_service_no_endpoint_total'), 0);
      await finish(sluice, modern);
    });

    describe('asked by clients of HTTP/1', () => {
      it('learns HTTP/2 from the first answer, which the client never sees', async () => {
        await across(io, await http2Endpoint(), ONE_WORKER, async (sluice) => {
          const port = sluice.port('edge');
          const answers = await Promise.all(
            Array.from({ length: 8 }, (_, i) => exchange(port, i % 2 === 0 ? GET : ECHO)),
          );
          for (const { body } of answers) assert.equal(body.toString(), 'hello');
          assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
          const body = content(200_000);
          const head = `POST /digest HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`;
          const large = await exchange(port, Buffer.concat([Buffer.from(head), body]));
          assert.deepEqual(JSON.parse(large.body.toString()), digestOf(body));
        });
      });

      it('learns HTTP/1 too, and follows an endpoint that changes', async () => {
        let endpoint: Endpoint = await http1Endpoint();
        const { port: at } = endpoint;
        const sluice = await startGateway(io, [endpoint.address], ONE_WORKER);
        const port = sluice.port('edge');
        const learned = (protocol: string) => sluice.metric('sluice_endpoint_protocol', { protocol });
        assert.equal((await exchange(port, GET)).status, 200);
        assert.equal(await learned('http1'), 1);
        await endpoint.close();
        endpoint = await http2Endpoint(undefined, {}, at);
        assert.equal((await exchange(port, GET)).body.toString(), 'hello');
        assert.equal(await learned('http2'), 1);
        await endpoint.close();
        endpoint = await http1Endpoint(undefined, at);
        await eventually(async () => (await exchange(port, GET)).status === 200, 'HTTP/1 is learned again');
        assert.equal(await learned('http1'), 1);
        await finish(sluice, [endpoint]);
      });

      it('serves a client that is silent at first', async () => {
        await across(io, await http2Endpoint(), ONE_WORKER, async (sluice) => {
          for (let i = 0; i < 2; i++) {
            const wire = await dialHttp1(sluice.port('edge'));
            await new Promise((resolve) => setTimeout(resolve, 150));
            wire.write(GET);
            assert.equal((await wire.message()).body.toString(), 'hello');
            wire.destroy();
          }
        });
      });
    });
  });
}
