// Streams of one client connection over several endpoints, and endpoints that come, go, restart, refuse and say GOAWAY under load.
import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { content, usual } from '../support/content.js';
import { type Gateway, gatewayConfig, quiet, startGateway, tearDown } from '../support/gateway.js';
import { Http2Client, type Http2Endpoint, hangUp, http2Endpoint, load } from '../support/http2.js';
import { availableExecutors, type Executor, eventually, type Sluice } from '../support/sluice.js';

afterEach(hangUp);
after(tearDown);

async function gateway(io: Executor, endpoints: readonly Http2Endpoint[], more: Gateway = {}): Promise<Sluice> {
  return startGateway(
    io,
    endpoints.map(({ address }) => address),
    more,
  );
}

async function finish(sluice: Sluice, endpoints: readonly Http2Endpoint[]): Promise<void> {
  hangUp();
  await quiet(sluice);
  assert.equal(await sluice.stop(), 0);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
}

/** Endpoints that answer after a moment, so that streams are open side by side. */
const unhurried =
  (name: string) =>
  (asked: Parameters<ReturnType<typeof usual>>[0], answering: Parameters<ReturnType<typeof usual>>[1]) => {
    setTimeout(() => usual(name)(asked, answering), 5);
  };

async function reload(sluice: Sluice, yaml: string): Promise<void> {
  const seen = sluice.log.length;
  sluice.reload(yaml);
  await sluice.logged((line) => line.message === 'reloaded' && sluice.log.indexOf(line) >= seen);
}

