// Endpoints that end their connections in order, again and again, as those do that have a maximum age: uploads of any size go on, and
// nobody sees anything of it.
import assert from 'node:assert/strict';
import { Agent, request as askHttp1 } from 'node:http';
import { after, describe, it } from 'node:test';
import { content, sha1 } from '../support/content.js';
import { quiet, startGateway, tearDown } from '../support/gateway.js';
import { Http2Client, type Http2Endpoint, hangUp, http2Endpoint } from '../support/http2.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';

const LANES = 16;
const UPLOADS = 400;
/** Requests after which a connection is ended, with others under way on it. */
const PER_CONNECTION = 25;

after(tearDown);

/** Says what it was sent, and ends each connection after some requests. */
async function aging(): Promise<Http2Endpoint> {
  const endpoint = await http2Endpoint((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => response.end(sha1(Buffer.concat(pieces))));
  });
  endpoint.server.on('session', (session) => {
    let streams = 0;
    session.on('stream', () => {
      if (++streams === PER_CONNECTION) session.close();
    });
  });
  return endpoint;
}

const sizes = Array.from({ length: UPLOADS }, (_, i) => 20_000 + ((i * 7919) % 380_000));

/** Asks for all uploads in lanes; returns what was not right. */
async function upload(post: (body: Buffer) => Promise<string>): Promise<string[]> {
  const wrong: string[] = [];
  const left = [...sizes];
  const lane = async (): Promise<void> => {
    for (let size = left.pop(); size !== undefined; size = left.pop()) {
      const body = content(size);
      const said = await post(body).catch(String);
      if (said !== `200 ${sha1(body)}`) wrong.push(`${size}: ${said}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return wrong;
}

function postHttp1(port: number, agent: Agent, body: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = askHttp1({ host: '127.0.0.1', port, method: 'POST', agent }, (response) => {
      let said = '';
      response.on('data', (piece: Buffer) => {
        said += piece.toString('latin1');
      });
      response.once('end', () => resolve(`${response.statusCode} ${said}`));
      response.once('error', reject);
    });
    request.once('error', reject);
    request.end(body);
  });
}

for (const io of await availableExecutors()) {
  describe(`endpoints whose connections have an age on ${io}`, () => {
    const through = async (run: (sluice: Sluice) => Promise<string[]>): Promise<void> => {
      const endpoint = await aging();
      const sluice = await startGateway(io, [endpoint.address], { speaks: 'http2' });
      assert.deepEqual(await run(sluice), []);
      assert.ok(endpoint.connections > UPLOADS / PER_CONNECTION / 2, `${endpoint.connections} connections`);
      assert.ok(
        (await sluice.metric('sluice_http2_refused_retries_total', { role: 'client' })) > 0,
        'none was refused',
      );
      hangUp();
      await quiet(sluice);
      await sluice.stop();
      await endpoint.close();
    };

    it('cost uploads from HTTP/1 clients nothing', () =>
      through(async (sluice) => {
        const agent = new Agent({ keepAlive: true });
        const wrong = await upload((body) => postHttp1(sluice.port('edge'), agent, body));
        agent.destroy();
        return wrong;
      }));

    it('cost uploads from HTTP/2 clients nothing', () =>
      through(async (sluice) => {
        const client = await Http2Client.open(sluice.port('edge'));
        return await upload(async (body) => {
          const { status, text } = await client.ask({ ':method': 'POST' }, { body });
          return `${status} ${text}`;
        });
      }));
  });
}
