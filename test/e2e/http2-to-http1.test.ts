// HTTP/2 clients of endpoints that speak HTTP/1: what arrives on either side, and what is left when things go wrong.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { constants } from 'node:http2';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { WebSocketServer } from 'ws';
import {
  type Behaviour,
  content,
  digestOf,
  type Endpoint,
  Http2Client,
  hangUp,
  http1Endpoint,
  http2Endpoint,
  quiet,
  Reset,
  reply,
  startGateway,
  usual,
} from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

const MIB = 1 << 20;
const SIZES = [0, 1, 100, 16_384, 65_535, 65_536, 300_000, 16 * MIB];

interface Raw {
  readonly port: number;
  readonly address: string;
  /** Sockets that have come. */
  readonly sockets: Socket[];
  close(): Promise<void>;
}

/** An endpoint that says what the test likes: `serve` is called with every socket and what has come on it, each time more comes. */
async function rawEndpoint(serve: (socket: Socket, text: string, nth: number) => void): Promise<Raw> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    const nth = sockets.push(socket) - 1;
    let text = '';
    socket.on('error', () => undefined);
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      serve(socket, text, nth);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    port,
    address: `127.0.0.1:${port}`,
    sockets,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** GET by HTTP/1; the body. */
function getHttp1(port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', path }, (response) => {
      let text = '';
      response.setEncoding('latin1').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => resolve(text));
    }).once('error', reject);
  });
}