for (const io of await availableExecutors()) {
  describe(`HTTP/2 balancing on ${io}`, () => {
    it('spreads the streams of one connection by turns', async () => {
      const endpoints = await Promise.all(['a', 'b', 'c', 'd'].map((name) => http2Endpoint(usual(name))));
      const sluice = await gateway(io, endpoints, { service: '    balance: { policy: round-robin }' });
      const client = await Http2Client.open(sluice.port('edge'));
      const replies = await Promise.all(Array.from({ length: 80 }, () => client.ask()));
      for (const name of ['a', 'b', 'c', 'd']) {
        assert.equal(replies.filter(({ text }) => text === name).length, 20, name);
      }
      assert.deepEqual(
        endpoints.map(({ requests }) => requests),
        [20, 20, 20, 20],
      );
      for (const { connections } of endpoints) assert.equal(connections, 1);
      assert.equal(await sluice.metric('tcp_open_total', { peer: 'src' }), 1);
      await finish(sluice, endpoints);
    });

    it('spreads the streams of one connection by latency and load', async () => {
      const endpoints = await Promise.all(['a', 'b', 'c'].map((name) => http2Endpoint(unhurried(name))));
      const slow = await http2Endpoint((asked, answering) => {
        setTimeout(() => usual('slow')(asked, answering), 100);
      });
      const sluice = await gateway(io, [...endpoints, slow]);
      const client = load(sluice.port('edge'), 1, 20);
      await eventually(() => client.count() >= 3000, 'three thousand answers', 60_000);
      await client.stop();
      assert.deepEqual(client.failures, []);
      for (const { requests } of endpoints) assert.ok(requests > 400, `${requests} of ${client.count()}`);
      assert.ok(slow.requests < client.count() / 10, `${slow.requests} of ${client.count()} went to the slow one`);
      await finish(sluice, [...endpoints, slow]);
    });

    for (const most of [1, 5]) {
      it(`opens another connection where an endpoint allows ${most} streams on one`, async () => {
        const endpoint = await http2Endpoint(unhurried('few'), { settings: { maxConcurrentStreams: most } });
        const sluice = await gateway(io, [endpoint]);
        const client = await Http2Client.open(sluice.port('edge'));
        // Once its settings are known, they are kept to: Node would refuse a stream too many.
        await client.ask();
        for (let round = 0; round < 3; round++) {
          const replies = await Promise.all(Array.from({ length: 20 }, () => client.ask()));
          for (const { status, text } of replies) assert.deepEqual([status, text], [200, 'few']);
        }
        assert.ok(endpoint.peak <= most, `${endpoint.peak} streams on one connection`);
        assert.ok(endpoint.connections >= 2, `${endpoint.connections} connections`);
        await finish(sluice, [endpoint]);
      });
    }

    it('uses few connections where the endpoint allows many streams', async () => {
      const endpoint = await http2Endpoint(unhurried('many'));
      const sluice = await gateway(io, [endpoint]);
      const loads = load(sluice.port('edge'), 8, 10);
      await eventually(() => loads.count() > 1000, 'a thousand answers', 30_000);
      await loads.stop();
      assert.deepEqual(loads.failures, []);
      assert.ok(endpoint.connections <= 3, `${endpoint.connections} connections for at most 80 streams`);
      await finish(sluice, [endpoint]);
    });

    it('tries elsewhere, unseen, what an endpoint has refused', async () => {
      const refusing = await http2Endpoint(null);
      refusing.server.on('stream', (stream) => {
        stream.resume();
        stream.close(7);
      });
      const willing = await http2Endpoint(usual('willing'));
      const sluice = await gateway(io, [refusing, willing], {
        service: '    retry: { budget: 1, minPerSecond: 1000 }',
      });
      const client = await Http2Client.open(sluice.port('edge'));
      const sent = content(20_000);
      for (let i = 0; i < 30; i++) {
        assert.equal((await client.ask()).text, 'willing');
        const posted = await client.ask({ ':method': 'POST', ':path': '/echo' }, { body: sent });
        assert.deepEqual(posted.body, sent);
      }
      assert.ok(refusing.requests > 0, 'it was asked');
      assert.ok(
        (await sluice.metric('sluice_http2_resets_received_total', { role: 'client', code: 'REFUSED_STREAM' })) > 0,
      );
      await finish(sluice, [refusing, willing]);
    });

    it('small answers of many streams are no flood of tiny frames', async () => {
      const endpoint = await http2Endpoint(null);
      endpoint.server.on('stream', (stream) => {
        stream.respond({ ':status': 200 });
        // The end comes in a frame of its own, as that of a gRPC response does.
        stream.write('tiny', () => stream.end());
      });
      const sluice = await gateway(io, [endpoint], {
        top: 'limits: { http2: { maxTinyFrames: 10, maxEmptyFrames: 10 } }',
      });
      const client = await Http2Client.open(sluice.port('edge'));
      for (let i = 0; i < 100; i++) assert.equal((await client.ask()).text, 'tiny');
      assert.equal(endpoint.connections, 1);
      assert.equal(await sluice.metric('sluice_limit_total', { limit: 'h2-tiny-data' }), 0);
      await finish(sluice, [endpoint]);
    });

    it('answers for itself where every endpoint refuses', async () => {
      const refusing = await http2Endpoint(null);
      refusing.server.on('stream', (stream) => {
        stream.resume();
        stream.close(7);
      });
      const sluice = await gateway(io, [refusing]);
      const client = await Http2Client.open(sluice.port('edge'));
      const { status, headers } = await client.ask();
      assert.ok(status === 502 || status === 503, String(status));
      assert.ok(headers['sluice-error'] !== undefined);
      await finish(sluice, [refusing]);
    });
  });

  describe(`HTTP/2 endpoints that change under load on ${io}`, () => {
    it('GOAWAY of an endpoint costs no request', async () => {
      const endpoints = await Promise.all(['a', 'b'].map((name) => http2Endpoint(unhurried(name))));
      const sluice = await gateway(io, endpoints);
      const traffic = load(sluice.port('edge'), 4, 8);
      for (let round = 1; round <= 5; round++) {
        const count = traffic.count();
        await eventually(() => traffic.count() > count + 100, 'traffic flows', 30_000);
        for (const { sessions } of endpoints) for (const session of sessions) session.close();
        await eventually(() => endpoints.every(({ connections }) => connections > round), 'it is dialled anew');
      }
      await traffic.stop();
      assert.deepEqual(traffic.failures, []);
      assert.ok((await sluice.metric('sluice_http2_goaways_received_total', { role: 'client' })) >= 10);
      await finish(sluice, endpoints);
    });

    it('an endpoint restarts: nothing but what it was working on is lost', async () => {
      const stays = await http2Endpoint(unhurried('stays'));
      let restarts = await http2Endpoint(unhurried('restarts'));
      const sluice = await gateway(io, [stays, restarts]);
      const traffic = load(sluice.port('edge'), 4, 8);
      let lost = 0;
      for (let round = 0; round < 3; round++) {
        const count = traffic.count();
        await eventually(() => traffic.count() > count + 100 && restarts.requests > 0, 'traffic flows', 30_000);
        const { port } = restarts;
        lost += [...restarts.sessions].length * 32;
        await restarts.close();
        const without = traffic.count();
        await eventually(() => traffic.count() > without + 100, 'the other serves', 30_000);
        restarts = await http2Endpoint(unhurried('restarts'), {}, port);
        await eventually(() => restarts.requests > 0, 'it is used again', 30_000);
      }
      await traffic.stop();
      // GETs may be sent again where nothing of their answer has come; a few may have been past that.
      assert.ok(
        traffic.failures.length <= lost,
        `${traffic.failures.length} failures: ${traffic.failures.slice(0, 5)}`,
      );
      for (const failure of traffic.failures) assert.match(failure, /upstream-reset|connect-failed|no-endpoint|reset/);
      await finish(sluice, [stays, restarts]);
    });

    it('an endpoint that leaves the configuration finishes what it has, and gets nothing more', async () => {
      const stays = await http2Endpoint(unhurried('stays'));
      let slow = 0;
      const leaves = await http2Endpoint((asked, answering) => {
        if (asked.url !== '/slow') return unhurried('leaves')(asked, answering);
        slow++;
        setTimeout(() => usual('slow')(asked, answering), 1500);
        return undefined;
      });
      const sluice = await gateway(io, [leaves]);
      const both = gatewayConfig([stays.address]);
      const client = await Http2Client.open(sluice.port('edge'));
      const pending = Array.from({ length: 5 }, () => client.ask({ ':path': '/slow' }));
      await eventually(() => slow === 5, 'the slow requests have arrived');
      const traffic = load(sluice.port('edge'), 2, 8);
      await eventually(() => traffic.count() > 100, 'traffic flows');
      await reload(sluice, both);
      await eventually(() => stays.requests > 100, 'the other is used');
      for (const { status, text } of await Promise.all(pending)) assert.deepEqual([status, text], [200, 'slow']);
      await eventually(() => leaves.open === 0, 'its connections are closed');
      const had = leaves.requests;
      const count = traffic.count();
      await eventually(() => traffic.count() > count + 100, 'traffic goes on');
      assert.equal(leaves.requests, had);
      await traffic.stop();
      assert.deepEqual(traffic.failures, []);
      await finish(sluice, [stays, leaves]);
    });

    it('connections are replaced at their age without a failure', async () => {
      const endpoint = await http2Endpoint(unhurried('aged'));
      const sluice = await gateway(io, [endpoint], { service: '    pool: { maxAge: 300ms }' });
      const traffic = load(sluice.port('edge'), 4, 8);
      await eventually(() => endpoint.connections >= 5, 'five generations of connections', 30_000);
      await traffic.stop();
      assert.deepEqual(traffic.failures, []);
      await eventually(() => endpoint.open <= 1, 'the old ones are closed');
      await finish(sluice, [endpoint]);
    });
  });

  describe(`HTTP/2 and the end of Sluice on ${io}`, () => {
    it('says GOAWAY in two steps, and finishes the streams under way', async () => {
      let release: () => void = () => undefined;
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      let waiting = 0;
      const endpoint = await http2Endpoint((asked, answering) => {
        if (asked.url !== '/slow') return usual('quick')(asked, answering);
        waiting++;
        return void released.then(() => usual('slow')(asked, answering));
      });
      const sluice = await gateway(io, [endpoint], { top: 'drain: { hold: 0, grace: 20s }' });
      const client = await Http2Client.open(sluice.port('edge'));
      const idle = await Http2Client.open(sluice.port('edge'));
      await idle.ask();
      const slow = Array.from({ length: 10 }, () => client.ask({ ':path': '/slow' }));
      await eventually(() => waiting === 10, 'the slow requests have arrived');
      sluice.child.kill('SIGTERM');
      await eventually(() => client.goaways.length >= 2, 'both steps');
      // RFC 9113 section 6.8: first what may still come is let come, then the last stream is named.
      assert.deepEqual(
        client.goaways.map(({ code }) => code),
        [0, 0],
      );
      assert.equal(client.goaways[0]?.last, 0x7fff_ffff);
      assert.equal(client.goaways[1]?.last, 19);
      await eventually(() => idle.closed, 'a connection without streams is closed');
      release();
      for (const { status, text } of await Promise.all(slow)) assert.deepEqual([status, text], [200, 'slow']);
      assert.equal(await sluice.exited, 0);
      await endpoint.close();
    });

    for (const workers of [1, 2]) {
      it(`no request fails while a loaded proxy drains (${workers} workers)`, async () => {
        let release: () => void = () => undefined;
        const released = new Promise<void>((resolve) => {
          release = resolve;
        });
        let waiting = 0;
        const endpoint = await http2Endpoint((asked, answering) => {
          if (asked.url !== '/last') return unhurried('ok')(asked, answering);
          waiting++;
          return void released.then(() => usual('last')(asked, answering));
        });
        const top = `workers: ${workers}\ndrain: { hold: 300ms, grace: 60s }`;
        const sluice = await gateway(io, [endpoint], { top });
        const port = sluice.port('edge');
        const client = await Http2Client.open(port);
        const last = client.ask({ ':path': '/last' });
        await eventually(() => waiting === 1, 'the request that will be the last');
        const traffic = load(port, 6, 8);
        await eventually(() => traffic.count() > 300, 'traffic flows', 30_000);
        sluice.child.kill('SIGTERM');
        await eventually(() => traffic.failures.length >= 6 * 8, 'nobody can connect any more', 30_000);
        await traffic.stop();
        const failures = traffic.failures.filter((failure) => !failure.startsWith('connect'));
        assert.deepEqual(failures, []);
        // What clients' own libraries gave back was not refused by Sluice: it had let it come.
        assert.equal(await sluice.metric('sluice_http2_resets_sent_total', { role: 'server' }), 0);
        release();
        assert.deepEqual([(await last).status, (await last).text], [200, 'last']);
        assert.equal(await sluice.exited, 0);
        await endpoint.close();
      });
    }
  });

  describe(`HTTP/2 that begins during a drain on ${io}`, () => {
    it('is served before it is told to leave', async () => {
      const endpoint = await http2Endpoint();
      const sluice = await gateway(io, [endpoint], { top: 'drain: { hold: 60s, grace: 60s }' });
      sluice.child.kill('SIGTERM');
      await sluice.logged((line) => line.message === 'drain: no longer ready');
      let client: Http2Client;
      let served: boolean;
      let tries = 0;
      // On a machine that stands still for a second somebody may be told first; clients that come again are served then.
      do {
        assert.ok(tries++ < 50, 'nobody is served');
        client = await Http2Client.open(sluice.port('edge'));
        served = await client.ask().then(
          ({ status }) => status === 200 && client.goaways.length === 0,
          () => false,
        );
      } while (!served);
      await eventually(() => client.goaways.length > 0, 'then it is told');
      assert.equal(client.goaways[0]?.last, 0x7fff_ffff);
      sluice.child.kill('SIGTERM');
      await sluice.exited;
      await endpoint.close();
    });
  });

  describe(`HTTP/2 headers on ${io}`, () => {
    it('cookie crumbs, long and many fields pass as they are', async () => {
      const endpoint = await http2Endpoint(null);
      endpoint.server.on('stream', (stream, headers) => {
        stream.respond({
          ':status': 200,
          'set-cookie': ['a=1; Path=/', 'b=2; Path=/', 'c=3'],
          'x-cookie': String(headers.cookie),
          'x-long': String(headers['x-long'] ?? ''),
          'x-count': String(Object.keys(headers).filter((name) => name.startsWith('x-n')).length),
        });
        stream.end();
      });
      const sluice = await gateway(io, [endpoint]);
      const client = await Http2Client.open(sluice.port('edge'));
      const crumbs = ['a=1', 'b=2', `c=${'3'.repeat(500)}`];
      const many = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`x-n${i}`, `value ${i}`]));
      for (let i = 0; i < 3; i++) {
        const { headers } = await client.ask({ cookie: crumbs, 'x-long': 'l'.repeat(6000), ...many });
        assert.equal(headers['x-cookie'], crumbs.join('; '));
        assert.deepEqual(headers['set-cookie'], ['a=1; Path=/', 'b=2; Path=/', 'c=3']);
        assert.equal(headers['x-long'], 'l'.repeat(6000));
        assert.equal(headers['x-count'], '90');
      }
      await finish(sluice, [endpoint]);
    });

    it('a list beyond the limit is refused, and the connection goes on', async () => {
      const endpoint = await http2Endpoint();
      const sluice = await gateway(io, [endpoint], { top: 'limits: { http2: { maxHeaderBytes: 15KiB } }' });
      const client = await Http2Client.open(sluice.port('edge'));
      const { status, headers } = await client.ask({ 'x-long': 'l'.repeat(15_500) });
      assert.deepEqual([status, headers['sluice-error']], [431, 'header-too-large']);
      assert.equal((await client.ask()).text, 'hello');
      assert.equal(endpoint.requests, 1);
      await finish(sluice, [endpoint]);
    });

    it('a thousand different header lists and the same ones again all arrive whole', async () => {
      const endpoint = await http2Endpoint((asked, answering) => {
        answering.setHeader('x-back', String(asked.headers['x-sent']));
        usual('hello')(asked, answering);
      });
      const sluice = await gateway(io, [endpoint]);
      const client = await Http2Client.open(sluice.port('edge'));
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 1000; i += 50) {
          const values = Array.from({ length: 50 }, (_, k) => `${'v'.repeat((i + k) % 97)}${i + k}`);
          const replies = await Promise.all(values.map((value) => client.ask({ 'x-sent': value, 'x-same': 'same' })));
          assert.deepEqual(
            replies.map(({ headers }) => headers['x-back']),
            values,
          );
        }
      }
      await finish(sluice, [endpoint]);
    });
  });
}
