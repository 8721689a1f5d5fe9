// PROXY headers that HAProxy writes, and those of ours that HAProxy and nginx read.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { freePort, Missing, need, type RealServer, serve, start, temporary } from '../support/servers.js';
import { availableExecutors, startSluice } from '../support/sluice.js';
import { hangUp, listen, readAll } from '../support/tcp.js';

const HOST = '127.0.0.1';
/** Clients come from here, proxies from HOST. */
const CLIENT = '127.0.0.2';
const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

const running: RealServer[] = [];
after(() => Promise.all(running.map((server) => server.stop())));
afterEach(hangUp);

async function haproxy(sections: (port: number) => string): Promise<RealServer> {
  const program = need('haproxy');
  const directory = temporary('haproxy', null);
  const port = await freePort();
  const config = join(directory, 'haproxy.cfg');
  writeFileSync(
    config,
    `global\n  maxconn 200\n  nbthread 1\ndefaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n${sections(port)}`,
  );
  const server = await serve(
    'haproxy',
    start(program, ['-db', '-f', config], null, directory),
    port,
    directory,
    'SIGTERM',
  );
  running.push(server);
  return server;
}

/** Answers with the client of which the header has told. */
const haproxyBehind = (): Promise<RealServer> =>
  haproxy(
    (port) =>
      `frontend in\n  mode http\n  bind ${HOST}:${port} accept-proxy\n` +
      '  http-request return status 200 content-type text/plain lf-string "%ci:%cp"\n',
  );

/** Relays TCP to `port`, with a header. */
const haproxyBefore = (to: number, options: string): Promise<RealServer> =>
  haproxy(
    (port) =>
      `frontend in\n  mode tcp\n  bind ${HOST}:${port}\n  default_backend out\nbackend out\n  mode tcp\n  server s ${HOST}:${to} ${options}\n`,
  );

async function nginxBehind(): Promise<RealServer> {
  const program = need('nginx');
  const directory = temporary('nginx', null);
  const port = await freePort();
  const config = join(directory, 'nginx.conf');
  const temporaries = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${directory}/pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off;
  ${temporaries.map((name) => `${name}_temp_path ${directory}/${name};`).join(' ')}
  server {
    listen ${HOST}:${port} proxy_protocol;
    location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port"; }
  }
}
`,
  );
  const args = ['-e', 'stderr', '-p', directory, '-c', config];
  const server = await serve('nginx', start(program, args, null, directory), port, directory, 'SIGTERM');
  running.push(server);
  return server;
}

/** The body of an answer, and the client's own name. */
async function get(port: number): Promise<{ body: string; client: string }> {
  const socket: Socket = connect({ port, host: HOST, localAddress: CLIENT });
  const answer = readAll(socket);
  socket.write(GET);
  await new Promise((resolve) => socket.once('connect', resolve));
  const client = `${CLIENT}:${socket.localPort}`;
  const text = (await answer).toString();
  socket.destroy();
  assert.match(text, /^HTTP\/1\.1 200 /);
  return { body: text.slice(text.indexOf('\r\n\r\n') + 4), client };
}

async function unlessMissing(t: { skip(why: string): void }, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    t.skip(error.message);
  }
}

for (const io of await availableExecutors()) {
  describe(io, () => {
    test('HAProxy and nginx read what is sent to them', (t) =>
      unlessMissing(t, async () => {
        const servers = { haproxy: await haproxyBehind(), nginx: await nginxBehind() };
        const names = Object.keys(servers).flatMap((name) => [`${name}-v1`, `${name}-v2`]);
        const sluice = await startSluice(
          `drain: { hold: 0 }
listeners:
${names.map((name) => `  - { name: ${name}, listen: "${HOST}:0", service: ${name} }`).join('\n')}
services:
${Object.entries(servers)
  .flatMap(([name, { port }]) =>
    ['v1', 'v2'].map(
      (v) => `  ${name}-${v}: { protocol: opaque, proxyProtocol: ${v}, endpoints: ["${HOST}:${port}"] }`,
    ),
  )
  .join('\n')}
`,
          io,
        );
        try {
          for (const name of names) {
            const { body, client } = await get(sluice.port(name));
            assert.equal(body, client, name);
          }
        } finally {
          await sluice.stop();
        }
      }));

    test('what HAProxy sends is read, and goes on', (t) =>
      unlessMissing(t, async () => {
        need('haproxy');
        const origin = await listen((socket) =>
          socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')),
        );
        const behind = await haproxyBehind();
        const sluice = await startSluice(
          `drain: { hold: 0 }
log: { access: true }
listeners:
  - { name: web, listen: "${HOST}:0", service: web, proxyProtocol: { from: ["${HOST}"] } }
  - { name: on, listen: "${HOST}:0", service: on, proxyProtocol: true }
services:
  web: { endpoints: ["${HOST}:${origin.port}"] }
  on: { protocol: opaque, proxyProtocol: v2, endpoints: ["${HOST}:${behind.port}"] }
`,
          io,
        );
        try {
          for (const options of ['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,unique-id']) {
            const web = await haproxyBefore(sluice.port('web'), options);
            const { client } = await get(web.port);
            await sluice.logged((line) => line.message === 'request' && line.client === client);
            const on = await haproxyBefore(sluice.port('on'), options);
            const answer = await get(on.port);
            assert.equal(answer.body, answer.client, options);
          }
          assert.equal(await sluice.metric('sluice_limit_total', { limit: 'proxy-header-bytes' }), 0);
        } finally {
          await sluice.stop();
          await origin.close();
        }
      }));
  });
}