for (const io of await availableExecutors()) {
  describe(`HTTP/2 to HTTP/1 on ${io}`, () => {
    after(hangUp);

    async function between<T>(
      behaviour: Behaviour,
      run: (client: Http2Client, sluice: Sluice, endpoint: Endpoint) => Promise<T>,
      gateway: Parameters<typeof startGateway>[2] = {},
    ): Promise<T> {
      const endpoint = await http1Endpoint(behaviour);
      const sluice = await startGateway(io, [endpoint.address], { speaks: 'http1', ...gateway });
      try {
        const client = await Http2Client.open(sluice.port('edge'));
        const result = await run(client, sluice, endpoint);
        client.close();
        await quiet(sluice);
        return result;
      } finally {
        hangUp();
        await sluice.stop();
        await endpoint.close();
      }
    }

    async function withRaw(
      serve: (socket: Socket, text: string, nth: number) => void,
      run: (client: Http2Client, sluice: Sluice, endpoint: Raw) => Promise<void>,
      gateway: Parameters<typeof startGateway>[2] = {},
    ): Promise<void> {
      const endpoint = await rawEndpoint(serve);
      const sluice = await startGateway(io, [endpoint.address], { speaks: 'http1', ...gateway });
      try {
        const client = await Http2Client.open(sluice.port('edge'));
        await run(client, sluice, endpoint);
        client.close();
        await quiet(sluice);
      } finally {
        hangUp();
        await sluice.stop();
        await endpoint.close();
      }
    }

    it('carries bodies of any size both ways, with and without a length', async () => {
      await between(usual('hello'), async (client) => {
        for (const size of SIZES) {
          const body = content(size);
          for (const query of ['', '?unknown', '?trailers']) {
            const answer = await client.ask({ ':path': `/bytes/${size}${query}` });
            assert.equal(answer.status, 200);
            assert.ok(answer.body.equals(body), `${size} octets of ${query}`);
            if (query === '') assert.equal(answer.headers['content-length'], String(size));
            if (query === '?trailers') assert.equal(answer.trailers['x-last'], 'yes');
          }
          for (const headers of [{}, { 'content-length': String(size) }]) {
            const answer = await client.ask({ ':method': 'POST', ':path': '/digest', ...headers }, { body });
            assert.deepEqual(JSON.parse(answer.text), digestOf(body), `${size} octets, ${JSON.stringify(headers)}`);
          }
          const echo = await client.ask({ ':method': 'POST', ':path': '/echo' }, { body });
          assert.ok(echo.body.equals(body), `${size} octets and back`);
        }
      });
    });

    it('carries trailers of requests in chunked bodies', async () => {
      await between(usual('hello'), async (client) => {
        for (const body of [content(0), content(10), content(200_000)]) {
          const answer = await client.ask(
            { ':method': 'POST', ':path': '/digest' },
            { body, trailers: { 'x-sum': '1' } },
          );
          assert.deepEqual(JSON.parse(answer.text), digestOf(body, { 'x-sum': '1' }));
        }
      });
    });

    it('sends many requests at once over as many connections, and keeps them', async () => {
      await between(usual('hello'), async (client, _sluice, endpoint) => {
        for (let round = 0; round < 3; round++) {
          const answers = await Promise.all(Array.from({ length: 50 }, () => client.ask({ ':path': '/bytes/5000' })));
          for (const { body } of answers) assert.equal(body.length, 5000);
        }
        assert.ok(endpoint.connections <= 50);
      });
    });

    it('knows responses that have no body', async () => {
      await withRaw(
        (socket, text) => {
          if (!text.endsWith('\r\n\r\n')) return;
          const path = text.split('\r\n\r\n').at(-2)?.split(' ')[1];
          if (path === '/204') socket.write('HTTP/1.1 204 No Content\r\n\r\n');
          else if (path === '/304')
            socket.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\nETag: "x"\r\n\r\n');
          else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n');
        },
        async (client, _sluice, endpoint) => {
          assert.equal((await client.ask({ ':path': '/204' })).status, 204);
          const unchanged = await client.ask({ ':path': '/304' });
          assert.equal(unchanged.status, 304);
          assert.equal(unchanged.headers.etag, '"x"');
          const head = await client.ask({ ':method': 'HEAD', ':path': '/' });
          assert.equal(head.headers['content-length'], '1234');
          assert.equal(head.body.length, 0);
          assert.equal(endpoint.sockets.length, 1);
        },
      );
    });

    it('passes on interim responses, and a head that dribbles in', async () => {
      const pieces = [
        'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n',
        '\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 2',
        '00 OK\r\nX-A: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nTransfer-Enc',
        'oding: chunked\r\n\r\n5\r\nhel',
        'lo\r\n6\r\n world\r\n0\r\n',
        'X-Trailer: t\r\n',
        '\r\n',
      ];
      await withRaw(
        async (socket, text) => {
          if (!text.endsWith('\r\n\r\n')) return;
          for (const piece of pieces) {
            socket.write(piece);
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        },
        async (client) => {
          const answer = await client.ask({ ':path': '/' });
          assert.deepEqual(
            answer.informational.map((fields) => fields[':status']),
            [103, 102],
          );
          assert.equal(answer.informational[0].link, '</a.css>');
          assert.equal(answer.text, 'hello world');
          assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2']);
          assert.equal(answer.trailers['x-trailer'], 't');
        },
      );
    });

    it('writes requests as HTTP/1 has them', async () => {
      let seen = '';
      await withRaw(
        (socket, text) => {
          if (!text.endsWith('0\r\n\r\n')) return;
          seen = text;
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        },
        async (client) => {
          await client.ask(
            {
              ':method': 'POST',
              ':path': '/a?b',
              ':authority': 'example.test:8080',
              cookie: ['a=1', 'b=2'],
              'x-y': 'z',
            },
            { body: 'abc' },
          );
          const [head, body] = [seen.slice(0, seen.indexOf('\r\n\r\n')), seen.slice(seen.indexOf('\r\n\r\n') + 4)];
          assert.ok(head.startsWith('POST /a?b HTTP/1.1\r\nHost: example.test:8080\r\n'), head);
          assert.match(head, /\r\ncookie: a=1; b=2/);
          assert.match(head, /\r\nx-y: z/);
          assert.match(head, /\r\ntransfer-encoding: chunked/);
          assert.equal(body, '3\r\nabc\r\n0\r\n\r\n');
        },
      );
    });

    it('waits for 100 (Continue) together with the client', async () => {
      await between(usual('hello'), async (client) => {
        const stream = client.start({ ':method': 'POST', ':path': '/digest', expect: '100-continue' });
        await once(stream, 'continue');
        const answer = reply(stream);
        stream.end('go on');
        assert.deepEqual(JSON.parse((await answer).text), digestOf(Buffer.from('go on')));
      });
    });

    it('takes an answer that comes before the request is complete', async () => {
      await withRaw(
        (socket, text) => {
          if (text.includes('\r\n\r\n') && !socket.destroyed)
            socket.end('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig');
        },
        async (client) => {
          const stream = client.start({ ':method': 'POST', ':path': '/' });
          const answer = reply(stream);
          stream.write(content(100));
          const { status, text } = await answer;
          assert.equal(status, 413);
          assert.equal(text, 'big');
          assert.equal((await client.ask({ ':path': '/' })).status, 413);
        },
      );
    });

    it('ends a stream whose response breaks off', async () => {
      const endings: Readonly<Record<string, string>> = {
        length: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc',
        chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab',
        malformed: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      };
      await withRaw(
        (socket, text) => {
          const path = text.split(' ')[1]?.slice(1) ?? '';
          if (text.endsWith('\r\n\r\n'))
            socket.end(endings[path] ?? (path === 'close' ? 'HTTP/1.1 200 OK\r\n\r\nall' : ''));
        },
        async (client, sluice) => {
          for (const path of Object.keys(endings)) {
            const error = await client.ask({ ':path': `/${path}` }).catch((failure: unknown) => failure);
            assert.ok(error instanceof Reset, path);
            assert.equal(error.code, constants.NGHTTP2_INTERNAL_ERROR, path);
          }
          assert.equal((await client.ask({ ':path': '/close' })).text, 'all');
          const none = await client.ask({ ':path': '/none' });
          assert.equal(none.status, 502);
          assert.equal(none.headers['sluice-error'], 'upstream-reset');
          const grpc = await client.ask(
            { ':method': 'POST', ':path': '/none', 'content-type': 'application/grpc', te: 'trailers' },
            { body: '' },
          );
          assert.equal(grpc.headers['grpc-status'], '14');
          assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 5);
        },
      );
    });

    it('refuses what is no HTTP/1 response', async () => {
      await withRaw(
        (socket, text) => {
          if (text.endsWith('\r\n\r\n')) socket.write('SSH-2.0-nothing for you\r\n');
        },
        async (client) => {
          const answer = await client.ask({ ':path': '/' });
          assert.equal(answer.status, 502);
          assert.equal(answer.headers['sluice-error'], 'upstream-protocol');
        },
      );
    });

    it('answers itself where HTTP/1 has no form for a request', async () => {
      await between(usual('hello'), async (client, _sluice, endpoint) => {
        const other = client.start({ ':method': 'CONNECT', ':protocol': 'chat', ':scheme': 'http', ':path': '/' });
        assert.equal((await reply(other)).status, 501);
        const expectation = await client.ask({ ':method': 'POST', ':path': '/', expect: 'magic' }, { body: 'x' });
        assert.equal(expectation.status, 417);
        assert.equal(endpoint.requests, 0);
      });
    });

    it('holds back an endpoint whose client is slow', async () => {
      await between(usual('hello'), async (client, sluice) => {
        const stream = client.start({ ':path': `/bytes/${16 * MIB}` }, true);
        const answer = reply(stream);
        stream.pause();
        await once(stream, 'response');
        await eventually(
          async () => (await sluice.metric('sluice_limit_total', { limit: 'buffered-bytes' })) > 0,
          'pause',
        );
        const held = async (): Promise<number> =>
          (await sluice.metric('sluice_slab_buffers')) - (await sluice.metric('sluice_slab_free_buffers'));
        await new Promise((resolve) => setTimeout(resolve, 400));
        assert.ok((await held()) * 16_384 < 2 * MIB, `${await held()} buffers held`);
        // Others are served meanwhile.
        assert.equal((await client.ask({ ':path': '/bytes/10' })).body.length, 10);
        stream.resume();
        assert.equal((await answer).body.length, 16 * MIB);
      });
    });

    it('holds back a client whose endpoint is slow', async () => {
      let go = (): void => undefined;
      const body = content(8 * MIB);
      await between(
        (request, response) => {
          go = () => usual('hello')(request, response);
        },
        async (client, sluice) => {
          const answer = client.ask({ ':method': 'POST', ':path': '/digest' }, { body });
          await eventually(async () => (await sluice.metric('sluice_endpoint_in_flight')) === 1, 'request');
          await new Promise((resolve) => setTimeout(resolve, 400));
          const held = (await sluice.metric('sluice_slab_buffers')) - (await sluice.metric('sluice_slab_free_buffers'));
          assert.ok(held * 16_384 < 4 * MIB, `${held} buffers held`);
          go();
          assert.deepEqual(JSON.parse((await answer).text), digestOf(body));
        },
      );
    });

    it('closes the connection of a request that its client takes back', async () => {
      await between(
        () => undefined,
        async (client, sluice, endpoint) => {
          const stream = client.start({ ':path': '/' }, true);
          await eventually(() => endpoint.requests === 1, 'request');
          stream.close(constants.NGHTTP2_CANCEL);
          await eventually(() => endpoint.open === 0, 'closed');
          assert.equal(await sluice.metric('sluice_endpoint_abandoned_total'), 1);
        },
      );
    });

    it('shares its connections with HTTP/1 clients', async () => {
      await between(usual('hello'), async (client, sluice, endpoint) => {
        for (let i = 0; i < 5; i++) {
          assert.equal((await client.ask({ ':path': '/' })).text, 'hello');
          assert.equal(await getHttp1(sluice.port('edge')), 'hello');
        }
        assert.equal(endpoint.connections, 1);
      });
    });

    it('sends a request again that a pooled connection has lost', async () => {
      // Every connection serves one request and breaks at the next.
      await withRaw(
        (socket, text) => {
          const requests = text.split('\r\n\r\n').length - 1;
          if (requests > 1) socket.resetAndDestroy();
          // The beginning of another one is none yet.
          else if (text.endsWith('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        },
        async (client, _sluice, endpoint) => {
          for (let i = 0; i < 4; i++) assert.equal((await client.ask({ ':path': '/' })).text, 'ok');
          assert.equal(endpoint.sockets.length, 3 + 1);
          // What may have been processed is not sent again.
          const answer = await client.ask({ ':method': 'POST', ':path': '/' }, { body: 'x' });
          assert.equal(answer.status, 502);
        },
      );
    });

    it('goes to another endpoint where one is not there', async () => {
      const gone = await http1Endpoint();
      const there = await http1Endpoint(usual('there'));
      await gone.close();
      const sluice = await startGateway(io, [gone.address, there.address], { speaks: 'http1' });
      try {
        const client = await Http2Client.open(sluice.port('edge'));
        for (let i = 0; i < 10; i++) {
          const answer = await client.ask({ ':method': 'POST', ':path': '/digest' }, { body: content(50_000) });
          assert.deepEqual(JSON.parse(answer.text), digestOf(content(50_000)));
        }
        client.close();
        await quiet(sluice);
      } finally {
        await sluice.stop();
        await there.close();
      }
    });

    it('gives up an endpoint that does not answer in time', async () => {
      await between(
        () => undefined,
        async (client) => {
          const answer = await client.ask({ ':path': '/' });
          assert.equal(answer.status, 504);
          assert.equal(answer.headers['sluice-error'], 'response-timeout');
        },
        { service: '    responseTimeout: 300ms' },
      );
    });

    it('opens WebSockets', async () => {
      const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
      await once(server, 'listening');
      server.on('connection', (socket) => {
        socket.on('message', (data, binary) => socket.send(data, { binary }));
      });
      const { port } = server.address() as { port: number };
      const sluice = await startGateway(io, [`127.0.0.1:${port}`], { speaks: 'http1' });
      try {
        const client = await Http2Client.open(sluice.port('edge'));
        const stream = client.start({
          ':method': 'CONNECT',
          ':protocol': 'websocket',
          ':scheme': 'http',
          ':path': '/chat',
          'sec-websocket-version': '13',
        });
        // Sent before the endpoint has agreed: a masked text frame, mask 0.
        const text = (words: string): Buffer =>
          Buffer.concat([Buffer.from([0x81, 0x80 | words.length, 0, 0, 0, 0]), Buffer.from(words)]);
        stream.write(text('early'));
        const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
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
        client.close();
        await quiet(sluice);
      } finally {
        await sluice.stop();
        for (const socket of server.clients) socket.terminate();
        server.close();
      }
    });

    it('carries what comes through a tunnel after one side has ended', async () => {
      await withRaw(
        (socket, text, nth) => {
          if (nth === 0 && text.endsWith('\r\n\r\n')) {
            socket.write('HTTP/1.1 200 OK\r\n\r\n');
            socket.once('end', () => socket.end('all heard'));
          }
        },
        async (client, _sluice, endpoint) => {
          const stream = client.start({ ':method': 'CONNECT', ':authority': 'far.test:22' });
          const answer = reply(stream);
          await once(stream, 'response');
          stream.end('ping');
          assert.equal((await answer).text, 'all heard');
          assert.equal(endpoint.sockets.length, 1);
        },
      );
    });

    describe('where the protocol is found out', () => {
      it('learns that an endpoint speaks HTTP/1, whatever it makes of the preface', async () => {
        const ways: Readonly<Record<string, (socket: Socket) => void>> = {
          answers: (socket) => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'),
          closes: (socket) => socket.end(),
          resets: (socket) => socket.resetAndDestroy(),
        };
        for (const [name, refuse] of Object.entries(ways)) {
          await withRaw(
            (socket, text) => {
              if (text.startsWith('PRI ')) refuse(socket);
              else if (text.endsWith('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
            },
            async (client, sluice, endpoint) => {
              const answers = await Promise.all([1, 2, 3].map(() => client.ask({ ':path': '/' })));
              for (const answer of answers) assert.equal(answer.text, 'ok', name);
              const made = endpoint.sockets.length;
              assert.equal((await client.ask({ ':path': '/' })).text, 'ok', name);
              assert.equal(endpoint.sockets.length, made);
              assert.equal(await sluice.metric('sluice_endpoint_protocol'), 1);
            },
            { speaks: 'auto' },
          );
        }
      });

      it('works with HTTP/1 servers and HTTP/2 servers side by side', async () => {
        const one = await http1Endpoint(usual('one'));
        const two = await http2Endpoint(usual('two'));
        const sluice = await startGateway(io, [one.address, two.address], { speaks: 'auto' });
        try {
          const client = await Http2Client.open(sluice.port('edge'));
          const texts = new Set<string>();
          for (let i = 0; i < 40; i++) texts.add((await client.ask({ ':path': '/' })).text);
          assert.deepEqual([...texts].sort(), ['one', 'two']);
          client.close();
          await quiet(sluice);
        } finally {
          await sluice.stop();
          await one.close();
          await two.close();
        }
      });

      it('follows an endpoint that is replaced by one of the other version', async () => {
        let endpoint: Endpoint = await http2Endpoint(usual('two'));
        const { port, address } = endpoint;
        const sluice = await startGateway(io, [address], { speaks: 'auto' });
        try {
          const client = await Http2Client.open(sluice.port('edge'));
          for (const version of [2, 1, 2, 1]) {
            await endpoint.close();
            endpoint =
              version === 1 ? await http1Endpoint(usual('now 1'), port) : await http2Endpoint(usual('now 2'), {}, port);
            await eventually(
              async () => (await client.ask({ ':path': '/' })).text === `now ${version}`,
              `an answer by HTTP/${version}`,
            );
          }
          client.close();
          await quiet(sluice);
        } finally {
          await sluice.stop();
          await endpoint.close();
        }
      });

      it('learns nothing from an endpoint that is not there', async () => {
        const gone = await http1Endpoint();
        await gone.close();
        const sluice = await startGateway(io, [gone.address], { speaks: 'auto' });
        try {
          const client = await Http2Client.open(sluice.port('edge'));
          assert.equal((await client.ask({ ':path': '/' })).status, 502);
          assert.equal(await sluice.metric('sluice_endpoint_protocol'), 0);
          client.close();
          await quiet(sluice);
        } finally {
          await sluice.stop();
        }
      });
    });
  });
}
