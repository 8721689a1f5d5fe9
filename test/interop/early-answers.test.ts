// Uploads of 20 MB that are refused at once: the answer arrives, whatever sends and whatever answers. And the next small request is served.
import assert from 'node:assert/strict';
import { createReadStream, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startGateway, tearDown } from '../support/gateway.js';
import { Http2Client, Reset } from '../support/http2.js';
import { need, type RealServer, run, temporary, which } from '../support/servers.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';
import { type Language, lacking, peerClient, peerServer, stopPeers, type Tally } from './peers.js';

const BYTES = 20 << 20;
const TIMES = 3;
const KINDS: readonly (readonly [name: string, language: Language, path: string, ...args: string[]])[] = [
  ['a Go server', 'go', '/early?status=413', 'serve', 'dual'],
  ['Undertow', 'java', '/early?413', 'undertow'],
  ['Tomcat', 'java', '/early?413', 'tomcat'],
  ['hypercorn', 'python', '/early?413', 'hypercorn'],
];

const directory = temporary('upload', null);
const file = join(directory, 'upload');
after(tearDown);
after(stopPeers);
after(() => rmSync(directory, { recursive: true }));

const several = async (ask: () => Promise<unknown>): Promise<unknown[]> => {
  const said: unknown[] = [];
  for (let i = 0; i < TIMES; i++) said.push(await ask());
  return said;
};

const curl =
  (...more: string[]) =>
  (port: number, path: string): Promise<unknown[]> =>
    several(async () => {
      const args = [
        '-s',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '-m',
        '20',
        '-H',
        'Expect:',
        '--data-binary',
        `@${file}`,
      ];
      const { code, stdout } = await run(need('curl'), [...args, ...more, `http://127.0.0.1:${port}${path}`]);
      // Some versions call it an error that the stream ends with NO_ERROR before all is sent, and have the answer all the same.
      return Number(stdout) || `curl ${code}`;
    });

const python =
  (client: string) =>
  async (port: number, path: string): Promise<unknown[]> =>
    (await peerClient<{ statuses: unknown[] }>('python', 'upload', client, port, path, BYTES, TIMES)).statuses;

const go =
  (...more: string[]) =>
  async (port: number, path: string): Promise<unknown[]> => {
    const { counts, said } = await peerClient<Tally>(
      'go',
      'upload',
      `127.0.0.1:${port}`,
      '-path',
      path,
      '-size',
      BYTES,
      '-times',
      TIMES,
      ...more,
    );
    return Object.entries(counts).flatMap(([status, count]) =>
      Array.from({ length: count }, () => (/^\d+$/.test(status) ? Number(status) : said[status])),
    );
  };

const nodeHttp2 = (port: number, path: string): Promise<unknown[]> =>
  several(async () => {
    const client = await Http2Client.open(port);
    const stream = client.start({ ':method': 'POST', ':path': path });
    createReadStream(file).pipe(stream);
    const status = await new Promise((resolve) => {
      stream.once('response', (fields) => resolve(fields[':status']));
      stream.once('close', () => resolve(new Reset(stream.rstCode, 'upload').message));
    });
    client.close();
    return status;
  });

const CLIENTS: Readonly<
  Record<string, { skip?: string | false; upload(port: number, path: string): Promise<unknown[]> }>
> = {
  'curl by HTTP/1': { skip: which('curl') === null && 'curl is not installed', upload: curl() },
  'curl by HTTP/2': {
    skip: which('curl') === null && 'curl is not installed',
    upload: curl('--http2-prior-knowledge'),
  },
  'Go by HTTP/1': { skip: lacking('go'), upload: go() },
  'Go by HTTP/2': { skip: lacking('go'), upload: go('-http2') },
  'httpx by HTTP/1': { skip: lacking('python'), upload: python('httpx') },
  'httpx by HTTP/2': { skip: lacking('python'), upload: python('httpx2') },
  'Node by HTTP/2': { upload: nodeHttp2 },
};

for (const [which, io] of (await availableExecutors()).entries()) {
  // What servers do differs above the executors: all of them on one.
  for (const [name, language, path, ...args] of KINDS.slice(0, which === 0 ? undefined : 1)) {
    // hypercorn breaks a connection of HTTP/2 when data comes for a stream that it has answered.
    for (const speaks of name === 'hypercorn' ? (['http1'] as const) : (['http1', 'http2'] as const)) {
      describe(`${name} refuses uploads by ${speaks} on ${io}`, { skip: lacking(language) }, () => {
        let server: RealServer & { readonly address: string };
        let sluice: Sluice;

        before(async () => {
          writeFileSync(file, Buffer.alloc(BYTES, 'u'));
          server = await peerServer(language, ...args);
          sluice = await startGateway(io, [server.address], { speaks });
        });
        after(async () => {
          assert.equal(await sluice.stop(), 0);
          await server.stop();
        });

        for (const [client, { skip = false, upload }] of Object.entries(CLIENTS)) {
          it(client, { skip }, async () => {
            const said = await upload(sluice.port('edge'), path);
            // Tomcat loses most of its own answers by HTTP/2, whoever asks: what counts is that others are served behind it.
            if (name === 'Tomcat' && speaks === 'http2') return;
            assert.deepEqual(
              said,
              Array.from({ length: TIMES }, () => 413),
            );
          });
        }

        it('small requests are served as before', async () => {
          for (let i = 0; i < 5; i++) {
            const body = 'x'.repeat(1000);
            const response = await fetch(`http://127.0.0.1:${sluice.port('edge')}/echo`, {
              method: 'POST',
              body,
              signal: AbortSignal.timeout(30_000),
            });
            assert.deepEqual([response.status, await response.text()], [200, body]);
          }
          assert.equal(await sluice.metric('sluice_endpoint_breaker_opened_total'), 0);
        });
      });
    }
  }
}
