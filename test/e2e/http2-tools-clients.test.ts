// HTTP/2 clients that nobody here wrote, and proxies that speak HTTP/2 to Sluice as their server.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { request } from 'http2-wrapper';
import { content, digestOf, sha1, usual } from '../support/content.js';
import { quiet, startGateway, tearDown } from '../support/gateway.js';
import { Http2Client, type Http2Endpoint, hangUp, http2Endpoint } from '../support/http2.js';
import {
  h2load,
  orMissing,
  pythonH2,
  startHaproxy,
  startNghttpd,
  startNghttpx,
  startPythonH2,
  stopServers,
} from '../support/http2-peers.js';
import { Missing, type RealServer, run, which } from '../support/servers.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';

const exec = promisify(execFile);
const LARGE = 64 << 20;
const skipWithout = (program: string) => ({ skip: which(program) === null && `${program} is not installed` });
const directory = mkdtempSync(join(tmpdir(), 'sluice-clients-'));

/** A file of `size` bytes of `content`. */
function file(size: number): string {
  const path = join(directory, String(size));
  writeFileSync(path, content(size));
  return path;
}

afterEach(hangUp);
after(tearDown);
after(stopServers);
after(() => rmSync(directory, { recursive: true }));

for (const io of await availableExecutors()) {
  describe(`HTTP/2 clients on ${io}`, () => {
    let endpoint: Http2Endpoint;
    let sluice: Sluice;
    let url: string;

    before(async () => {
      endpoint = await http2Endpoint((asked, answering) => {
        if (asked.url === '/early') {
          const early = answering as unknown as { writeEarlyHints(hints: Record<string, string>): void };
          early.writeEarlyHints({ link: '</style.css>; rel=preload' });
        }
        usual('hello')(asked, answering);
      });
      sluice = await startGateway(io, [endpoint.address]);
      url = `http://127.0.0.1:${sluice.port('edge')}`;
    });
    after(async () => {
      await quiet(sluice);
      assert.equal(await sluice.stop(), 0);
      await endpoint.close();
    });

    describe('curl', skipWithout('curl'), () => {
      const curl = async (...args: string[]): Promise<string> =>
        (await exec('curl', ['-sS', '--http2-prior-knowledge', ...args], { maxBuffer: 1 << 28 })).stdout;

      it('gets, asks for heads, and sees the version', async () => {
        assert.equal(await curl(`${url}/`), 'hello');
        const head = await curl('-I', `${url}/`);
        assert.match(head, /^HTTP\/2 200/);
        assert.match(head, /content-length: 5/);
        assert.equal(await curl('-o', '/dev/null', '-w', '%{http_version} %{num_connects}', `${url}/`), '2 1');
      });

      it('uploads and downloads 0 B to 64 MiB', async () => {
        for (const size of [0, 1, 65_536, 1_000_003, LARGE]) {
          const sent = await curl('--data-binary', `@${file(size)}`, `${url}/digest`);
          assert.deepEqual(JSON.parse(sent), { ...digestOf(content(size)) }, `${size} bytes up`);
          const to = join(directory, 'down');
          await curl('-o', to, `${url}/bytes/${size}?${size % 2 === 0 ? 'unknown' : ''}`);
          if (size > 0) assert.equal(sha1(readFileSync(to)), sha1(content(size)), `${size} bytes down`);
        }
      });

      it('uploads with Expect: 100-continue, and gets its body back', async () => {
        const back = join(directory, 'back');
        const args = ['-H', 'Expect: 100-continue', '-T', file(3_000_017), '-o', back];
        await curl(...args, `${url}/echo`);
        assert.equal(sha1(readFileSync(back)), sha1(content(3_000_017)));
      });

      it('hears a 103 before the response, and trailers behind it', async () => {
        const early = await curl('-D', '-', '-o', '/dev/null', `${url}/early`);
        assert.match(early, /^HTTP\/2 103 .*link: <\/style\.css>; rel=preload.*HTTP\/2 200/s);
        const trailed = await curl('-D', '-', '-o', '/dev/null', `${url}/?trailers`);
        assert.match(trailed, new RegExp(`x-sum: ${sha1(Buffer.from('hello'))}`));
      });
    });

    describe('nghttp', skipWithout('nghttp'), () => {
      it('gets with padding and priorities, and posts with trailers', async () => {
        const several = await run('nghttp', ['--padding=200', '-m', '20', `${url}/`]);
        assert.equal(several.stdout, 'hello'.repeat(20), several.stderr);
        const posted = await run('nghttp', [
          '-d',
          file(1_000_003),
          '-H',
          ':method: POST',
          '--trailer',
          'x-last: yes',
          '--no-content-length',
          `${url}/digest`,
        ]);
        assert.deepEqual(JSON.parse(posted.stdout), digestOf(content(1_000_003), { 'x-last': 'yes' }), posted.stderr);
      });

      it('gets and posts 64 MiB', async () => {
        const posted = await run('nghttp', ['-d', file(LARGE), `${url}/digest`]);
        assert.deepEqual(JSON.parse(posted.stdout), digestOf(content(LARGE)), posted.stderr);
        const got = await run('nghttp', ['-nv', '-w', '24', '-W', '24', `${url}/bytes/${LARGE}`]);
        const frames = [...got.stdout.matchAll(/recv DATA frame <length=(\d+)/g)];
        assert.equal(
          frames.reduce((sum, [, length]) => sum + Number(length), 0),
          LARGE,
        );
      });
    });

    it('h2load uploads on many streams, and reads with small windows', skipWithout('h2load'), async () => {
      const uploads = await h2load(sluice.port('edge'), 4, 16, 320, ['-d', file(300_007)], '/echo');
      assert.deepEqual([uploads.succeeded, uploads.statuses.ok], [320, 320], uploads.text);
      const small = await h2load(sluice.port('edge'), 4, 16, 320, ['-w', '12', '-W', '14'], '/bytes/100003');
      assert.deepEqual([small.succeeded, small.statuses.ok], [320, 320], small.text);
    });

    it('Python h2 sends and receives on many streams at once', async (t) => {
      const requests = [0, 1, 65_535, 65_536, 500_009, 3_000_017].flatMap((size) => [
        { method: 'POST', path: '/echo', size, trailers: { 'x-size': String(size) } },
        { method: 'POST', path: '/digest', size },
        { method: 'GET', path: `/bytes/${size}?trailers` },
        { method: 'HEAD', path: `/bytes/${size}` },
      ]);
      try {
        const replies = await pythonH2(sluice.port('edge'), requests);
        for (const [i, { path, method, size = 0 }] of requests.entries()) {
          const { status, length, trailers, sha1: sum, sent } = replies[i] ?? assert.fail();
          assert.equal(status, 200);
          if (path === '/echo') assert.deepEqual([length, sum], [size, sent]);
          if (method === 'HEAD') assert.equal(length, 0);
          if (path.endsWith('trailers')) assert.equal(trailers['x-sum'], sum);
        }
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        t.skip(error.message);
      }
    });

    it('http2-wrapper multiplexes its requests', async () => {
      // Its agent knows TLS only; a session of one's own is how it speaks with prior knowledge.
      const { session: h2session } = await Http2Client.open(sluice.port('edge'));
      const ask = (path: string): Promise<string> =>
        new Promise((resolve, reject) => {
          const sent = request(`${url}${path}`, { h2session }, (response) => {
            let body = '';
            response.setEncoding('utf8').on('data', (text: string) => {
              body += text;
            });
            response.once('end', () => resolve(`${response.httpVersion} ${body}`));
          });
          sent.once('error', reject);
          sent.end();
        });
      assert.deepEqual(await Promise.all(Array.from({ length: 20 }, () => ask('/'))), Array(20).fill('2.0 hello'));
    });
  });

  describe(`Python h2 on both sides on ${io}`, () => {
    it('echoes bodies and trailers, and sends early hints', async (t) => {
      const server = await orMissing(startPythonH2());
      if (typeof server === 'string') return t.skip(server);
      const sluice = await startGateway(io, [`127.0.0.1:${server.port}`]);
      const sizes = [0, 1, 65_535, 65_536, 500_009, 4_000_037];
      const replies = await pythonH2(sluice.port('edge'), [
        ...sizes.map((size) => ({ method: 'POST', path: '/echo', size, trailers: { 'x-size': String(size) } })),
        { method: 'GET', path: '/hints' },
      ]);
      for (const [i, size] of sizes.entries()) {
        const { status, length, headers, sha1: sum, trailers } = replies[i] ?? assert.fail();
        assert.deepEqual(
          { status, length, sum, trailers },
          { status: 200, length: size, sum: headers['x-sha1'], trailers: { 'x-size': String(size) } },
        );
      }
      assert.deepEqual(replies.at(-1)?.informational, ['103']);
      await quiet(sluice);
      assert.equal(await sluice.stop(), 0);
      await server.stop();
    });
  });

  for (const [name, start] of [
    ['HAProxy', (port: number) => startHaproxy('h2', port, 'h2')],
    ['nghttpx', (port: number) => startNghttpx(port, 'h2')],
  ] as const) {
    describe(`${name} in front on ${io}`, () => {
      let endpoint: Http2Endpoint;
      let sluice: Sluice;
      let front: RealServer | string;

      before(async () => {
        endpoint = await http2Endpoint();
        sluice = await startGateway(io, [endpoint.address]);
        front = await orMissing(start(sluice.port('edge')));
      });
      after(async () => {
        if (typeof front !== 'string') await front.stop();
        await quiet(sluice);
        assert.equal(await sluice.stop(), 0);
        await endpoint.close();
      });

      it('passes bodies both ways', async (t) => {
        if (typeof front === 'string') return t.skip(front);
        const client = await Http2Client.open(front.port);
        for (const size of [0, 1, 65_536, 1_000_003, LARGE / 4]) {
          const sent = await client.ask({ ':method': 'POST', ':path': '/digest' }, { body: content(size) });
          assert.deepEqual(JSON.parse(sent.text), digestOf(content(size)));
          const got = await client.ask({ ':path': `/bytes/${size}?unknown` });
          assert.deepEqual(digestOf(got.body), digestOf(content(size)));
        }
        const head = await client.ask({ ':method': 'HEAD' });
        assert.deepEqual([head.status, head.headers['content-length']], [200, '5']);
        client.close();
      });

      it('loses no request of h2load', skipWithout('h2load'), async (t) => {
        if (typeof front === 'string') return t.skip(front);
        for (const [clients, streams] of [
          [10, 32],
          [64, 1],
        ] as const) {
          const { succeeded, statuses, text } = await h2load(front.port, clients, streams, 2560);
          assert.deepEqual([succeeded, statuses.ok], [2560, 2560], text);
        }
      });
    });
  }

  describe(`nghttpd as an endpoint on ${io}`, () => {
    it('sends padded frames, and curl exchanges 64 MiB with it', skipWithout('curl'), async (t) => {
      const server = await orMissing(startNghttpd({ large: content(LARGE) }, ['--padding=100']));
      if (typeof server === 'string') return t.skip(server);
      const sluice = await startGateway(io, [`127.0.0.1:${server.port}`]);
      const url = `http://127.0.0.1:${sluice.port('edge')}/large`;
      const to = join(directory, 'padded');
      await exec('curl', ['-sS', '--http2-prior-knowledge', '-o', to, url]);
      assert.equal(sha1(readFileSync(to)), sha1(content(LARGE)));
      await exec('curl', ['-sS', '--http2-prior-knowledge', '--data-binary', `@${file(LARGE)}`, '-o', to, url]);
      assert.equal(sha1(readFileSync(to)), sha1(content(LARGE)));
      await quiet(sluice);
      assert.equal(await sluice.stop(), 0);
      await server.stop();
    });
  });
}
