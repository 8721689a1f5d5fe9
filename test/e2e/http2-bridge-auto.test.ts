// `protocol: auto`: what an endpoint speaks is learned, per endpoint, whatever its clients speak.
import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { content, digestOf, usual } from '../support/content.js';
import { quiet, startGateway, tearDown } from '../support/gateway.js';
import { exchange } from '../support/http.js';
import { type Endpoint, Http2Client, hangUp, http1Endpoint, http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

afterEach(hangUp);
after(tearDown);

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';

async function finish(sluice: Sluice, endpoints: readonly Endpoint[]): Promise<void> {
  hangUp();
  await quiet(sluice);
  assert.equal(await sluice.stop(), 0);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
}

for (const io of await availableExecutors()) {
  describe(`endpoints of unknown protocol on ${io}`, () => {
    for (const first of ['http1', 'http2'] as const) {
      it(`one of each version serves clients of each, of which ${first} comes first`, async () => {
        const old = await http1Endpoint(usual('old'));
        const new_ = await http2Endpoint(usual('new'));
        const sluice = await startGateway(io, [old.address, new_.address], {
          speaks: 'auto',
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

    it('many requests at once, before anything is known, all succeed', async () => {
      const old = await http1Endpoint(usual('old'));
      const new_ = await http2Endpoint(usual('new'));
      const sluice = await startGateway(io, [old.address, new_.address], { speaks: 'auto' });
      const client = await Http2Client.open(sluice.port('edge'));
      const [streams, connections] = await Promise.all([
        Promise.all(Array.from({ length: 50 }, () => client.ask())),
        Promise.all(Array.from({ length: 20 }, () => exchange(sluice.port('edge'), GET))),
      ]);
      assert.deepEqual(
        streams.map(({ status }) => status),
        Array(50).fill(200),
      );
      assert.deepEqual(
        connections.map(({ status }) => status),
        Array(20).fill(200),
      );
      await finish(sluice, [old, new_]);
    });

    it('an endpoint that comes back with another version is learned anew', async () => {
      const old = await http1Endpoint(usual('old'));
      const sluice = await startGateway(io, [old.address], { speaks: 'auto' });
      const client = await Http2Client.open(sluice.port('edge'));
      assert.equal((await client.ask()).text, 'old');
      await old.close();
      const new_ = await http2Endpoint(usual('new'), {}, old.port);
      await eventually(async () => {
        const { status, text } = await client.ask();
        return status === 200 && text === 'new';
      }, 'the new one is used');
      assert.equal((await exchange(sluice.port('edge'), GET)).body.toString(), 'new');
      await finish(sluice, [new_]);
    });
  });
}
