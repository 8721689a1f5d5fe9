// HTTP/2 clients of endpoints that speak HTTP/1: what is left when things go wrong, or slowly.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:http2';
import { after, afterEach, describe, it } from 'node:test';
import { type Behaviour, content, digestOf, usual } from '../support/content.js';
import { across, type Gateway, quiet, startGateway, tearDown } from '../support/gateway.js';
import { OK, type Upstream, upstream, type Wire } from '../support/http.js';
import { type Endpoint, Http2Client, hangUp, http1Endpoint, Reset, reply } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

const MIB = 1 << 20;

afterEach(hangUp);
after(tearDown);

for (const io of await availableExecutors()) {
  describe(`HTTP/2 to HTTP/1 in trouble on ${io}`, () => {
    const between = async (
      behaviour: Behaviour,
      run: (client: Http2Client, sluice: Sluice, endpoint: Endpoint) => Promise<void>,
      gateway: Gateway = {},
    ): Promise<void> =>
      across(io, await http1Endpoint(behaviour), { speaks: 'http1', ...gateway }, async (sluice, endpoint) =>
        run(await Http2Client.open(sluice.port('edge')), sluice, endpoint),
      );

    /** With an endpoint that says on each connection what `script` says. */
    const scripted = async (
      script: (wire: Wire) => Promise<void>,
      run: (client: Http2Client, sluice: Sluice, endpoint: Upstream) => Promise<void>,
    ): Promise<void> =>
      across(io, await upstream(script), { speaks: 'http1' }, async (sluice, endpoint) =>
        run(await Http2Client.open(sluice.port('edge')), sluice, endpoint),
      );

    const held = async (sluice: Sluice): Promise<number> =>
      (await sluice.metric('sluice_slab_buffers')) - (await sluice.metric('sluice_slab_free_buffers'));

    it('takes an answer that comes before the request is complete', async () => {
      await scripted(
        async (wire) => {
          await wire.until(() => wire.text.includes('\r\n\r\n'), 'the head');
          wire.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig');
          wire.fin();
        },
        async (client) => {
          const stream = client.start({ ':method': 'POST', ':path': '/' });
          const answer = reply(stream);
          stream.write(content(100));
          const { status, text } = await answer;
          assert.deepEqual([status, text], [413, 'big']);
          assert.equal((await client.ask({ ':path': '/' })).status, 413);
        },
      );
    });

    it('ends a stream whose response breaks off, and never takes it for a whole one', async () => {
      const endings: Readonly<Record<string, string>> = {
        length: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc',
        chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab',
        between: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n',
        malformed: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      };
      await scripted(
        async (wire) => {
          const path = (await wire.message()).target.slice(1);
          wire.write(endings[path] ?? (path === 'close' ? 'HTTP/1.1 200 OK\r\n\r\nall' : ''));
          wire.fin();
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
          assert.equal(await sluice.metric('sluice_endpoint_failures_total'), Object.keys(endings).length + 2);
        },
      );
    });

    it('refuses what is no HTTP/1 response', async () => {
      await scripted(
        async (wire) => {
          await wire.message();
          wire.write('SSH-2.0-nothing for you\r\n');
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
        await new Promise((resolve) => setTimeout(resolve, 400));
        const buffers = await held(sluice);
        assert.ok(buffers * 16_384 < 2 * MIB, `${buffers} buffers held`);
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
          const buffers = await held(sluice);
          assert.ok(buffers * 16_384 < 4 * MIB, `${buffers} buffers held`);
          go();
          assert.deepEqual(JSON.parse((await answer).text), digestOf(body));
        },
      );
    });

    it('closes the connection of a request that its client takes back, and that one alone', async () => {
      await between(
        (request, response) => {
          if (request.url === '/answered') response.end('answered');
        },
        async (client, sluice, endpoint) => {
          const stream = client.start({ ':path': '/' }, true);
          await eventually(() => endpoint.requests === 1, 'request');
          stream.close(constants.NGHTTP2_CANCEL);
          await eventually(() => endpoint.open === 0, 'closed');
          assert.equal(await sluice.metric('sluice_endpoint_abandoned_total'), 1);
          assert.ok(!client.closed);
          assert.equal((await client.ask({ ':path': '/answered' })).text, 'answered');
        },
      );
    });

    it('sends a request again that a pooled connection has lost', async () => {
      // Every connection serves one request and breaks at the next.
      await scripted(
        async (wire) => {
          await wire.message();
          wire.write(OK);
          await wire.message();
          wire.reset();
        },
        async (client, _sluice, endpoint) => {
          for (let i = 0; i < 4; i++) assert.equal((await client.ask({ ':path': '/' })).text, 'ok');
          assert.equal(endpoint.connections.length, 3 + 1);
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

    it('carries what comes through a tunnel after one side has ended', async () => {
      await scripted(
        async (wire) => {
          await wire.until(() => wire.text.includes('\r\n\r\n'), 'the head');
          wire.write('HTTP/1.1 200 OK\r\n\r\n');
          await wire.closed();
          wire.write('all heard');
          wire.fin();
        },
        async (client, _sluice, endpoint) => {
          const stream = client.start({ ':method': 'CONNECT', ':authority': 'far.test:22' });
          const answer = reply(stream);
          await once(stream, 'response');
          stream.end('ping');
          assert.equal((await answer).text, 'all heard');
          assert.equal(endpoint.connections.length, 1);
        },
      );
    });
  });
}
