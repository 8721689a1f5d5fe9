// WebSockets of `ws` whose two ends speak different versions of HTTP (RFC 8441), and the same one.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { constants, type IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, afterEach, before, describe, it } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { content } from '../support/content.js';
import { across, quiet, startGateway, tearDown } from '../support/gateway.js';
import { Http2Client, type Http2Endpoint, hangUp, http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

const SIZES = [0, 1, 125, 126, 65_536, 1_000_003, 5_000_000];

afterEach(hangUp);
after(tearDown);

/** What `ws` has for a socket that somebody else has upgraded; its types do not name it. */
interface Adoptable {
  _isServer: boolean;
  setSocket(socket: Duplex, head: Buffer, options: object): void;
}

/** A WebSocket of `ws` over a stream whose handshake is done. */
function adopt(stream: Duplex, server: boolean): WebSocket {
  const socket = new WebSocket(null as unknown as string, undefined, { autoPong: true });
  const inner = socket as unknown as Adoptable;
  inner._isServer = server;
  inner.setSocket(stream, Buffer.alloc(0), {
    allowSynchronousEvents: true,
    maxPayload: 100 << 20,
    skipUTF8Validation: false,
  });
  return socket;
}

function echo(socket: WebSocket): void {
  socket.on('error', () => undefined);
  socket.send('welcome');
  socket.on('message', (data, binary) => socket.send(data, { binary }));
}

/** Says the same on both sides, whichever versions they speak. */
async function converse(socket: WebSocket, overStream = false): Promise<void> {
  const messages: { data: Buffer; binary: boolean }[] = [];
  let wake: () => void = () => undefined;
  socket.on('message', (data: Buffer, binary) => {
    messages.push({ data, binary });
    wake();
  });
  const next = async (): Promise<{ data: Buffer; binary: boolean }> => {
    while (messages.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return messages.shift() ?? assert.fail();
  };
  assert.equal((await next()).data.toString(), 'welcome');
  socket.send('text: äöü');
  const text = await next();
  assert.deepEqual([text.data.toString(), text.binary], ['text: äöü', false]);
  for (const size of SIZES) {
    socket.send(content(size));
    const { data, binary } = await next();
    assert.ok(binary);
    assert.ok(data.equals(content(size)), `${size} bytes`);
  }
  for (let i = 0; i < 200; i++) socket.send(String(i));
  for (let i = 0; i < 200; i++) assert.equal((await next()).data.toString(), String(i));
  socket.ping('are you there');
  const [pong] = (await once(socket, 'pong')) as [Buffer];
  assert.equal(pong.toString(), 'are you there');
  socket.close(1000, 'done');
  const [code] = (await once(socket, 'close')) as [number];
  // The server ends its side of the stream at once, which Node calls aborted and `ws` therefore 1006; without a proxy too.
  if (!overStream) assert.equal(code, 1000);
}

const HANDSHAKE = {
  ':method': 'CONNECT',
  ':protocol': 'websocket',
  ':scheme': 'http',
  'sec-websocket-version': '13',
} as const;

/** Opens one by extended CONNECT. */
async function connect(client: Http2Client, path = '/chat'): Promise<WebSocket> {
  const stream = client.session.request({
    ...HANDSHAKE,
    ':authority': 'peers.test',
    ':path': path,
    origin: 'http://peers.test',
  });
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  assert.equal(headers[':status'], 200);
  return adopt(stream, false);
}

for (const io of await availableExecutors()) {
  describe(`WebSockets across versions on ${io}`, () => {
    let http1: Server;
    let http2: Http2Endpoint;
    let asked: string[];
    const closed: number[] = [];
    const accepted = new Set<Duplex>();

    before(async () => {
      http1 = createServer((_, response) => response.end('plain'));
      const sockets = new WebSocketServer({ server: http1 });
      sockets.on('connection', (socket, request) => {
        asked.push(`${request.method} ${request.url} ${request.headers.host}`);
        socket.once('close', (code) => closed.push(code));
        echo(socket);
      });
      http1.on('connection', (socket) => {
        accepted.add(socket);
        socket.once('close', () => accepted.delete(socket));
      });
      http1.listen(0, '127.0.0.1');
      await once(http1, 'listening');
      http2 = await http2Endpoint(null, { settings: { enableConnectProtocol: true } });
      http2.server.on('stream', (stream, headers) => {
        asked.push(`${headers[':method']} ${headers[':path']} ${headers[':authority']} ${headers[':protocol']}`);
        if (headers[':protocol'] !== 'websocket') {
          stream.respond({ ':status': 200 });
          stream.end('plain');
          return;
        }
        stream.respond({ ':status': 200 });
        const socket = adopt(stream, true);
        socket.once('close', (code) => closed.push(code));
        echo(socket);
      });
    });
    after(async () => {
      for (const socket of accepted) socket.destroy();
      http1.close();
      await http2.close();
    });

    for (const back of ['http1', 'http2'] as const) {
      describe(`endpoint of ${back}`, () => {
        let sluice: Sluice;

        before(async () => {
          asked = [];
          const port = back === 'http1' ? (http1.address() as AddressInfo).port : http2.port;
          sluice = await startGateway(io, [`127.0.0.1:${port}`], { speaks: back });
        });
        after(async () => {
          hangUp();
          await quiet(sluice);
          assert.equal(await sluice.stop(), 0);
        });

        it('converses with a client of HTTP/1.1', async () => {
          asked = [];
          const socket = new WebSocket(`ws://127.0.0.1:${sluice.port('edge')}/chat`);
          await converse(socket);
          assert.equal(asked.length, 1);
          assert.match(asked[0] ?? '', back === 'http1' ? /^GET \/chat / : /^CONNECT \/chat .* websocket$/);
        });

        it('converses with a client of HTTP/2', async () => {
          asked = [];
          const client = await Http2Client.open(sluice.port('edge'));
          assert.equal(client.session.remoteSettings.enableConnectProtocol, true);
          await converse(await connect(client), true);
          assert.equal(asked.length, 1);
          await eventually(() => closed.at(-1) === 1000, 'the endpoint sees an orderly end');
          assert.match(
            asked[0] ?? '',
            back === 'http1' ? /^GET \/chat peers\.test/ : /^CONNECT \/chat peers\.test websocket$/,
          );
        });

        it('converses with many at once, beside ordinary requests', async () => {
          const client = await Http2Client.open(sluice.port('edge'));
          const several = Array.from({ length: 5 }, async () => converse(await connect(client), true));
          const others = Array.from({ length: 5 }, () =>
            converse(new WebSocket(`ws://127.0.0.1:${sluice.port('edge')}/chat`)),
          );
          const plain = Array.from({ length: 20 }, () => client.ask());
          await Promise.all([...several, ...others]);
          for (const { status, text } of await Promise.all(plain)) assert.deepEqual([status, text], [200, 'plain']);
        });

        it('hears of a client that is gone', async () => {
          const client = await Http2Client.open(sluice.port('edge'));
          const dialled = [
            () => connect(client),
            () => Promise.resolve(new WebSocket(`ws://127.0.0.1:${sluice.port('edge')}/chat`)),
          ];
          for (const dial of dialled) {
            const socket = await dial();
            const before_ = closed.length;
            socket.on('error', () => undefined);
            await once(socket, 'message');
            socket.terminate();
            await eventually(() => closed.length === before_ + 1, 'the endpoint sees the end');
          }
        });
      });
    }

    it('an endpoint that refuses says so to either client', async () => {
      await across(io, await refusing(), {}, async (sluice) => {
        const { status, text } = await refusal(sluice, '/refused');
        assert.deepEqual([status, text], [403, 'no']);
        const client = await Http2Client.open(sluice.port('edge'));
        const answer = await client.ask({ ...HANDSHAKE, ':path': '/refused' });
        assert.deepEqual([answer.status, answer.text], [403, 'no']);
      });
    });

    it('an endpoint that takes none has it answered with 501', async () => {
      const endpoint = await http2Endpoint(null);
      endpoint.server.on('stream', (stream) => stream.respond({ ':status': 200 }));
      await across(io, endpoint, {}, async (sluice) => {
        for (let i = 0; i < 2; i++) {
          const { status, error } = await refusal(sluice, '/');
          assert.deepEqual([status, error], [501, 'not-implemented']);
        }
      });
    });

    it('what a client of HTTP/2 says before an endpoint of HTTP/1.1 has agreed reaches it, and the end is clean', async () => {
      const endpoint = { address: `127.0.0.1:${(http1.address() as AddressInfo).port}`, close: async () => undefined };
      await across(io, endpoint, { speaks: 'http1' }, async (sluice) => {
        const client = await Http2Client.open(sluice.port('edge'));
        const stream = client.start({ ...HANDSHAKE, ':path': '/chat' });
        // A masked text frame, mask 0.
        const text = (words: string): Buffer =>
          Buffer.concat([Buffer.from([0x81, 0x80 | words.length, 0, 0, 0, 0]), Buffer.from(words)]);
        stream.write(text('early'));
        const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
        assert.equal(headers[':status'], 200);
        assert.equal(headers['sec-websocket-accept'], undefined);
        let got = Buffer.alloc(0);
        stream.on('data', (chunk: Buffer) => {
          got = Buffer.concat([got, chunk]);
        });
        await eventually(() => got.includes('early'), 'echo');
        stream.write(text('later'));
        await eventually(() => got.includes('later'), 'echo');
        // Close frame 1000: the server answers with its own and ends the connection.
        stream.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
        await eventually(() => got.includes(Buffer.from([0x88, 0x02, 0x03, 0xe8])), 'close');
        stream.end();
        await once(stream, 'close');
        assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR);
      });
    });
  });
}

/** An endpoint of HTTP/2 that knows WebSockets and wants none. */
async function refusing(): Promise<Http2Endpoint> {
  const endpoint = await http2Endpoint(null, { settings: { enableConnectProtocol: true } });
  endpoint.server.on('stream', (stream) => {
    stream.respond({ ':status': 403, 'content-length': '2' });
    stream.end('no');
  });
  return endpoint;
}

/** The response with which a client of HTTP/1.1 is refused. */
async function refusal(sluice: Sluice, path: string): Promise<{ status: number; text: string; error: unknown }> {
  const socket = new WebSocket(`ws://127.0.0.1:${sluice.port('edge')}${path}`);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  const { socket: connection } = response;
  let text = '';
  for await (const chunk of response.setEncoding('latin1')) text += chunk;
  connection.destroy();
  return { status: response.statusCode ?? 0, text, error: response.headers['sluice-error'] };
}
