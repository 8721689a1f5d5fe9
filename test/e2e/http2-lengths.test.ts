// Lengths where there is no content: nghttp2, as which Node.js reads HTTP/2, resets a stream with one.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { availableExecutors, startSluice } from '../support/sluice.js';

const server = createServer();
let port = 0;
/** Trailers of requests. */
const arrived: IncomingHttpHeaders[] = [];

before(async () => {
  server.on('stream', (stream, { ':path': path }) => {
    stream.on('trailers', (fields) => arrived.push(fields));
    stream.resume();
    stream.on('end', () => answer(stream, path));
  });
  const answer = (stream: ServerHttp2Stream, path: string | undefined): void => {
    if (path === '/interim') stream.additionalHeaders({ ':status': 103, 'content-length': '5', link: '<a>' });
    if (path === '/204') {
      stream.respond({ ':status': 204, 'content-length': '5' }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'content-length': '5', 'x-sum': '1' }));
    stream.end('ok');
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
after(() => server.close());

for (const io of await availableExecutors())
  test(`${io}: the length of what has no content is not passed on`, async (t) => {
    const proxy = await startSluice(
      `listeners:\n  - { name: edge, listen: "127.0.0.1:0", service: web }\n` +
        `services: { web: { endpoints: ["127.0.0.1:${port}"], protocol: http2 } }\n`,
      io,
    );
    t.after(() => proxy.stop());
    const session = connect(`http://127.0.0.1:${proxy.port('edge')}`);
    t.after(() => session.destroy());
    const ask = async (path: string) => {
      const request = session.request({ ':path': path, ':method': 'POST', te: 'trailers' }, { waitForTrailers: true });
      const interim: IncomingHttpHeaders[] = [];
      const trailers: IncomingHttpHeaders[] = [];
      request.on('headers', (fields) => interim.push(fields));
      request.on('trailers', (fields) => trailers.push(fields));
      request.on('wantTrailers', () => request.sendTrailers({ 'content-length': '7', 'x-own': path }));
      request.end('body');
      const [fields] = (await once(request, 'response')) as [IncomingHttpHeaders];
      request.resume();
      await once(request, 'close');
      assert.equal(request.rstCode, 0);
      return { fields, interim, trailers };
    };
    const early = await ask('/interim');
    assert.deepEqual(
      early.interim.map(({ link, 'content-length': length }) => [link, length]),
      [['<a>', undefined]],
    );
    assert.deepEqual(
      early.trailers.map(({ 'x-sum': sum, 'content-length': length }) => [sum, length]),
      [['1', undefined]],
    );
    const empty = await ask('/204');
    assert.deepEqual([empty.fields[':status'], empty.fields['content-length']], [204, undefined]);
    assert.deepEqual(
      arrived.splice(0).map(({ 'x-own': own, 'content-length': length }) => [own, length]),
      [
        ['/interim', undefined],
        ['/204', undefined],
      ],
    );
  });
